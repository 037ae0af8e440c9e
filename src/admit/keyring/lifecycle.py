"""The life of a signing key, as data and pure functions. Times are integer milliseconds; `now` is an argument.

    pending --> active --> retiring --> retired
       |          |           |            |
       `----------+-----------+------------+--> revoked

pending: published, not signing yet, so that every verifier holds it before it is needed. active: signs. retiring: only
verifies, until the last token it signed has expired. retired: gone from the JWKS. revoked: cut off by hand, for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence


class State(StrEnum):
    """Where a key stands."""

    PENDING = "pending"
    ACTIVE = "active"
    RETIRING = "retiring"
    RETIRED = "retired"
    REVOKED = "revoked"


NEXT: Final[dict[State, frozenset[State]]] = {
    State.PENDING: frozenset((State.ACTIVE, State.REVOKED)),
    State.ACTIVE: frozenset((State.RETIRING, State.REVOKED)),
    State.RETIRING: frozenset((State.RETIRED, State.REVOKED)),
    State.RETIRED: frozenset((State.REVOKED,)),
    State.REVOKED: frozenset(),
}
"""Every transition there is."""

PUBLISHED: Final = frozenset((State.PENDING, State.ACTIVE, State.RETIRING))
"""The states whose keys stand in the JWKS."""

HOLDS_PRIVATE: Final = frozenset((State.PENDING, State.ACTIVE))
"""The states that keep the private half; it is destroyed on leaving them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTimes:
    """What decides about one key."""

    kid: str
    state: State
    ordinal: int
    """Counts the keys of one algorithm; the store keeps it unique, so that two processes cannot both add the next."""
    created_at: int
    active_at: int | None = None
    retiring_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The waits, in milliseconds."""

    lifetime: int
    """How long a key signs."""
    published: int
    """How long a key is published before it signs: JWKS max-age, reload and skew."""
    retire_after: int
    """How long it verifies after it stopped signing: reload, the longest life it signed, and leeway."""


class Action(StrEnum):
    """What a step does."""

    ADD = "add"
    """Add a pending key."""
    ACTIVATE = "activate"
    """The pending key begins to sign; nothing signed before it."""
    ROTATE = "rotate"
    """The active key starts retiring and the pending one signs, in one transaction."""
    RETIRE = "retire"
    """A retiring key leaves the JWKS."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `kid` is the key that changes (for ROTATE, that stops signing), `successor` the one that signs."""

    action: Action
    ordinal: int = 0
    kid: str = ""
    successor: str = ""


def next_step(keys: Sequence[KeyTimes], now: int, timing: Timing) -> Step | None:
    """The one step due for the keys of one algorithm, or None. After months asleep a service catches up by steps."""
    active, pending = _one(keys, State.ACTIVE), _one(keys, State.PENDING)
    if pending is None:
        return Step(Action.ADD, ordinal=max((key.ordinal for key in keys), default=0) + 1)
    if active is None:
        return Step(Action.ACTIVATE, successor=pending.kid)
    if now >= (active.active_at or 0) + timing.lifetime and wait_before_rotation(keys, now, timing) == 0:
        return rotation(keys)
    for key in keys:
        if key.state is State.RETIRING and now >= (key.retiring_at or 0) + timing.retire_after:
            return Step(Action.RETIRE, kid=key.kid)
    return None


def rotation(keys: Sequence[KeyTimes]) -> Step | None:
    """The step that rotates now, whatever the age of the keys; None without a standby and an active key."""
    active, pending = _one(keys, State.ACTIVE), _one(keys, State.PENDING)
    return Step(Action.ROTATE, kid=active.kid, successor=pending.kid) if active and pending else None


def wait_before_rotation(keys: Sequence[KeyTimes], now: int, timing: Timing) -> int:
    """Milliseconds until every verifier holds the standby; 0 where rotating locks nobody out."""
    active, pending = _one(keys, State.ACTIVE), _one(keys, State.PENDING)
    if active is None or pending is None or pending.created_at <= active.created_at:
        return 0  # whoever has a JWKS with the active key has the standby in it: they were published together
    return max(0, pending.created_at + timing.published - now)


def _one(keys: Sequence[KeyTimes], state: State) -> KeyTimes | None:
    found = [key for key in keys if key.state is state]
    return min(found, key=lambda key: key.ordinal) if found else None
