"""TokenService: the whole service behind one object. Plain calls; each is one transaction (AsyncTokenService is in aio.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Engine

from admit.clock import Clock
from admit.service.policy import Policy
from admit.service.results import AccessToken, AuditEvent, Client, NewClient, Session, SigningKey, TokenPair, User

if TYPE_CHECKING:
    from admit.tokens.verifier import Verifier

E = TypeVar("E")
FIRST_PARTY = "client.first-party"


class TokenService:
    """Issues, refreshes, revokes and rotates, over one SQL database (SQLite or PostgreSQL).

    database: an SQLAlchemy Engine or a URL (`sqlite:///auth.db`, `postgresql+psycopg://...`); tables begin with admit_.
    issuer: the `iss` of every token. audience: the audiences of the built-in first-party client, the first its default.
    scopes: what the first-party client may grant; a login that asks for none gets all of them.
    users: the application's own user table (UserStore); without it, the built-in one.
    claims: called with the sub at login and refresh, answers further claims for the access token.
    master_key: 32 bytes, {version: 32 bytes} (the highest wraps), or the path of a file; without it, on SQLite, a file
    beside the database (`auth.db.key`, mode 0600), made only while the database holds nothing wrapped.
    on_event: called with each AuditEvent after its transaction committed; its exceptions are swallowed.
    clock: for tests; without it, the database's own clock decides.
    Raises ConfigurationError (wrong or missing master key, contradictory settings), StorageUnavailable.
    Every method may raise StorageUnavailable (503): nothing was judged, the caller may try again.
    """

    def __init__(
        self,
        database: Engine | str,
        *,
        issuer: str,
        audience: str | Sequence[str],
        scopes: Sequence[str] = (),
        users: UserStore | None = None,
        claims: Callable[[str], Mapping[str, object]] | None = None,
        master_key: bytes | Mapping[int, bytes] | Path | None = None,
        algorithm: str = "ES256",
        policy: Policy = Policy(),
        on_event: Callable[[AuditEvent], None] | None = None,
        clock: Clock | None = None,
    ) -> None: ...

    users: Users  # .add(name, password) -> User; .list(after="", limit=100) -> list[User]; .get(sub); .find(name) -> User | None
    # .disable(sub); .enable(sub); .set_password(sub, password)      (users() of an own store: disable/enable/get only)
    clients: Clients  # .add(name, *, grants, audiences, scopes=(), confidential=True) -> NewClient; .list() ; .get(id); .disable(id)
    # .authenticate(client_id, client_secret) -> Client   (InvalidClient)
    keys: Keys  # .list() -> list[SigningKey]; .rotate(force=False) -> SigningKey; .revoke(kid); .step() -> bool
    issuer: str
    policy: Policy

    def login(
        self,
        name: str,
        password: str,
        *,
        client_id: str = FIRST_PARTY,
        client_secret: str | None = None,
        audience: str | None = None,
        scope: str | None = None,
        device: str = "",
        address: str = "",
    ) -> TokenPair:
        """A new session. Raises InvalidGrant (wrong password, unknown or disabled user, alike), InvalidClient,
        UnauthorizedClient, InvalidScope, InvalidTarget, TooManyRequests."""

    def refresh(
        self,
        refresh_token: str,
        *,
        client_id: str = FIRST_PARTY,
        client_secret: str | None = None,
        scope: str | None = None,
        audience: str | None = None,
        address: str = "",
    ) -> TokenPair:
        """RFC 6749 6. `scope` may only narrow. Raises InvalidGrant, InvalidClient, InvalidScope, InvalidTarget."""

    def client_credentials(
        self, client_id: str, client_secret: str, *, scope: str | None = None, audience: str | None = None
    ) -> AccessToken:
        """RFC 6749 4.4; the sub is the client id. Raises InvalidClient, UnauthorizedClient, InvalidScope, InvalidTarget."""

    def revoke(self, token: str, *, client_id: str = FIRST_PARTY, client_secret: str | None = None) -> None:
        """RFC 7009: a refresh token of any generation ends its session, an access token is cut off by jti. Unknown tokens and
        other clients' tokens are answered alike, with nothing. Raises InvalidClient."""

    def introspect(self, token: str, *, client_id: str, client_secret: str) -> dict[str, object]:
        """RFC 7662: the JSON object to answer; {"active": False} for anything that is not this caller's to see.
        Raises InvalidClient; the first-party client, being public, may not introspect."""

    def logout(self, refresh_token: str) -> None:
        """Ends the session of a refresh token of any generation; silent for anything else."""

    def logout_everywhere(self, sub: str) -> None:
        """Ends every session and cuts off every access token of a subject."""

    def sessions(self, sub: str) -> list[Session]:
        """The subject's live sessions, newest first."""

    def end_session(self, sub: str, session_id: str) -> bool:
        """Ends one of the subject's sessions; False where it has no such live session."""

    def jwks(self) -> dict[str, Any]:
        """The JWK Set of access-token keys (RFC 7517 5), from memory where fresh."""

    def feed_jwks(self) -> dict[str, Any]:
        """The JWK Set of the key that signs only the revocation feed."""

    def feed(self, since: int | None = None, epoch: str | None = None) -> str:
        """The signed revocation feed after `since`: a compact JWS, typ `revocations+jwt`, kid of feed_jwks(), payload
        {"iss", "epoch", "from", "to", "iat", "entries": [[digest, exp, below], ...]} (see admit.tokens.cutoffs).
        Without since, with another epoch or a since beyond the head: everything, from = 0. Shared for up to a second."""

    def feed_head(self) -> tuple[str, int]:
        """(feed epoch, newest sequence number), from memory; at most 200 ms old while the background thread runs."""

    def on_feed(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back, from the background thread, whenever the head moves; answers a function that stops it. For long polls."""

    def verifier(self, *, audience: str | Sequence[str] | None = None, extra: type[E] | None = None) -> Verifier[Any]:
        """A Verifier in process: keys and revocations from memory, followed in the background; no request, no query."""

    def audit(self, *, after: int = 0, sub: str | None = None, limit: int = 100) -> list[AuditEvent]:
        """The audit trail in order, after an event id."""

    def cleanup(self, limit: int = 1000) -> int:
        """One bounded step: removes up to `limit` rows of each sort that nothing needs any more; answers how many."""

    def ready(self) -> None:
        """Returns where the service can work: database reachable, schema current, keys usable. Else raises Unavailable."""

    def start(self) -> None:
        """Starts the background thread of this process now (it otherwise starts by itself with the first call)."""

    def close(self) -> None:
        """Stops the background threads and closes the connections."""


# AsyncTokenService(service: TokenService | <the same arguments>): the same methods, awaited; .users/.clients/.keys likewise.
# from admit.service.aio import AsyncTokenService
