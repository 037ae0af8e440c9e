"""Refresh and logout: from a presented refresh token to one of the outcomes of admit.service.sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from admit.errors import InvalidGrant, StorageUnavailable
from admit.service import accounts, audit, clients, refresh_token, sessions, status_lists
from admit.service.login import note, user_claims
from admit.service.results import Client, TokenPair
from admit.service.session_policy import USER, milliseconds
from admit.service.sessions import Outcome, Presented, Row, Windows

if TYPE_CHECKING:
    from collections.abc import Callable

    from admit.service.assertions import ClientAssertion
    from admit.service.core import Core
    from admit.service.refresh_token import RefreshToken
    from admit.service.storage import Tx

_ATTEMPTS: Final = 8  # a loser of the swap classifies itself anew; each loss means that somebody else won


def refresh(
    core: Core,
    text: str,
    *,
    client_id: str,
    client_secret: str | ClientAssertion | None,
    scope: str | None,
    audience: str | None,
    address: str,
) -> TokenPair:
    """Exchange a refresh token (RFC 6749 6).

    In this order: the MAC, before any database work; the client; scope and audience; the new access token is signed;
    and only then the swap. So neither a bad request nor a failed signer uses a token up.
    """
    old = parse(core, text)
    proof = clients.proven(core, client_id, client_secret)

    def look(tx: Tx) -> tuple[Client | None, Row | None, int]:
        return clients.find(tx, client_id, core.first_party), sessions.find(tx, old.session_id), tx.now

    for _ in range(_ATTEMPTS):
        client, row, now = core.read(look)
        client = clients.authenticated(client, proof)
        clients.must_have(client, clients.REFRESH)
        if row is None:
            raise InvalidGrant("there is no such session")
        windows = Windows.of(client.policy, core.policy.clock_skew)
        outcome = sessions.classify(row, Presented(old.hash, old.generation, client.id), now, windows)
        if outcome is Outcome.REFUSED:
            raise InvalidGrant("the session is over, or another client's")
        if outcome is Outcome.REUSE:
            _reused(core, row, client, address)
            raise InvalidGrant("the refresh token was used before; its session is ended")
        if outcome is Outcome.AHEAD:
            _record_once(core, "session.ahead", row, address, _never_ahead)
            raise InvalidGrant("the refresh token is newer than the database")
        pair = _exchange(core, outcome, old, row, client, now, scope, audience, windows, address)
        if pair is not None:
            return pair
    raise StorageUnavailable("the session changed too often at the same time")


def parse(core: Core, text: str) -> RefreshToken:
    """The refresh token, if it is one of this service's. Raises InvalidGrant; asks no database."""
    return refresh_token.parse(text, core.follower.view().secrets.macs)


def _exchange(
    core: Core,
    outcome: Outcome,
    old: RefreshToken,
    row: Row,
    client: Client,
    now: int,
    scope: str | None,
    audience: str | None,
    windows: Windows,
    address: str,
) -> TokenPair | None:
    """The pair for one of the four good outcomes; None where the swap was lost."""
    granted = clients.granted_scope(row.scope.split(), scope)
    meant_for = clients.granted_audience(client, audience, row.audience)
    idle_until = row.idle_until
    if outcome is Outcome.ROTATE or not client.policy.rotate:
        idle_until = min(now + milliseconds(client.policy.idle), row.expires_at)
    own = {"sid": row.id, "epoch": row.epoch, "auth_time": row.auth_time // 1000, "amr": row.auth_method.split()}
    claims = user_claims(core, row.user_id) | own
    claims |= status_lists.claims(core, status_lists.assigned(core, row.id, row.status_idx))
    token, lifetime = core.sign(
        now=now,
        sub=row.user_id,
        client_id=client.id,
        audience=meant_for,
        scope=granted,
        ends_at=idle_until,
        claims=claims,
    )
    secrets = core.follower.view().secrets
    if outcome is Outcome.ROTATE:
        new = refresh_token.issue(row.id, old.generation + 1, *secrets.mac)
        sealed = refresh_token.seal(new, old, secrets.seal, client.id)
        if not core.write(
            lambda tx: sessions.swap(
                tx, old, new, client_id=client.id, sealed=sealed, now=now, windows=windows, idle_until=idle_until
            ),
            single=True,
        ):
            return None
        text = new.text
    elif outcome is Outcome.SAME:
        text = old.text
        if not client.policy.rotate:
            if not core.write(lambda tx: sessions.extend(tx, old, now, idle_until), single=True):
                return None
        elif not row.seen:
            core.write(lambda tx: sessions.mark_seen(tx, old, now))
    else:
        text = refresh_token.unseal(row.successor or b"", old, secrets.seals.values(), client.id)
        if outcome is Outcome.RETRY:
            _record_once(core, "session.retry", row, address, sessions.mark_retried)
    return TokenPair(
        access_token=token,
        expires_in=lifetime,
        scope=granted,
        refresh_token=text,
        session_id=row.id,
        sub=row.user_id,
    )


def _reused(core: Core, row: Row, client: Client, address: str) -> None:
    """An old token came back: its session ends, and where the client's policy says so, everything of its user."""

    def change(tx: Tx) -> None:
        if sessions.end(tx, row.id, "reuse", address=note(address)) and client.policy.reuse == USER:
            accounts.raise_epoch(tx, row.user_id, core.own_users, "user.reuse")

    core.write(change)


def _record_once(core: Core, event: str, row: Row, address: str, first: Callable[[Tx, Row], bool]) -> None:
    """Whoever sends a token again and again does not fill the trail."""

    def change(tx: Tx) -> None:
        if first(tx, row):
            told = {"sub": row.user_id, "client_id": row.client_id, "session_id": row.id}
            audit.record(tx, event, address=note(address), **told)

    core.write(change)


def _never_ahead(tx: Tx, row: Row) -> bool:
    sessions.hold(tx, row.id)  # or all who come at once would be the first
    return not audit.told(tx, "session.ahead", row.user_id, row.id)
