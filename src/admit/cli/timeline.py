"""A bar that shows where now lies between a token's iat, nbf and exp."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from admit.cli.times import is_time, relative, span

TIMES: Final = ("iat", "nbf", "exp")
_NAMES: Final = {"iat": "issued", "nbf": "not before", "exp": "expires"}


class Style(NamedTuple):
    """The characters of a bar: as the terminal's encoding has them."""

    gone: str
    left: str
    now: str
    edge: str
    gap: str


FINE: Final = Style("━", "─", "●", "┼", "┄")
PLAIN: Final = Style("=", "-", "*", "|", ".")


def times_of(claims: Mapping[str, object]) -> dict[str, float]:
    """The token's times that are times, by name."""
    return {
        name: float(value) for name in TIMES if is_time(value := claims.get(name)) and isinstance(value, int | float)
    }


def state(times: Mapping[str, float], now: float) -> str:
    """Where now lies, in words."""
    begin = max((times[name] for name in ("iat", "nbf") if name in times), default=None)
    if "exp" in times and now >= times["exp"]:
        return f"expired {relative(times['exp'], now)}"
    if begin is not None and now < begin:
        return f"not valid yet: it begins {relative(begin, now)}"
    if "exp" not in times:
        return "no exp: it never ends"
    life = f" of {span(times['exp'] - begin)}" if begin is not None else ""
    return f"{span(times['exp'] - now)}{life} left"


def bar(times: Mapping[str, float], now: float, width: int, style: Style = FINE) -> list[str]:
    """The bar and, beneath it, its labels. Empty where the token has no times, or they make no sense."""
    start = min((times[name] for name in ("iat", "nbf") if name in times), default=None)
    end = times.get("exp")
    if start is None or end is None or end <= start or width < 30:
        return []
    # Now may be years away from a life of minutes: then it stands outside, with a gap that has no scale.
    gap = 8
    before, after = (gap if now < start else 0), (gap if now >= end else 0)
    length = width - before - after

    def column(at: float) -> int:
        return before + min(round((at - start) / (end - start) * (length - 1)), length - 1)

    here = 0 if before else width - 1 if after else column(now)
    line = [style.gap] * width
    for each in range(before, before + length):
        line[each] = style.gone if each < here else style.left
    marks = {column(at): name for name, at in sorted(times.items())}
    for each in marks:
        line[each] = style.edge
    line[here] = style.now
    labels = sorted([(column(at), _NAMES[name]) for name, at in times.items()] + [(here, "now")])
    return ["".join(line), *_labels(labels, width)]


def _labels(labels: list[tuple[int, str]], width: int) -> list[str]:
    """Each label under its column, on the first line that has room for it."""
    lines: list[str] = []
    for column, text in labels:
        begin = max(min(column - len(text) // 2, width - len(text)), 0)
        for number, line in enumerate(lines):
            if len(line) + 1 < begin + (not line):
                lines[number] = line.ljust(begin) + text
                break
        else:
            lines.append(" " * begin + text)
    return lines
