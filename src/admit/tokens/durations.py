"""A length of time as people write it: 500ms, 30s, 10m, 12h, 1h30m, 30d, 2w."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

EXPECTED: Final = "a number with its unit, as 30s, 10m, 1h30m or 7d"

_UNITS: Final = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_PIECE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ms|[smhdw])")
_WRITTEN: Final = ("d", "h", "m", "s", "ms")


def read_duration(text: str) -> timedelta:
    """The length of time that a text says. A bare number has no unit. Raises ValueError, OverflowError."""
    if not re.fullmatch(f"(?:{_PIECE.pattern})+", text):
        raise ValueError(EXPECTED)
    return sum((float(number) * _UNITS[unit] for number, unit in _PIECE.findall(text)), timedelta())


def written_duration(length: timedelta) -> str:
    """It in its largest unit that leaves no rest, so that it is read as the same."""
    fitting = (unit for unit in _WRITTEN if length and not length % _UNITS[unit])
    unit = next(fitting, "s")
    return f"{length / _UNITS[unit]:.6f}".rstrip("0").rstrip(".") + unit
