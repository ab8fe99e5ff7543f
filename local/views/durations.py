"""Virtual time as people read it."""

from __future__ import annotations

from aurora_kerberos.durations import spoken

__all__ = ["clock_face", "spoken"]


def clock_face(seconds: float) -> str:
    """A point in virtual time as h:mm:ss; the hours go on beyond 24."""
    minutes, second = divmod(max(0, int(seconds)), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}"
