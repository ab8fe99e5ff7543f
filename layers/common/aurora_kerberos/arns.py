"""Amazon Resource Names, taken apart ("Amazon Resource Names (ARNs)", AWS General Reference)."""

from __future__ import annotations

from typing import NamedTuple


class Arn(NamedTuple):
    """An ARN in its parts; `str` puts them together again."""

    partition: str
    service: str
    region: str
    account: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> Arn:
        """The parts of an ARN. If the text is not an ARN, the parts that it lacks are empty."""
        _, *parts = [*text.split(":", 5), "", "", "", "", ""][:6]
        return cls(*parts)

    @property
    def place(self) -> tuple[str, str]:
        """Region and account."""
        return self.region, self.account

    @property
    def name(self) -> str:
        """What stands after the last colon of the resource: an execution's name."""
        return self.resource.rpartition(":")[2]

    def __str__(self) -> str:
        return ":".join(("arn", *self))
