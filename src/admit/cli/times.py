"""Times as people say them: "2 h 3 min ago", "10m"."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from admit.cli.exits import Stop
from admit.tokens.durations import EXPECTED, read_duration

_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_LAST: Final = 253_402_300_799  # of the year 9999


def span(seconds: float) -> str:
    """A length of time in its two largest units: "2 h 3 min"."""
    rest = int(abs(seconds))
    if rest >= 2 * 365 * 86400:
        return f"{rest / 31_556_952:.0f} years"
    for index, (unit, size) in enumerate(_UNITS):
        if rest >= size:
            smaller, its_size = _UNITS[min(index + 1, len(_UNITS) - 1)]
            more = rest % size // its_size
            return f"{rest // size} {unit}" + (f" {more} {smaller}" if more else "")
    return "0 s"


def relative(at: float, now: float) -> str:
    """Where a time lies from now: "in 9 min", "2 h 3 min ago", "now"."""
    away = at - now
    if abs(away) < 1:
        return "now"
    return f"in {span(away)}" if away > 0 else f"{span(away)} ago"


def moment(at: float) -> str:
    """A time in this machine's time zone."""
    if at > _LAST:
        return "9999-12-31 or later"
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def is_time(value: object) -> bool:
    """Whether a claim's value can be a time at all: a number between 1970 and 9999, and not a boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LAST


def parse_span(text: str) -> timedelta:
    """A length of time from "30s", "10m", "1h30m" or "7d". A bare number has no unit and is refused."""
    try:
        return read_duration(text)
    except OverflowError:
        raise Stop("that length of time is longer than any calendar") from None
    except ValueError:
        raise Stop(f"a length of time is {EXPECTED}") from None
