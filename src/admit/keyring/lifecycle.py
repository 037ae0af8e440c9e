"""The life of a signing key, as data and pure functions. Times are integer milliseconds; `now` is an argument.

    pending --> active --> retiring --> retired
       |          |           |            |
       `----------+-----------+------------+--> revoked

pending: published, not signing yet, so that every verifier holds it before it is needed. active: signs. retiring: only
verifies, until the last token it signed has expired. retired: gone from the JWKS. revoked: cut off by hand, for good.
Each algorithm has keys of its own, and always a pending one, its standby; where an algorithm is given up, its standby goes
from pending to retired.
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
    """How long it verifies after it stopped signing: reload, the longest life it signed, leeway and skew."""


class Action(StrEnum):
    """What a step does."""

    ADD = "add"
    """Add a pending key."""
    ACTIVATE = "activate"
    """The pending key begins to sign; no key of its algorithm did."""
    ROTATE = "rotate"
    """The active key starts retiring and the pending one signs, in one transaction."""
    STOP = "stop"
    """The active key of an algorithm that nobody signs with any more starts retiring."""
    WITHDRAW = "withdraw"
    """The standby of such an algorithm leaves the JWKS without ever having signed."""
    RETIRE = "retire"
    """A retiring key leaves the JWKS."""


TRANSITIONS: Final[dict[Action, tuple[tuple[State, State], ...]]] = {
    Action.ACTIVATE: ((State.PENDING, State.ACTIVE),),
    Action.ROTATE: ((State.ACTIVE, State.RETIRING), (State.PENDING, State.ACTIVE)),
    Action.STOP: ((State.ACTIVE, State.RETIRING),),
    Action.WITHDRAW: ((State.PENDING, State.RETIRED),),
    Action.RETIRE: ((State.RETIRING, State.RETIRED),),
}
"""The states that a step's keys leave and come into; whichever becomes active is its successor. From any a key can be revoked."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `kid` is the key that changes (for ROTATE, that stops signing), `successor` the one that signs."""

    action: Action
    ordinal: int = 0
    kid: str = ""
    successor: str = ""


def next_step(
    keys: Sequence[KeyTimes], now: int, timing: Timing, *, wanted: bool = True, covered: bool = False
) -> Step | None:
    """The one step due for the keys of one algorithm, or None. After months asleep a service catches up by steps.

    wanted: whether the service is to sign with this algorithm. covered: whether others sign for as long as it does not.
    """
    active, standbys = _active(keys), _standbys(keys)
    if wanted:
        if not standbys:
            return Step(Action.ADD, ordinal=next_ordinal(keys))
        if active is None:
            if not covered:  # nothing else can sign: of those at hand, the one that most verifiers hold
                return Step(Action.ACTIVATE, successor=standbys[0].kid)
            if now >= standbys[-1].created_at + timing.published:
                return Step(Action.ACTIVATE, successor=standbys[-1].kid)
        elif (due := rotation_due(keys, timing)) is not None and now >= due:
            return rotation(keys)
    elif covered:
        # A process that still wants it would have rotated by now: so nobody does, and no process argues with another.
        given_up = timing.lifetime + timing.published
        if active is not None and now >= (active.active_at or 0) + given_up:
            return Step(Action.STOP, kid=active.kid)
        if active is None and standbys and now >= standbys[0].created_at + given_up:
            return Step(Action.WITHDRAW, kid=standbys[0].kid)
    for key in keys:
        if key.state is State.RETIRING and now >= retirement_due(key, timing):
            return Step(Action.RETIRE, kid=key.kid)
    return None


def rotation(keys: Sequence[KeyTimes], *, force: bool = False) -> Step | None:
    """The step that rotates now, whatever the age of the keys; None without a standby and an active key.

    The newest standby is next: one that was imported goes before the one that was there. By force, before verifiers hold
    that, it is the oldest one, which most of them hold.
    """
    active, standbys = _active(keys), _standbys(keys)
    if active is None or not standbys:
        return None
    return Step(Action.ROTATE, kid=active.kid, successor=standbys[0 if force else -1].kid)


def removal(keys: Sequence[KeyTimes]) -> Step | None:
    """The step that takes an algorithm out of use now; None where it is."""
    active, standbys = _active(keys), _standbys(keys)
    if active is not None:
        return Step(Action.STOP, kid=active.kid)
    return Step(Action.WITHDRAW, kid=standbys[0].kid) if standbys else None


def wait_before_rotation(keys: Sequence[KeyTimes], now: int, timing: Timing) -> int:
    """Milliseconds until every verifier holds the standby; 0 where rotating locks nobody out."""
    active, standbys = _active(keys), _standbys(keys)
    return max(0, _held_everywhere(active, standbys[-1], timing) - now) if active and standbys else 0


def rotation_due(keys: Sequence[KeyTimes], timing: Timing) -> int | None:
    """When the active key of one algorithm is to be rotated; None without one, or without a standby."""
    active, standbys = _active(keys), _standbys(keys)
    if active is None or not standbys:
        return None
    return max((active.active_at or 0) + timing.lifetime, _held_everywhere(active, standbys[-1], timing))


def retirement_due(key: KeyTimes, timing: Timing) -> int:
    """When a retiring key has no unexpired token left."""
    return (key.retiring_at or 0) + timing.retire_after


def next_ordinal(keys: Sequence[KeyTimes]) -> int:
    """That of the next key to add."""
    return max((key.ordinal for key in keys), default=0) + 1


def _held_everywhere(active: KeyTimes, standby: KeyTimes, timing: Timing) -> int:
    # Whoever has a JWKS with the active key has the standby in it, where that was there before, or came with the very first
    # key. Numbers say so: times of two clocks, or within one tick, do not.
    together = (active.ordinal, standby.ordinal) == (1, 2) and active.created_at == active.active_at
    if standby.ordinal < active.ordinal or (together and standby.created_at == active.created_at):
        return 0
    return standby.created_at + timing.published


def _active(keys: Sequence[KeyTimes]) -> KeyTimes | None:
    return next((key for key in keys if key.state is State.ACTIVE), None)


def _standbys(keys: Sequence[KeyTimes]) -> list[KeyTimes]:
    return sorted((key for key in keys if key.state is State.PENDING), key=lambda key: key.ordinal)
