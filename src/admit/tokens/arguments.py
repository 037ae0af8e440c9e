"""Arguments of what is built once: of the right sort, or a ConfigurationError that says how to mend them.

An argument of the wrong sort would otherwise be found out when a token arrives, or leave a check undone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Generic, TypeVar, get_origin

from admit.errors import ConfigurationError, shown
from admit.jose.encoding import prepare
from admit.tokens.kinds import Kind

T = TypeVar("T")


class Unchecked(Generic[T]):
    """The dangerous word: `issuer=Unchecked()` or `audience=Unchecked()` expects nothing, `leeway=Unchecked(timedelta(...))`
    goes beyond 60 s, `max_lifetime=Unchecked(timedelta(...))` beyond 24 h. Whoever writes it owes that check elsewhere."""

    __slots__ = ("value",)

    def __init__(self, value: T | None = None) -> None:
        self.value = value


def duration(value: object, name: str) -> timedelta:
    """The duration given, Unchecked or not: a number would leave its unit to be guessed, and below zero weakens nothing."""
    given = value.value or timedelta() if isinstance(value, Unchecked) else value
    if not isinstance(given, timedelta) or given < timedelta():
        raise ConfigurationError(f"{name} is a timedelta of 0 or more: write {name}=timedelta(seconds=...)")
    return given


def strings(value: str | Sequence[str], name: str) -> frozenset[str]:
    """One or several strings that are expected, never none."""
    found = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else ()
    if not found or not all(isinstance(item, str) and item for item in found):
        raise ConfigurationError(
            f"{name} is one or several non-empty strings; to expect none, write {name}=Unchecked()"
        )
    return frozenset(found)


def names(value: Iterable[str], name: str, such_as: str) -> tuple[str, ...]:
    """A collection of names, which may be empty; one string would be a collection of letters."""
    found = () if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    if isinstance(value, str) or not isinstance(value, Iterable) or not all(isinstance(x, str) and x for x in found):
        raise ConfigurationError(f"{name} is a collection of non-empty strings, such as {such_as}")
    return found


def must_be_a_kind(kind: object) -> None:
    """Raise ConfigurationError for what is no Kind: a name could be misspelled."""
    if not isinstance(kind, Kind):
        raise ConfigurationError(f"kind is a Kind, such as ACCESS or PLAIN, not {type(kind).__name__}")


def must_be_a_type(extra: object) -> None:
    """Raise ConfigurationError for what is neither None nor a type, as msgspec converts to."""
    if extra is not None and not isinstance(extra, type) and get_origin(extra) is None:
        raise ConfigurationError(f"extra is a type, such as a dataclass of yours, not {shown(extra)}")
    if extra is None:
        return
    try:
        prepare(extra)
    except NameError as error:
        raise ConfigurationError(
            f"extra={shown(extra)} names a type that msgspec cannot find: define both at the top of a module"
        ) from error
    except Exception as error:
        raise ConfigurationError(f"msgspec cannot convert to extra={shown(extra)}: {type(error).__name__}") from error


def must_be_a_clock(clock: object, name: str = "clock", unit: str = "seconds since 1970") -> None:
    """Raise ConfigurationError for what cannot be called."""
    if not callable(clock):
        raise ConfigurationError(f"{name} is a function that answers {unit}, not {type(clock).__name__}")


def must_be_seconds(value: object, name: str) -> None:
    """Raise ConfigurationError for what is no positive, finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigurationError(f"{name} is a positive number of seconds, such as 10.0, not {shown(value)}")
