"""The life of a service's keys, drawn over time: a row for each key, with where now lies and what is due next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

from admit.cli.times import moment, relative, span

if TYPE_CHECKING:
    from admit.service.results import SigningKey

Part = tuple[str, str]
"""Text and its color; "" for none."""
_OLD: Final = 90 * 86400.0  # seconds: what ended earlier is counted, not drawn
_SKEW: Final = 60.0  # seconds by which another host's clock may be ahead without a word
_LOOKS: Final = {
    "pending": ("░", ".", "yellow"),
    "active": ("█", "#", "green"),
    "retiring": ("▒", "=", "cyan"),
    "retired": (" ", " ", ""),
    "revoked": ("×", "x", "red"),
}
"""What a state is drawn with, in Unicode and in ASCII, and its color."""
_COMES: Final = {"active": "signs", "retiring": "is rotated", "retired": "retires"}
_NAMED: Final = {"pending": "begins to sign", "active": "is rotated", "retiring": "retires"}


def timeline(keys: Sequence[SigningKey], now: float, width: int, *, fine: bool) -> Iterator[list[Part]]:
    """Lines of parts. width: characters of a bar. fine: whether the terminal has more than ASCII."""
    for (use, alg), group in groupby(keys, key=lambda key: (key.use, key.alg)):
        every = list(group)
        shown = [key for key in every if key.ended_at is None or key.ended_at > now - _OLD]
        older = len(every) - len(shown)
        yield [(f"{use} {alg}" + (f", and {older} older" if older else ""), "")]
        start = min((key.created_at for key in shown), default=now)
        end = max((at for key in shown for at in (key.next_at, now + 1) if at is not None), default=now)
        for key in shown:
            yield [("  ", ""), (key.kid, ""), ("  ", ""), (key.state, _LOOKS[key.state][2]), (_told(key, now), "")]
            yield [("  ", ""), *_bar(key, now, start, end, width, fine)]
        yield [("  " + _axis(now, start, end, width), "")]
    due = next_due(keys)
    yield [("next: nothing is due" if due is None else f"next: {_due(due, now)}", "")]


def next_due(keys: Iterable[SigningKey]) -> SigningKey | None:
    """The key whose step is due first."""
    return min((key for key in keys if key.next_at is not None), key=lambda key: key.next_at or 0.0, default=None)


def _due(key: SigningKey, now: float) -> str:
    at = key.next_at or now
    when = "due now" if at <= now else f"{relative(at, now)} ({moment(at)})"
    return f"{when}, the {key.use} {key.alg} key {key.kid} {_NAMED[key.state]}"


def _told(key: SigningKey, now: float) -> str:
    began = {"pending": key.created_at, "active": key.active_at, "retiring": key.retiring_at}.get(
        key.state, key.ended_at
    )
    said = "" if began is None else f" since {span(now - began)}"
    if began is not None and began > now + _SKEW:
        said = f", by a clock that was {span(began - now)} ahead"
    if key.next_at is None or key.next_state is None:
        return said
    return f"{said}, {_COMES[key.next_state]} {'now' if key.next_at <= now else relative(key.next_at, now)}"


def _axis(now: float, start: float, end: float, width: int) -> str:
    """The days at both ends, and now."""
    first, last, here = moment(start)[:10], moment(end)[:10], _column(now, start, end, width)
    line = first.ljust(width - len(last)) + last
    begin = min(max(here - 1, 0), width - 3)
    free = len(first) < begin and begin + 3 < width - len(last)
    return line[:begin] + "now" + line[begin + 3 :] if free else " " * begin + "now"


def _bar(key: SigningKey, now: float, start: float, end: float, width: int, fine: bool) -> list[Part]:
    changes: list[tuple[float, str]] = [(key.created_at, "pending")]
    changes += [(at, name) for at, name in ((key.active_at, "active"), (key.retiring_at, "retiring")) if at is not None]
    if key.ended_at is not None:
        changes.append((key.ended_at, key.state))
    elif key.next_at is not None and key.next_state is not None:
        changes.append((max(key.next_at, now), key.next_state))
    here = _column(now, start, end, width)
    cells = [" "] * width
    names = [""] * width
    for at, name in changes:
        first = _column(at, start, end, width)
        for each in range(first, width):
            # What was revoked is marked where it was; what retires leaves nothing.
            cells[each] = _LOOKS[name][0 if fine else 1] if name != "revoked" or each == first else " "
            names[each] = _LOOKS[name][2]
    cells[here], names[here] = ("│" if fine else "|"), ""
    return [("".join(cells[i] for i in run), color) for color, run in _runs(names)]


def _runs(names: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    for color, run in groupby(range(len(names)), key=lambda each: names[each]):
        yield color, list(run)


def _column(at: float, start: float, end: float, width: int) -> int:
    return min(max(round((at - start) / max(end - start, 1.0) * (width - 1)), 0), width - 1)
