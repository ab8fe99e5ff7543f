"""Whose directories are trusted. Any AWS account can share a directory with this one, under any DNS name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

SHARED = "SharedMicrosoftAD"  # "DirectoryType" of the API reference: another account's, in this account's list


def owner_of(described: Mapping[str, Any]) -> str:
    """The account that shares a directory, as `ds:DescribeDirectories` has it; empty when AWS does not say."""
    return str(described.get("OwnerDirectoryDescription", {}).get("AccountId", ""))


def trusted(described: Mapping[str, Any], owners: Collection[str]) -> bool:
    """Whether a directory is the account's own, or one that an account among the `owners` shares with it."""
    return described["Type"] != SHARED or owner_of(described) in set(owners) - {""}
