"""Durations as people write them."""

from __future__ import annotations

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def spoken(seconds: float) -> str:
    """A duration in at most two units, rounded down: "26 min 40 s", "8 d 3 h", "0.4 s"."""
    if seconds < 10:
        return f"{max(0, int(seconds * 10)) / 10:g} s"
    left = int(seconds)
    first = next(i for i, (size, _) in enumerate(_UNITS) if left >= size)
    words = []
    for size, unit in _UNITS[first : first + 2]:
        count, left = divmod(left, size)
        if count:
            words.append(f"{count} {unit}")
    return " ".join(words)
