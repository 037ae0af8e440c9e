"""What refresh tokens are made with: a MAC key, and a secret that seals successors. Both change together, and log nobody out.

And the secret that names the counts of failed logins, which never changes: the counts would be lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import delete, exists, insert, select

from admit import clock
from admit.service import audit, rewrap
from admit.service.policy import Policy
from admit.service.schema import clients, secrets, sessions
from admit.service.session_policy import SessionPolicy, milliseconds

if TYPE_CHECKING:
    from admit.keyring.wrapping import MasterKeys
    from admit.service.storage import Tx

MAC: Final = "refresh token MAC"
SEAL: Final = "refresh token seal"
THROTTLE: Final = "throttle"
_BYTES: Final = 32


class Secrets(NamedTuple):
    """Those of every number that a live session may hold a token of; `current` is for new tokens."""

    macs: dict[int, bytes]
    seals: dict[int, bytes]
    current: int
    throttle: bytes
    turns_in: int | None = None
    """Milliseconds until the next number is for new tokens; None where there is none."""

    @property
    def mac(self) -> tuple[int, bytes]:
        """The number and the key for new tokens."""
        return self.current, self.macs[self.current]

    @property
    def seal(self) -> bytes:
        """What seals new successors."""
        return self.seals[self.current]


def lay(tx: Tx, master: MasterKeys) -> None:
    """Make the first ones where there are none."""
    if not tx.execute(select(exists().where(secrets.c.kind == MAC))).scalar():
        _add(tx, master, 1)
    if not tx.execute(select(exists().where(secrets.c.kind == THROTTLE))).scalar():
        _add(tx, master, 1, (THROTTLE,))


def rotate(tx: Tx, master: MasterKeys) -> int:
    """Add new ones; answers their number. Every process accepts them before the first of them makes tokens with them."""
    number = int(max(tx.execute(select(secrets.c.id).where(secrets.c.kind == MAC)).scalars())) + 1
    _add(tx, master, number)
    audit.record(tx, "mac.rotated", detail=f"number {number}")
    return number


def read(tx: Tx, master: MasterKeys, policy: Policy) -> Secrets:
    """Those in force. A number is for new tokens once no process can have a view of the keys without it."""
    opened: dict[str, dict[int, bytes]] = {MAC: {}, SEAL: {}, THROTTLE: {}}
    ripe: list[int] = []
    turns: list[int] = []
    rows = tx.execute(select(secrets).where(secrets.c.kind.in_(opened)).order_by(secrets.c.id)).all()
    for row in rows:
        opened[row.kind][row.id] = master.unwrap(row.kind, str(row.id), row.wrapped)
        if row.kind == MAC:
            wait = row.created_at + _spread(policy) - tx.now
            if ripe and wait > 0:
                turns.append(wait)
            else:
                ripe.append(row.id)
    return Secrets(opened[MAC], opened[SEAL], ripe[-1], opened[THROTTLE][1], min(turns, default=None))


def expirable(tx: Tx, policy: Policy) -> int | None:
    """The number of the oldest, once no live session began while it was in use: none can show a token of it, stolen or not."""
    first = tx.execute(
        select(secrets.c.id, secrets.c.created_at).where(secrets.c.kind == MAC).order_by(secrets.c.id).limit(2)
    ).all()
    if len(first) < 2:
        return None
    # The last process turns to the next number when it reads the keys anew after that was ripe.
    last_made = first[1].created_at + 2 * _spread(policy)
    own = tx.execute(select(clients.c.policy).where(clients.c.policy.is_not(None))).scalars()
    longest = max([policy.absolute, *(SessionPolicy.load(text).absolute for text in own)])
    if tx.now < last_made + milliseconds(longest):
        return None
    live = (sessions.c.ended_at.is_(None), sessions.c.idle_until > tx.now, sessions.c.expires_at > tx.now)
    if tx.execute(select(exists().where(sessions.c.created_at <= last_made, *live))).scalar():
        return None  # made under a setting that let it live longer
    return int(first[0].id)


def expire(tx: Tx, policy: Policy) -> bool:
    """Remove the oldest where it is expirable; whether it was."""
    number = expirable(tx, policy)
    if number is not None:
        tx.execute(delete(secrets).where(secrets.c.kind.in_((MAC, SEAL)), secrets.c.id == number))
        audit.record(tx, "mac.retired", detail=f"number {number}")
    return number is not None


def _add(tx: Tx, master: MasterKeys, number: int, kinds: tuple[str, ...] = (MAC, SEAL)) -> None:
    for kind in kinds:
        wrapped = rewrap.wrap(tx, master, kind, str(number), clock.random_bytes(_BYTES))
        tx.execute(insert(secrets), [{"kind": kind, "id": number, "wrapped": wrapped, "created_at": tx.now}])


def _spread(policy: Policy) -> int:
    return milliseconds(policy.key_reload + policy.clock_skew)
