"""Which cloud is running: what is patched into moto and botocore has no other way to know."""

from __future__ import annotations

from local.core.cloud import Cloud

_clouds: list[Cloud] = []


def current() -> Cloud | None:
    """The cloud that is running in this process, if any."""
    return _clouds[-1] if _clouds else None


def enter(cloud: Cloud) -> None:
    """Make `cloud` the current one."""
    _clouds.append(cloud)


def leave() -> None:
    """The current cloud is over."""
    _clouds.pop()


def running() -> Cloud:
    """The current cloud; to be called only while there is one."""
    return _clouds[-1]
