"""TokenService: the whole service behind one object. Plain calls; AsyncTokenService, in aio.py, stands over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from admit.clock import Clock, system_clock
from admit.errors import ConfigurationError, InvalidRequest
from admit.jose.algorithms import algorithm as algorithm_row
from admit.jose.keys import Key
from admit.service import (
    accounts,
    audit,
    cleanup,
    clients,
    feed,
    keystore,
    login,
    migrations,
    password_change,
    passwords,
    readiness,
    refresh,
    rewrap,
    sessions,
    status_lists,
    throttle,
    tokens,
)
from admit.service.accounts import BuiltInUsers, Users, UserStore
from admit.service.assertions import ClientAssertion
from admit.service.clients import FIRST_PARTY, Clients
from admit.service.core import Core
from admit.service.follower import Follower
from admit.service.keys import Keys
from admit.service.login_policy import LoginPolicy
from admit.service.master import master_keys
from admit.service.policy import Policy
from admit.service.results import AccessToken, AuditEvent, Client, PublishedStatusList, Session, TokenPair
from admit.service.storage import Storage
from admit.service.totp import Totp
from admit.tokens.arguments import Unchecked
from admit.tokens.verifier import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import Engine

E = TypeVar("E")
_DEFAULT = Policy()
_LOGINS = LoginPolicy()


class TokenService:
    """Issues, refreshes, revokes and rotates, over one SQL database (SQLite or PostgreSQL).

    database: an SQLAlchemy Engine or a URL (`sqlite:///auth.db`, `postgresql+psycopg://...`); tables begin with admit_.
    issuer: the `iss` of every token. audience: the audiences of the built-in first-party client, the first its default.
    scopes: what the first-party client may grant; a login that asks for none gets all of them.
    users: the application's own user table (UserStore); without it, the built-in one.
    claims: called with the sub at login and refresh, answers further claims for the access token.
    master_key: 32 bytes, {version: 32 bytes}, or the path of a file; without it, on SQLite, a file beside the database
    (`auth.db.key`, mode 0600; its next version is `auth.db.key.2`). A missing file is made only while the database holds
    no secrets.
    algorithm: of access tokens; asymmetric only, since with HMAC every verifier could mint. algorithms: of tokens for
    certain audiences, where it differs: {"legacy": "RS256"}. A new one signs once its key is published for long enough.
    logins: what a password is, what hashing and guessing one costs.
    on_event: called with each AuditEvent after its transaction committed; its exceptions are swallowed.
    clock: for tests; without it, the database's own clock decides.

    Raises ConfigurationError (wrong or missing master key, contradictory settings), StorageUnavailable. Every method
    may raise StorageUnavailable (503): nothing was judged, the caller may try again.
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
        algorithms: Mapping[str, str] | None = None,
        policy: Policy = _DEFAULT,
        logins: LoginPolicy = _LOGINS,
        on_event: Callable[[AuditEvent], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        if not isinstance(issuer, str) or not issuer:
            raise ConfigurationError("issuer is a non-empty string")
        by_audience = dict(algorithms or {})
        if not all(isinstance(name, str) and name for name in by_audience):
            raise ConfigurationError("algorithms names an algorithm for each audience: {'legacy': 'RS256'}")
        signing = tuple(dict.fromkeys((algorithm, *by_audience.values())))
        if any(algorithm_row(name).symmetric for name in signing):
            raise ConfigurationError("the service signs with key pairs only: with HMAC every verifier could mint")
        audiences = (audience,) if isinstance(audience, str) else tuple(audience)
        if not audiences or not all(isinstance(item, str) and item for item in audiences):
            raise ConfigurationError("audience is one or several non-empty strings")
        self.issuer, self.policy, self._audiences, self._clock = issuer, policy, audiences, clock or system_clock
        first_party = Client(
            id=FIRST_PARTY,
            confidential=False,
            grants=frozenset((clients.PASSWORD, clients.REFRESH)),
            # The issuer is the audience of a token for the user's own sessions; never the default.
            audiences=audiences if issuer in audiences else (*audiences, issuer),
            scopes=frozenset((scopes,) if isinstance(scopes, str) else scopes),
            policy=policy.of_sessions(),
        )
        self._storage = storage = Storage(database, clock)
        try:
            migrations.prepare(storage)
            laid = storage.read(keystore.laid)
            master = master_keys(master_key, storage, needed=storage.read(rewrap.anything))
            storage.read(lambda tx: rewrap.must_open(tx, master))
            ready = {} if laid else {alg: Key.generate(alg) for alg in signing}  # outside: RSA takes 100 ms and more
            storage.write(
                lambda tx: keystore.lay(
                    tx, master, signing, policy, lambda alg: ready.pop(alg, None) or Key.generate(alg)
                )
            )
        except BaseException:
            storage.close()
            raise
        follower = Follower(
            storage,
            master,
            issuer=issuer,
            policy=policy,
            clock=self._clock,
            chores=self._chores,
        )
        self._hooks = [] if on_event is None else [on_event]
        hasher = passwords.Passwords(logins)
        self._core = Core(
            storage=storage,
            follower=follower,
            master=master,
            issuer=issuer,
            algorithms=signing,
            by_audience=by_audience,
            policy=policy,
            logins=logins,
            rules=throttle.rules(logins),
            clock=self._clock,
            first_party=first_party,
            users=BuiltInUsers(storage, hasher) if users is None else users,
            own_users=users is not None,
            passwords=hasher,
            claims=claims,
            on_event=self._hooks,
        )
        follower.look()
        self.users, self.clients, self.keys = Users(self._core), Clients(self._core), Keys(self._core)
        self.totp = Totp(self._core)
        self._feed = feed.Feed(follower, issuer, self._clock)
        self._status_lists = status_lists.StatusLists(self._core)
        self._readiness = readiness.Readiness(self._core)
        self._any = self._verifier(Unchecked(), None)

    def login(
        self,
        name: str,
        password: str,
        *,
        client_id: str = FIRST_PARTY,
        client_secret: str | ClientAssertion | None = None,
        audience: str | None = None,
        scope: str | None = None,
        device: str = "",
        address: str = "",
        otp: str | None = None,
    ) -> TokenPair:
        """A new session. otp: a code of the second factor, or a recovery code, where the user has one.

        Raises InvalidGrant (a wrong password, an unknown or a disabled user, alike; a wrong code), MfaRequired,
        InvalidClient, UnauthorizedClient, InvalidScope, InvalidTarget, TooManyRequests (429: after failures), Overloaded
        (503: too many logins at once).
        address: the caller's; without one, everybody's failures count as from one place.
        """
        return login.login(
            self._core,
            name,
            password,
            client_id=client_id,
            client_secret=client_secret,
            audience=audience,
            scope=scope,
            device=device,
            address=address,
            otp=otp,
        )

    def refresh(
        self,
        refresh_token: str,
        *,
        client_id: str = FIRST_PARTY,
        client_secret: str | ClientAssertion | None = None,
        scope: str | None = None,
        audience: str | None = None,
        address: str = "",
    ) -> TokenPair:
        """The next pair of a session (RFC 6749 6); `scope` may only narrow.

        Raises InvalidGrant, InvalidClient, UnauthorizedClient, InvalidScope, InvalidTarget.
        """
        return refresh.refresh(
            self._core,
            refresh_token,
            client_id=client_id,
            client_secret=client_secret,
            scope=scope,
            audience=audience,
            address=address,
        )

    def client_credentials(
        self,
        client_id: str,
        client_secret: str | ClientAssertion,
        *,
        scope: str | None = None,
        audience: str | None = None,
    ) -> AccessToken:
        """An access token for a client itself (RFC 6749 4.4); its sub is the client's id.

        Raises InvalidClient, UnauthorizedClient, InvalidScope, InvalidTarget.
        """
        return login.client_credentials(self._core, client_id, client_secret, scope=scope, audience=audience)

    def revoke(
        self, token: str, *, client_id: str = FIRST_PARTY, client_secret: str | ClientAssertion | None = None
    ) -> None:
        """Revoke a token (RFC 7009): a refresh token of any generation with its session, an access token by its jti.

        What is no token is answered with nothing. Raises InvalidGrant for another client's token, and InvalidClient.
        """
        tokens.revoke(self._core, self._any, token, self.clients.authenticate(client_id, client_secret))

    def introspect(self, token: str, *, client_id: str, client_secret: str | ClientAssertion) -> dict[str, object]:
        """The JSON object to answer (RFC 7662 2.2): {"active": False} for whatever is not this caller's to see.

        Raises InvalidClient; the first-party client is public and may not introspect.
        """
        client = self.clients.authenticate(client_id, client_secret)
        return tokens.introspect(self._core, self._any, token, client)

    def logout(self, refresh_token: str) -> None:
        """End the session of a refresh token of any generation; silent for what is no token.

        Raises InvalidRequest for an access token: whoever gives one believes to be logged out.
        """
        tokens.logout(self._core, refresh_token)

    def logout_everywhere(self, sub: str) -> None:
        """End every session of a subject and cut off every access token; silent for nobody."""
        try:
            self._core.write(lambda tx: accounts.raise_epoch(tx, sub, self._core.own_users, "user.logout_everywhere"))
        except InvalidRequest:
            return

    def session(self, refresh_token: str) -> Session:
        """The live first-party session of a refresh token, which stays as it is. Raises InvalidGrant."""
        return tokens.session_of(self._core, refresh_token)

    def change_password(self, sub: str, old: str, new: str, *, address: str = "", otp: str | None = None) -> None:
        """A user's own change of password; ends every session. otp: as in `login`, where the user has a second factor.

        Raises InvalidGrant for a wrong old password or code, MfaRequired, InvalidRequest for a new password that is easily
        guessed, TooManyRequests, Overloaded; ConfigurationError where users are an application's own.
        """
        password_change.change(self._core, sub, old, new, address=login.note(address), otp=otp)

    def sessions(self, sub: str) -> list[Session]:
        """The subject's live sessions, newest first."""
        return self._core.read(lambda tx: sessions.live(tx, sub))

    def end_session(self, sub: str, session_id: str) -> bool:
        """End one of the subject's sessions; False where it has no such live session."""
        return self._core.write(
            lambda tx: (
                any(item.id == session_id for item in sessions.live(tx, sub)) and sessions.end(tx, session_id, "ended")
            )
        )

    def end_other_sessions(self, sub: str, session_id: str) -> int:
        """End every live session of the subject but that one; answers how many."""
        return self._core.write(lambda tx: sessions.end_others(tx, sub, session_id))

    def jwks(self) -> dict[str, Any]:
        """The JWK Set of access-token keys (RFC 7517 5), from memory; never one that is older than the key reload interval."""
        return self._core.follower.view().access.published.to_jwks()

    def feed_jwks(self) -> dict[str, Any]:
        """The JWK Set of the key that signs only the revocation feed."""
        return self._core.follower.view().feed.published.to_jwks()

    def feed(self, since: int | None = None, epoch: str | None = None) -> str:
        """A signed page of the revocation feed after `since` (admit.tokens.revocation.Page), from memory.

        Without since, with another epoch, or with a since beyond the head: everything. Shared for up to a second, and
        signed once a second at most, after a burst of ten: it may then be a second old, or take as long.
        """
        return self._feed.page(since, epoch)

    def feed_now(self, since: int | None = None, epoch: str | None = None) -> str | None:
        """`feed`, or None where it would wait: `feed_due` says for how long."""
        return self._feed.page_now(since, epoch)

    def feed_due(self, since: int | None = None, epoch: str | None = None) -> float:
        """In how many seconds `feed` can tell everything that is known here by then; mostly 0."""
        return self._feed.due(since, epoch)

    def feed_head(self) -> tuple[str, int]:
        """(feed epoch, newest number), from memory; at most 200 ms old while the background thread runs."""
        head = self._core.follower.view().head
        return head.epoch, head.seq

    def on_feed(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back, from the background thread, whenever the head moves; answers a function that stops it. Its exceptions
        are swallowed."""
        self._core.follower.start()
        return self._core.follower.listen(callback)

    def status_list(self, number: int) -> PublishedStatusList | None:
        """One signed status list of the sessions (draft-ietf-oauth-status-list), shared for a moment; None: no such list."""
        return self._status_lists.published(number)

    def status_list_uris(self) -> list[str]:
        """Where the status lists are; none unless the policy's status_list_ttl is set."""
        return self._status_lists.uris()

    def verifier(self, *, audience: str | Sequence[str] | None = None, extra: type[E] | None = None) -> Verifier[Any]:
        """A Verifier in process: keys and revocations from memory, followed in the background; no request, no query.

        audience: the service's own audiences, where none is given. extra: a type for further claims (see Verifier).
        """
        return self._verifier(self._audiences if audience is None else audience, extra)

    def audit(self, *, after: int = 0, sub: str | None = None, limit: int = 100) -> list[AuditEvent]:
        """The audit trail in order, after an event id."""
        return self._core.read(lambda tx: audit.after(tx, after, sub, limit))

    def cleanup(self, limit: int = cleanup.LIMIT) -> int:
        """One bounded step: removes up to `limit` rows of each sort that nothing needs any more; answers how many."""
        return self._core.write(lambda tx: cleanup.step(tx, self.policy, limit))

    def ready(self) -> None:
        """Return where the service can work: the database answers, keys are usable. Raises Unavailable otherwise."""
        self._core.follower.look()
        self._readiness.must_write()
        self._core.follower.view()

    def readiness(self) -> dict[str, str]:
        """Each dependency (database, schema, master_key, keys, follower) as `ok`, `down`, or `unknown` behind one down."""
        return self._readiness.look()

    def feed_age(self) -> float:
        """Seconds since this process last read the revocations and keys; infinite where it never did."""
        return self._core.follower.age

    def feed_entries(self) -> int:
        """How many revocations are in force, as this process's own verifiers know."""
        return self._core.follower.entries

    def on_audit(self, callback: Callable[[AuditEvent], None]) -> None:
        """Call back with each AuditEvent too, after its transaction committed; its exceptions are swallowed."""
        self._hooks.append(callback)

    def start(self) -> None:
        """Start this process's background thread now; it otherwise starts by itself with the first call."""
        self._core.follower.start()

    def close(self) -> None:
        """Stop the background threads and close the connections."""
        self._core.follower.close()
        self._storage.close()

    def _verifier(self, audience: str | Sequence[str] | Unchecked[str], extra: type[E] | None) -> Verifier[Any]:
        follower = self._core.follower
        if extra is None:
            return Verifier(follower, issuer=self.issuer, audience=audience, revocations=follower, clock=self._clock)
        return Verifier(
            follower, issuer=self.issuer, audience=audience, extra=extra, revocations=follower, clock=self._clock
        )

    def _chores(self) -> bool:
        if self._storage.owed:
            self._storage.forget()
        return self.keys.step() | cleanup.sweep(self.cleanup)
