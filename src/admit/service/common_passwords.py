"""Passwords that anybody would try first: those of a list, one repeated, and the user's own name."""

from __future__ import annotations

from functools import cache
from typing import Final

_SHORT: Final = 4  # characters that a whole password only repeats
_REPEATED: Final = 64  # characters looked at; a longer password that still repeats itself is as weak as its beginning


def is_common(password: str, name: str | None) -> bool:
    """Whether a password, as a whole and in any casing, is among those tried first (NIST SP 800-63B-4 3.1.1.2)."""
    text = password.casefold()
    unit = _unit(text[:_REPEATED])
    own = (name or "").casefold()
    return len(unit) <= _SHORT or text in _listed() or unit in _listed() or (own != "" and own in (text, unit))


def _unit(text: str) -> str:
    """What the text repeats: "abc" for "abcabcab", the text itself where nothing is repeated."""
    return next((text[:size] for size in range(1, len(text) + 1) if text.startswith(text[size:])), "")


@cache
def _listed() -> frozenset[str]:
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # here: it is large, and only a new password needs it

    return frozenset(FREQUENCY_LISTS["passwords"])
