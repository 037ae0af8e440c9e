"""The status lists of this service's sessions, for verifiers that do not follow its feed (draft-ietf-oauth-status-list).

A session's row holds its place, a number drawn at random; the row is the reservation. It outlives every token of the
session by a day, so a place is free again only when no token names it any more.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from math import ceil
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, or_, select, update

from admit import clock
from admit.jose.encoding import b64url_encode
from admit.service.results import PublishedStatusList
from admit.service.schema import clients, sessions, users
from admit.service.session_policy import milliseconds
from admit.tokens.status_list import INVALID, Reference, StatusList, StatusListToken

if TYPE_CHECKING:
    from admit.service.core import Core
    from admit.service.storage import Tx

SIZE: Final = 1 << 16
"""Places in one list: 8 KiB before compression, and at most so many rows to look at for one list."""
_DRAWS: Final = 8
_SHOWN: Final = milliseconds(timedelta(hours=12))
"""How long after a session's last limit its place still says "invalid": longer than any token of it lives, and so much
shorter than its row that every copy of the list has forgotten it when the place is given to somebody else."""


class StatusLists:
    """Makes the lists of one service."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._ttl = core.policy.status_list_ttl.total_seconds()
        self._shared = max(self._ttl / 10, 1.0)  # a list is at most so much older than its iat's second says
        self._held: dict[int, tuple[float, PublishedStatusList]] = {}
        self._busy: set[int] = set()

    def uris(self) -> list[str]:
        """Where the lists are; none where the service has none."""
        return [_uri(self._core, number) for number in range(self._core.read(_count))] if self._ttl else []

    def published(self, number: int) -> PublishedStatusList | None:
        """One signed list, made at most once in a tenth of its ttl, and in a second; None where there is no such list."""
        now, held = clock.monotonic(), self._held.get(number)
        # One that was signed by a key which was revoked since is good for nobody any more: its successor signs at once.
        if held is not None and held[1].kid in self._core.follower.current():
            # One caller makes the next list, and the others take the last one meanwhile.
            patience = self._shared if number in self._busy else 0.0
            if now < held[0] + patience:
                # A cache keeps it no longer than we do, or what it adds would come on top.
                return replace(held[1], max_age=max(ceil(held[0] - now), 0))
        self._busy.add(number)
        try:
            made = self._made(number) if self._ttl else None
        finally:
            self._busy.discard(number)
        if made is not None:
            self._held[number] = (now + self._shared, made)
        return made

    def _made(self, number: int) -> PublishedStatusList | None:
        core = self._core
        ring, iat = core.follower.view().access, int(core.clock())  # before the look: the list says "as of iat"
        signing = ring.active[ring.algorithm(core.algorithms[0])]  # as tokens are, whoever they are for

        def look(tx: Tx) -> list[int] | None:
            return _over(tx, number) if number < _count(tx) else None

        over = core.read(look)
        if over is None:
            return None
        statuses = StatusList.of(dict.fromkeys(over, INVALID), SIZE)
        exp = iat + 2 * max(int(self._ttl), 1)  # a service that is away is believed for one more ttl
        token = StatusListToken(_uri(core, number), iat, statuses, exp, self._ttl).sign(signing, core.issuer)
        tag = b64url_encode(sha256(token.encode()).digest()[:18]).decode()
        return PublishedStatusList(token=token, kid=signing.kid, max_age=ceil(self._shared), etag=f'"{tag}"')


def claims(core: Core, place: int | None) -> dict[str, object]:
    """The claim `status` of a session's access tokens; nothing where the service publishes no lists."""
    if place is None or not core.policy.status_list_ttl:
        return {}
    number, idx = divmod(place, SIZE)
    return {"status": Reference(idx, _uri(core, number)).claim()}


def drawn(core: Core) -> int | None:
    """A free place for a session that begins; None where the service publishes no lists."""
    return core.read(_free) if core.policy.status_list_ttl else None


def assigned(core: Core, session_id: str, place: int | None) -> int | None:
    """The place of a session; one that began before there were lists is given one now."""
    if place is not None or not core.policy.status_list_ttl:
        return place

    def change(tx: Tx) -> int | None:
        new = _free(tx)
        given = update(sessions).where(sessions.c.id == session_id, sessions.c.status_idx.is_(None))
        tx.execute(given.values(status_idx=new))
        return tx.execute(select(sessions.c.status_idx).where(sessions.c.id == session_id)).scalar()

    return core.write(change)


def _free(tx: Tx) -> int:
    """A place drawn at random from all lists, so that neighbors have nothing in common; from a new list once they fill up.

    Should another process draw the same at this moment, the column's uniqueness refuses one of the two: 503, try again.
    """
    lists = _count(tx)
    draws = [_below(lists * SIZE) for _ in range(_DRAWS)]
    taken = set(tx.execute(select(sessions.c.status_idx).where(sessions.c.status_idx.in_(draws))).scalars())
    return next((place for place in draws if place not in taken), lists * SIZE + _below(SIZE))


def _below(limit: int) -> int:
    return int.from_bytes(clock.random_bytes(8)) % limit


def _count(tx: Tx) -> int:
    """How many lists there are, at least one."""
    highest = tx.execute(select(func.max(sessions.c.status_idx))).scalar()
    return 1 if highest is None else highest // SIZE + 1


def _over(tx: Tx, number: int) -> list[int]:
    """The places in one list whose sessions are over before their time: ended, or cut off with their user or client.

    Whatever cuts a user off raises the epoch, disabling too.
    """
    first = number * SIZE
    query = (
        select(sessions.c.status_idx)
        .join(users, users.c.id == sessions.c.user_id)
        .outerjoin(clients, clients.c.id == sessions.c.client_id)
        .where(
            sessions.c.status_idx >= first,
            sessions.c.status_idx < first + SIZE,
            sessions.c.idle_until > tx.now - _SHOWN,
            or_(
                sessions.c.ended_at.is_not(None),
                sessions.c.epoch != users.c.epoch,
                clients.c.disabled_at.is_not(None),
            ),
        )
    )
    return [place - first for place in tx.execute(query).scalars()]


def _uri(core: Core, number: int) -> str:
    return f"{core.issuer.rstrip('/')}/status-lists/{number}"
