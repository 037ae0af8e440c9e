"""Clients: who may ask for tokens. Their ids live in a namespace that user ids cannot enter.

Secrets are 256 random bits, so SHA-256 is the right hash: there is nothing to guess, and a slow hash would only let
strangers spend the service's time.
"""

from __future__ import annotations

import hmac
import re
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from sqlalchemy import RowMapping, insert, select, update

from admit import clock
from admit.errors import InvalidClient, InvalidRequest, InvalidScope, InvalidTarget, UnauthorizedClient
from admit.jose.encoding import b64url_encode
from admit.service import assertions, audit, revocation
from admit.service.assertions import ClientAssertion, Proven
from admit.service.results import Client, NewClient
from admit.service.schema import clients
from admit.service.session_policy import SessionPolicy, milliseconds, must_be_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from sqlalchemy import Column

    from admit.service.core import Core
    from admit.service.storage import Tx

PREFIX: Final = "client."
FIRST_PARTY: Final = "client.first-party"
SECRET_PREFIX: Final = "admit_cs_"  # noqa: S105 - what secret scanners look for
PASSWORD, REFRESH, CREDENTIALS = "password", "refresh_token", "client_credentials"
GRANTS: Final = frozenset((PASSWORD, REFRESH, CREDENTIALS))
OVERLAP: Final = timedelta(hours=24)
"""How long the secret before stays accepted: a day to bring the new one to every host."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SCOPE: Final = re.compile(r"[!#-\[\]-~]{1,128}")
"""One scope (RFC 6749 3.3): with a space in it, it would be granted as two."""
_AUDIENCE: Final = re.compile(r"[!-~]{1,256}")


class Clients:
    """The clients of a service: `service.clients`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def add(
        self,
        name: str,
        *,
        grants: Iterable[str],
        audiences: Sequence[str],
        scopes: Iterable[str] = (),
        confidential: bool = True,
        policy: SessionPolicy | None = None,
        jwks: Mapping[str, Any] | str | bytes | None = None,
    ) -> NewClient:
        """Add a client; its id is `client.` and the name, its secret is in the answer and nowhere else.

        grants: among password, refresh_token, client_credentials. audiences: the first is the default. policy: how its
        sessions refresh and end; without it the service's own, also when that changes. jwks: its public keys, with which
        it authenticates instead of with a secret (private_key_jwt). Raises InvalidRequest where the name is taken or
        something cannot be.
        """
        granted, given, scoped = frozenset(grants), tuple(audiences), frozenset(scopes)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidRequest("a client's name has 1 to 64 of A-Z a-z 0-9 . _ -")
        if not granted <= GRANTS or not given or not all(_AUDIENCE.fullmatch(item) for item in given):
            raise InvalidRequest(f"a client has grants among {', '.join(sorted(GRANTS))}, and at least one audience")
        if not all(SCOPE.fullmatch(scope) for scope in scoped):
            raise InvalidRequest("a scope is printable ASCII without spaces, quotes or backslashes (RFC 6749 3.3)")
        if CREDENTIALS in granted and not confidential:
            raise InvalidRequest("client_credentials is for confidential clients only (RFC 6749 4.4)")
        if policy is not None and not policy.rotate and not confidential:
            raise InvalidRequest("a public client's refresh tokens rotate (RFC 9700 2.2.2)")
        if jwks is not None and not confidential:
            raise InvalidRequest("a client that has keys is confidential")
        secret = _fresh_secret() if confidential and jwks is None else None
        client = Client(
            id=PREFIX + name,
            confidential=confidential,
            grants=granted,
            audiences=given,
            scopes=scoped,
            policy=policy or self._core.first_party.policy,
            secret_hash=None if secret is None else _hash(secret),
            jwks=None if jwks is None else assertions.read_keys(jwks),
        )
        taken = InvalidRequest("a client of that name exists")
        if client.id == FIRST_PARTY:
            raise taken
        self._core.write(lambda tx: _insert(tx, client, policy), taken=taken)
        return NewClient(client=client, secret=secret)

    def get(self, client_id: str) -> Client | None:
        """The client of that id."""
        return self._core.read(lambda tx: find(tx, client_id, self._core.first_party))

    def list(self) -> list[Client]:
        """All clients, the built-in one first."""
        first = self._core.first_party

        def query(tx: Tx) -> list[Client]:
            rows = tx.execute(select(clients).order_by(clients.c.id)).mappings().all()
            return [read(tx, row, first.policy) for row in rows]

        return [first, *self._core.read(query)]

    def rotate_secret(self, client_id: str, *, overlap: timedelta = OVERLAP) -> NewClient:
        """Give a client a new secret; the one before is accepted for `overlap` more, and any earlier one no longer.

        overlap: 0 where the old secret is known to others. Raises InvalidRequest for a client without a secret.
        """
        must_be_duration("overlap", overlap)
        secret = _fresh_secret()

        def values(tx: Tx) -> dict[str, Any]:
            return {
                "previous_hash": clients.c.secret_hash if overlap else None,
                "previous_until": tx.now + milliseconds(overlap),
                "secret_hash": _hash(secret),
            }

        client = self._renewed(client_id, clients.c.secret_hash, values, "client.secret_rotated", "secret")
        return NewClient(client=client, secret=secret)

    def set_keys(self, client_id: str, jwks: Mapping[str, Any] | str | bytes) -> Client:
        """Replace the public keys of a client that authenticates with a key; to rotate, give the old and the new one first.

        Raises InvalidRequest for keys that cannot be used, and for a client without keys.
        """
        text = assertions.read_keys(jwks)
        return self._renewed(client_id, clients.c.jwks, lambda _: {"jwks": text}, "client.keys_changed", "keys")

    def disable(self, client_id: str) -> None:
        """Refuse the client from now on, and cut off its access tokens. Raises InvalidRequest for an unknown one, and for the
        built-in one, which is no row."""
        if client_id == FIRST_PARTY:
            raise InvalidRequest(
                "the first-party client belongs to the service: disable its users, or revoke the signing key"
            )

        def change(tx: Tx) -> bool:
            off = update(clients).where(clients.c.id == client_id, clients.c.disabled_at.is_(None))
            if tx.execute(off.values(disabled_at=tx.now).returning(clients.c.id)).scalar() is None:
                return tx.execute(select(clients.c.id).where(clients.c.id == client_id)).scalar() is not None
            audit.record(tx, "client.disabled", client_id=client_id)
            revocation.cut_off(tx, revocation.CutOff("client", client_id))
            return True

        if not self._core.write(change):
            raise InvalidRequest("there is no client of that id")

    def authenticate(self, client_id: str, client_secret: str | ClientAssertion | None) -> Client:
        """The client, if that is its secret or its assertion. Raises InvalidClient (RFC 6749 2.3, RFC 7523 2.2)."""
        proof = proven(self._core, client_id, client_secret)
        return authenticated(self.get(client_id), proof)

    def _renewed(
        self, client_id: str, held: Column[Any], values: Callable[[Tx], dict[str, Any]], event: str, what: str
    ) -> Client:
        """The client once `values` are set, where it has something of the sort already."""

        def change(tx: Tx) -> Client | None:
            row = update(clients).where(clients.c.id == client_id, held.is_not(None), clients.c.disabled_at.is_(None))
            if tx.execute(row.values(values(tx)).returning(clients.c.id)).scalar() is None:
                return None
            audit.record(tx, event, client_id=client_id)
            return find(tx, client_id, self._core.first_party)

        client = self._core.write(change)
        if client is None:
            raise InvalidRequest(f"there is no such client, it is disabled, or it has no {what}")
        return client


def find(tx: Tx, client_id: str, first_party: Client) -> Client | None:
    """The client of that id, or None."""
    if client_id == first_party.id:
        return first_party
    if not isinstance(client_id, str) or "\0" in client_id:
        return None
    row = tx.execute(select(clients).where(clients.c.id == client_id)).mappings().one_or_none()
    return None if row is None else read(tx, row, first_party.policy)


def proven(core: Core, client_id: str, given: str | ClientAssertion | None) -> str | Proven | None:
    """What `authenticated` takes: an assertion is verified and used up first, once for a whole call; the rest is as given.

    Raises InvalidClient.
    """
    if given is None or isinstance(given, str):
        return given
    if not isinstance(given, ClientAssertion):
        raise InvalidClient("a client's secret is a string, or a ClientAssertion stands in its place")
    client, now = core.read(lambda tx: (find(tx, client_id, core.first_party), tx.now))
    return assertions.proof(core, client, now, given)


def authenticated(client: Client | None, proof: str | Proven | None) -> Client:
    """The client, if `proof` is a secret of its own, or its proven key; a public client has none. Raises InvalidClient."""
    if client is None or client.disabled or (proof is not None) != client.confidential:
        raise InvalidClient("unknown or disabled client, or the wrong kind of authentication")
    if isinstance(proof, Proven):
        if proof.client_id != client.id:
            raise InvalidClient("the assertion proves another client")
    elif proof is not None:
        shown = _hash(proof)
        # Both are always compared: how long it takes says nothing about which of them there are.
        matches = [hmac.compare_digest(shown, known or b"") for known in (client.secret_hash, client.previous_hash)]
        if not any(matches):
            raise InvalidClient("the client's secret is wrong")
    return client


def must_have(client: Client, grant: str) -> None:
    """Raise UnauthorizedClient unless the client has the grant."""
    if grant not in client.grants:
        raise UnauthorizedClient(f"this client does not have the grant {grant}")


def granted_scope(allowed: Iterable[str], asked: str | None) -> str:
    """The scopes to grant, sorted: those asked for, or all that are allowed. Raises InvalidScope (RFC 6749 3.3)."""
    scopes = frozenset(allowed)
    if asked is None or asked == "":
        return " ".join(sorted(scopes))
    wanted = frozenset(asked.split(" "))
    if not wanted <= scopes:
        raise InvalidScope("a scope is unknown, or wider than what was granted")
    return " ".join(sorted(wanted))


def granted_audience(client: Client, asked: str | None, default: str | None = None) -> str:
    """The audience to grant. Raises InvalidTarget where the client may not have it (RFC 8707 2)."""
    audience = asked or default or client.audiences[0]
    if audience not in client.audiences:
        raise InvalidTarget("this client may not have tokens for that audience")
    return audience


def read(tx: Tx, row: RowMapping, policy: SessionPolicy) -> Client:
    """A client from its row. policy: the service's, for one without its own."""
    until = row["previous_until"]
    overlaps = until is not None and tx.now < until
    return Client(
        id=row["id"],
        confidential=row["secret_hash"] is not None or row["jwks"] is not None,
        grants=frozenset(row["grants"].split()),
        audiences=tuple(row["audiences"].split()),
        scopes=frozenset(row["scopes"].split()),
        policy=policy if row["policy"] is None else SessionPolicy.load(row["policy"]),
        disabled=row["disabled_at"] is not None,
        secret_hash=row["secret_hash"],
        previous_hash=row["previous_hash"] if overlaps else None,
        previous_until=until / 1000 if overlaps else None,
        jwks=row["jwks"],
    )


def _insert(tx: Tx, client: Client, policy: SessionPolicy | None) -> None:
    values = {
        "id": client.id,
        "secret_hash": client.secret_hash,
        "jwks": client.jwks,
        "grants": " ".join(sorted(client.grants)),
        "audiences": " ".join(client.audiences),
        "scopes": " ".join(sorted(client.scopes)),
        "policy": None if policy is None else policy.dump(),
        "created_at": tx.now,
    }
    tx.execute(insert(clients), [values])
    audit.record(tx, "client.added", client_id=client.id)


def _fresh_secret() -> str:
    return SECRET_PREFIX + b64url_encode(clock.random_bytes(32)).decode()


def _hash(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()
