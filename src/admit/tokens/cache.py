"""Tokens already verified: a bounded LRU that never outlives a token, a key or a revocation.

An entry is found by the whole token only, and a hit is judged again for its times and for revocation (CVE-2026-35039).
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections import OrderedDict
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec

from admit.errors import ConfigurationError
from admit.tokens.claims import Claims

E = TypeVar("E")
_ATOMS = (str, bytes, int, float, bool, type(None), datetime, date, time, timedelta, Decimal, UUID)


class TokenCache(Generic[E]):
    """At most `size` verified tokens of one verifier and one snapshot of its keys."""

    __slots__ = ("_entries", "evictions", "hits", "misses", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.hits = self.misses = self.evictions = 0
        self._entries: OrderedDict[str | bytes, Claims[E]] = OrderedDict()

    def get(self, token: str | bytes) -> Claims[E] | None:
        """The claims of a token that was verified before, or None. Their times are the caller's to judge again."""
        claims = self._entries.get(token)
        if claims is None:
            self.misses += 1
            return None
        try:  # noqa: SIM105 - contextlib.suppress takes a sixth of the whole hit
            self._entries.move_to_end(token)
        except KeyError:  # another thread evicted it meanwhile; what was verified stays verified
            pass
        self.hits += 1
        return claims

    def put(self, token: str | bytes, claims: Claims[E]) -> None:
        """Keep a verified token; the least recently used one makes room."""
        entries = self._entries
        entries[token] = claims
        while len(entries) > self.size:
            try:
                entries.popitem(last=False)
            except KeyError:  # another thread emptied it
                return
            self.evictions += 1

    def drop(self, token: str | bytes) -> None:
        """Forget a token that was found, and whose times no longer hold: no hit after all."""
        self._entries.pop(token, None)
        self.hits -= 1
        self.misses += 1

    def __len__(self) -> int:
        return len(self._entries)


def require_immutable(extra: Any) -> None:
    """Refuse an `extra` type whose values can be changed: one caller's change would be what the next caller gets."""
    if not _immutable(extra, set()):
        name = getattr(extra, "__name__", repr(extra))
        raise ConfigurationError(
            f"with a cache, extra={name} must be immutable: a frozen dataclass or Struct of scalars, tuples and frozensets"
        )


def _immutable(kind: Any, seen: set[Any]) -> bool:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _immutable(arguments[0], seen)
    if origin is typing.Literal:
        return True
    if origin in (typing.Union, types.UnionType, tuple, frozenset):
        return all(item is Ellipsis or _immutable(item, seen) for item in arguments)
    if not isinstance(kind, type) or origin is not None:
        return False
    if kind in _ATOMS or kind in seen or issubclass(kind, enum.Enum):
        return True
    seen.add(kind)
    if issubclass(kind, msgspec.Struct):
        frozen = kind.__struct_config__.frozen
    elif dataclasses.is_dataclass(kind):
        frozen = kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    else:
        return False
    return bool(frozen) and all(_immutable(hint, seen) for hint in typing.get_type_hints(kind).values())
