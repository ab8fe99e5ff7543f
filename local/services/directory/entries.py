"""What is in a directory of the local cloud: users, groups and computers, as they are and as they are seen."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local.core.cloud import Cloud
from local.core.faults import AwsError

SETTLES = 20  # virtual seconds until what was written is read: Directory Service Data is eventually consistent
FIRST_RID = 1103  # of the accounts that people make
OF_THE_SYSTEM = {"Domain Admins": 512, "DnsAdmins": 1101, "AWS Delegated Administrators": 1102}  # some of the groups


@dataclass
class Entry:
    """A user, a group or a computer; `members` are lower-case names, `attributes` those of a user."""

    name: str
    sid: str
    kind: str
    attributes: dict[str, str] = field(default_factory=dict)
    enabled: bool = True
    group_type: str = "Security"
    members: list[str] = field(default_factory=list)


class DirectoryData:
    """The users and groups of one directory: as they are, and as they are seen."""

    def __init__(self, directory_id: str, access: str = "Disabled") -> None:
        self.access = access
        self.true: dict[str, Entry] = {}
        self.seen: dict[str, Entry] = {}
        self.tokens: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
        digest = hashlib.sha256(directory_id.encode()).digest()
        numbers = [int.from_bytes(digest[i : i + 4], "big") for i in (0, 4, 8)]
        self._domain = "S-1-5-21-" + "-".join(map(str, numbers))
        self._rid = FIRST_RID
        for name, rid in OF_THE_SYSTEM.items():
            self.true[name.lower()] = Entry(name, f"{self._domain}-{rid}", "GROUP")
            self.show(name)

    def add(self, kind: str, name: str, **fields: Any) -> Entry:
        """A new entry, not seen yet.

        Raises:
            AwsError: the name is taken, by a user or a group.
        """
        if name.lower() in self.true:
            raise AwsError("ConflictException", f"An object with the name {name} already exists.", 409)
        entry = self.true[name.lower()] = Entry(name, f"{self._domain}-{self._rid}", kind, **fields)
        self._rid += 1
        return entry

    def users_in(self, sid: str) -> list[str]:
        """The users in a group, be it by other groups."""
        remaining, met = [name for name, entry in self.true.items() if entry.sid == sid], set[str]()
        while remaining:
            if (name := remaining.pop()) not in met:
                met.add(name)
                remaining += self.true[name].members
        return sorted(name for name in met if self.true[name].kind == "USER")

    def show(self, name: str) -> None:
        """An entry is seen as it is."""
        self.seen[name.lower()] = copy.deepcopy(self.true[name.lower()])

    def written(self, cloud: Cloud, name: str) -> None:
        """An entry was written: it is seen as it is now in a while."""
        snapshot = copy.deepcopy(self.true.get(name.lower()))

        def settled() -> None:
            if snapshot is None:
                self.seen.pop(name.lower(), None)
            else:
                self.seen[name.lower()] = snapshot

        cloud.clock.call_later(SETTLES, settled)
