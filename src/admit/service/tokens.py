"""Revocation and introspection of tokens that somebody shows (RFC 7009, RFC 7662)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from admit.errors import InvalidClient, InvalidGrant, InvalidRequest, InvalidToken
from admit.service import audit, refresh_token, revocation, sessions
from admit.service.refresh import parse
from admit.service.sessions import Outcome, Presented, Windows

if TYPE_CHECKING:
    from admit.service.core import Core
    from admit.service.results import Client, Session
    from admit.service.storage import Tx
    from admit.tokens.verifier import Verifier

_GOOD = frozenset((Outcome.ROTATE, Outcome.SAME, Outcome.REPLAY, Outcome.RETRY))
_INACTIVE: dict[str, object] = {"active": False}


class NotARefreshToken(InvalidRequest):
    """A refresh token is wanted, and an access token came."""

    public = "that is an access token; give the session's refresh token"


def revoke(core: Core, verifier: Verifier[Any], token: str, client: Client) -> None:
    """RFC 7009 2.1: an authenticated client's own token; what is no token, or no longer one, is answered with nothing.

    Raises InvalidGrant for another client's token, which stays as it is.
    """
    if refresh_token.like(token):
        end_by_token(core, token, "revoked", client)
        return
    try:
        claims = verifier.verify(token)
    except InvalidToken:
        return
    jti = claims.jti
    if claims.client_id != client.id:
        raise _anothers()
    if jti is None:
        return

    def change(tx: Tx) -> None:
        audit.record(tx, "token.revoked", sub=claims.sub, client_id=client.id, session_id=claims.sid)
        revocation.cut_off(tx, revocation.CutOff("jti", jti))

    core.write(change)


def logout(core: Core, token: str) -> None:
    """End the session of a refresh token of any generation; silent for what is no token.

    Raises NotARefreshToken for a JWT, such as the session's access token: whoever sends it believes to be logged out.
    """
    if token.startswith("eyJ") and token.count(".") == 2:  # as JSON objects begin: {"
        raise NotARefreshToken("logout was given a JWT, and wants the refresh token")
    end_by_token(core, token, "logout")


def end_by_token(core: Core, token: str, why: str, client: Client | None = None) -> None:
    """End the session of a refresh token of any generation; silent for what is none.

    client: whose it must be, None: whoever's. Raises InvalidGrant where it is another's.
    """
    try:
        shown = parse(core, token)
    except InvalidGrant:
        return

    def change(tx: Tx) -> None:
        row = sessions.find(tx, shown.session_id)
        if row is not None:
            if client is not None and row.client_id != client.id:
                raise _anothers()
            sessions.end(tx, row.id, why)

    core.write(change)


def _anothers() -> InvalidGrant:
    """RFC 6749 5.2: "was issued to another client"."""
    return InvalidGrant("the token was issued to another client, which alone may revoke it (RFC 7009 2.1)")


def session_of(core: Core, token: str) -> Session:
    """The live first-party session of a refresh token that would refresh; nothing is rotated. Raises InvalidGrant."""
    shown = parse(core, token)

    def look(tx: Tx) -> Session | None:
        row = sessions.find(tx, shown.session_id)
        presented = Presented(shown.hash, shown.generation, core.first_party.id)
        windows = Windows.of(core.first_party.policy, core.policy.clock_skew)
        if row is None or sessions.classify(row, presented, tx.now, windows) not in _GOOD:
            return None
        return next((session for session in sessions.live(tx, row.user_id) if session.id == row.id), None)

    found = core.read(look)
    if found is None:
        raise InvalidGrant("the refresh token is of no live first-party session")
    return found


def introspect(core: Core, verifier: Verifier[Any], token: str, client: Client) -> dict[str, object]:
    """RFC 7662 2.2, for a confidential client: tokens meant for it or issued to it. Raises InvalidClient."""
    if not client.confidential:
        raise InvalidClient("introspection wants a client that authenticates itself (RFC 7662 2.1)")
    if refresh_token.like(token):
        return _introspect_refresh(core, token, client)
    # Who asks wants to know how it is now, whichever process the revocation came to (RFC 7662 4).
    core.follower.keep_up(core.read(revocation.head))
    try:
        claims = verifier.verify(token)
    except InvalidToken:
        return dict(_INACTIVE)
    if claims.client_id != client.id and set(claims.aud).isdisjoint(client.audiences):
        return dict(_INACTIVE)
    return {**claims.raw, "active": True, "token_type": "Bearer"}  # last: no claim of a user's speaks for the service


def _introspect_refresh(core: Core, token: str, client: Client) -> dict[str, object]:
    try:
        shown = parse(core, token)
    except InvalidGrant:
        return dict(_INACTIVE)
    row, now = core.read(lambda tx: (sessions.find(tx, shown.session_id), tx.now))
    presented = Presented(shown.hash, shown.generation, client.id)
    windows = Windows.of(client.policy, core.policy.clock_skew)
    if row is None or sessions.classify(row, presented, now, windows) not in _GOOD:
        return dict(_INACTIVE)
    return {
        "active": True,
        "iss": core.issuer,
        "sub": row.user_id,
        "client_id": row.client_id,
        "scope": row.scope,
        "sid": row.id,
        "exp": min(row.idle_until, row.expires_at) // 1000,
    }
