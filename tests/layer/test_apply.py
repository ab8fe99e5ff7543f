"""When a cluster is disturbed: the most careful of the stack's setting, the cluster's tag and the input."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from aurora_kerberos import desired
from aurora_kerberos.errors import InvalidRequest
from aurora_kerberos.request import Apply, Settings

NOW, WINDOW, APPROVAL = "now", "maintenance-window", "approval"

# The stack's Apply, the tag, the input's apply, what counts, and who is not listened to.
CASES = [
    (NOW, None, None, NOW, []),
    (NOW, NOW, NOW, NOW, []),
    (NOW, WINDOW, None, WINDOW, []),
    (NOW, APPROVAL, None, APPROVAL, []),
    (NOW, None, WINDOW, WINDOW, []),
    (NOW, None, APPROVAL, APPROVAL, []),
    (NOW, APPROVAL, NOW, APPROVAL, ["input"]),
    (NOW, NOW, APPROVAL, APPROVAL, ["tag"]),
    (NOW, WINDOW, APPROVAL, APPROVAL, ["tag"]),
    (WINDOW, NOW, None, WINDOW, ["tag"]),
    (WINDOW, None, NOW, WINDOW, ["input"]),
    (WINDOW, APPROVAL, None, APPROVAL, []),
    (WINDOW, NOW, APPROVAL, APPROVAL, ["tag"]),
    (APPROVAL, NOW, None, APPROVAL, ["tag"]),
    (APPROVAL, WINDOW, None, APPROVAL, ["tag"]),
    (APPROVAL, None, NOW, APPROVAL, ["input"]),
    (APPROVAL, None, WINDOW, APPROVAL, ["input"]),
    (APPROVAL, WINDOW, NOW, APPROVAL, ["tag", "input"]),
    (APPROVAL, APPROVAL, APPROVAL, APPROVAL, []),
]


def stack_with(apply: str) -> Settings:
    """Settings, as far as they are looked at."""
    return cast("Settings", SimpleNamespace(apply=apply))


@pytest.mark.parametrize(("stack", "tag", "requested", "counts", "ignored"), CASES)
def test_the_most_careful_counts_and_what_is_ignored_is_said(
    stack: str, tag: str | None, requested: str | None, counts: str, ignored: list[str]
) -> None:
    settings = stack_with(stack)
    tags = {} if tag is None else {"kerberos-apply": tag}
    assert desired.apply(tags, settings, cast("Apply | None", requested)) == counts
    warnings = desired.too_careless(tags, settings, cast("Apply | None", requested))
    assert ["input" if "input" in warning else "tag" for warning in warnings] == ignored


def test_a_tag_that_says_something_else_is_refused() -> None:
    settings = stack_with(NOW)
    with pytest.raises(InvalidRequest, match="kerberos-apply"):
        desired.apply({"kerberos-apply": "tomorrow"}, settings)
