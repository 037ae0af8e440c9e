"""AsyncTokenService: TokenService for asynchronous programs. Each call is one line, run in a worker thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from admit.service import accounts, login, password_change
from admit.service.cleanup import LIMIT
from admit.service.clients import FIRST_PARTY, OVERLAP
from admit.service.storage import POOL
from admit.service.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import timedelta

    from admit.jose.keys import Key
    from admit.service.accounts import Users
    from admit.service.assertions import ClientAssertion
    from admit.service.clients import Clients
    from admit.service.facade import TokenService
    from admit.service.keys import Keys
    from admit.service.results import (
        AccessToken,
        AuditEvent,
        Client,
        NewClient,
        PublishedStatusList,
        Session,
        SigningKey,
        TokenPair,
        User,
    )
    from admit.service.session_policy import SessionPolicy
    from admit.service.totp import Enrollment, Totp
    from admit.tokens.verifier import Verifier

T = TypeVar("T")
E = TypeVar("E")
_THREADS = 40
"""At once on SQLite, where a commit is shared; on PostgreSQL as many as the pool has connections."""


class AsyncTokenService:
    """A TokenService whose methods are awaited. `sync` is the service itself.

    What only looks into memory (feed_due, feed_head, feed_age, feed_entries, on_feed, on_audit, verifier, start) is called
    directly.
    """

    def __init__(self, service: TokenService) -> None:
        self.sync = service
        self._threads = threads = Threads(_THREADS if service._storage.sqlite else POOL, service._core.logins)
        self.users = AsyncUsers(service.users, threads)
        self.clients = AsyncClients(service.clients, threads)
        self.keys = AsyncKeys(service.keys, threads)
        self.totp = AsyncTotp(service.totp, threads)

    @property
    def hashes(self) -> tuple[int, int]:
        """Passwords that are hashed at this moment, and that wait for it."""
        return self._threads.hashes()

    async def login(
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
        """See TokenService.login."""
        line = await self._threads.look(address, login.line, self.sync._core, name, address)
        return await self._threads.hash(
            line,
            self.sync.login,
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

    async def refresh(
        self,
        refresh_token: str,
        *,
        client_id: str = FIRST_PARTY,
        client_secret: str | ClientAssertion | None = None,
        scope: str | None = None,
        audience: str | None = None,
        address: str = "",
    ) -> TokenPair:
        """See TokenService.refresh."""
        return await self._threads.run(
            self.sync.refresh,
            refresh_token,
            client_id=client_id,
            client_secret=client_secret,
            scope=scope,
            audience=audience,
            address=address,
        )

    async def client_credentials(
        self,
        client_id: str,
        client_secret: str | ClientAssertion,
        *,
        scope: str | None = None,
        audience: str | None = None,
    ) -> AccessToken:
        """See TokenService.client_credentials."""
        return await self._threads.run(
            self.sync.client_credentials, client_id, client_secret, scope=scope, audience=audience
        )

    async def revoke(
        self, token: str, *, client_id: str = FIRST_PARTY, client_secret: str | ClientAssertion | None = None
    ) -> None:
        """See TokenService.revoke."""
        await self._threads.run(self.sync.revoke, token, client_id=client_id, client_secret=client_secret)

    async def introspect(
        self, token: str, *, client_id: str, client_secret: str | ClientAssertion
    ) -> dict[str, object]:
        """See TokenService.introspect."""
        return await self._threads.run(self.sync.introspect, token, client_id=client_id, client_secret=client_secret)

    async def logout(self, refresh_token: str) -> None:
        """See TokenService.logout."""
        await self._threads.run(self.sync.logout, refresh_token)

    async def logout_everywhere(self, sub: str) -> None:
        """See TokenService.logout_everywhere."""
        await self._threads.run(self.sync.logout_everywhere, sub)

    async def session(self, refresh_token: str) -> Session:
        """See TokenService.session."""
        return await self._threads.run(self.sync.session, refresh_token)

    async def change_password(self, sub: str, old: str, new: str, *, address: str = "", otp: str | None = None) -> None:
        """See TokenService.change_password."""
        line = password_change.line(sub)
        await self._threads.hash(line, self.sync.change_password, sub, old, new, address=address, otp=otp)

    async def sessions(self, sub: str) -> list[Session]:
        """See TokenService.sessions."""
        return await self._threads.run(self.sync.sessions, sub)

    async def end_session(self, sub: str, session_id: str) -> bool:
        """See TokenService.end_session."""
        return await self._threads.run(self.sync.end_session, sub, session_id)

    async def end_other_sessions(self, sub: str, session_id: str) -> int:
        """See TokenService.end_other_sessions."""
        return await self._threads.run(self.sync.end_other_sessions, sub, session_id)

    async def jwks(self) -> dict[str, Any]:
        """See TokenService.jwks."""
        return await self._threads.run(self.sync.jwks)

    async def feed_jwks(self) -> dict[str, Any]:
        """See TokenService.feed_jwks."""
        return await self._threads.run(self.sync.feed_jwks)

    async def feed(self, since: int | None = None, epoch: str | None = None) -> str:
        """See TokenService.feed."""
        return await self._threads.run(self.sync.feed, since, epoch)

    async def feed_now(self, since: int | None = None, epoch: str | None = None) -> str | None:
        """See TokenService.feed_now."""
        return await self._threads.run(self.sync.feed_now, since, epoch)

    def feed_due(self, since: int | None = None, epoch: str | None = None) -> float:
        """See TokenService.feed_due."""
        return self.sync.feed_due(since, epoch)

    def feed_head(self) -> tuple[str, int]:
        """See TokenService.feed_head."""
        return self.sync.feed_head()

    def feed_age(self) -> float:
        """See TokenService.feed_age."""
        return self.sync.feed_age()

    def feed_entries(self) -> int:
        """See TokenService.feed_entries."""
        return self.sync.feed_entries()

    def on_audit(self, callback: Callable[[AuditEvent], None]) -> None:
        """See TokenService.on_audit."""
        self.sync.on_audit(callback)

    def on_feed(self, callback: Callable[[], None]) -> Callable[[], None]:
        """See TokenService.on_feed."""
        return self.sync.on_feed(callback)

    async def status_list(self, number: int) -> PublishedStatusList | None:
        """See TokenService.status_list."""
        return await self._threads.run(self.sync.status_list, number)

    async def status_list_uris(self) -> list[str]:
        """See TokenService.status_list_uris."""
        return await self._threads.run(self.sync.status_list_uris)

    def verifier(self, *, audience: str | Sequence[str] | None = None, extra: type[E] | None = None) -> Verifier[Any]:
        """See TokenService.verifier."""
        return self.sync.verifier(audience=audience, extra=extra)

    async def audit(self, *, after: int = 0, sub: str | None = None, limit: int = 100) -> list[AuditEvent]:
        """See TokenService.audit."""
        return await self._threads.run(self.sync.audit, after=after, sub=sub, limit=limit)

    async def cleanup(self, limit: int = LIMIT) -> int:
        """See TokenService.cleanup."""
        return await self._threads.run(self.sync.cleanup, limit)

    async def readiness(self) -> dict[str, str]:
        """See TokenService.readiness."""
        return await self._threads.run(self.sync.readiness)

    async def ready(self) -> None:
        """See TokenService.ready."""
        await self._threads.run(self.sync.ready)

    def start(self) -> None:
        """See TokenService.start."""
        self.sync.start()

    async def close(self) -> None:
        """See TokenService.close."""
        await self._threads.apart(self.sync.close)


class AsyncUsers:
    """See admit.service.accounts.Users."""

    def __init__(self, users: Users, threads: Threads) -> None:
        self._users, self._threads = users, threads

    async def add(self, name: str, password: str | None = None, *, password_hash: str | None = None) -> User:
        """See Users.add."""
        return await self._threads.hash(accounts.LINE, self._users.add, name, password, password_hash=password_hash)

    async def list(self, after: str = "", limit: int = 100) -> list[User]:
        """See Users.list."""
        return await self._threads.run(self._users.list, after, limit)

    async def get(self, sub: str) -> User | None:
        """See Users.get."""
        return await self._threads.run(self._users.get, sub)

    async def find(self, name: str) -> User | None:
        """See Users.find."""
        return await self._threads.run(self._users.find, name)

    async def disable(self, sub: str) -> None:
        """See Users.disable."""
        await self._threads.run(self._users.disable, sub)

    async def enable(self, sub: str) -> None:
        """See Users.enable."""
        await self._threads.run(self._users.enable, sub)

    async def set_password(self, sub: str, password: str) -> None:
        """See Users.set_password."""
        await self._threads.hash(accounts.LINE, self._users.set_password, sub, password)


class AsyncClients:
    """See admit.service.clients.Clients."""

    def __init__(self, clients: Clients, threads: Threads) -> None:
        self._clients, self._threads = clients, threads

    async def add(
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
        """See Clients.add."""
        return await self._threads.run(
            self._clients.add,
            name,
            grants=grants,
            audiences=audiences,
            scopes=scopes,
            confidential=confidential,
            policy=policy,
            jwks=jwks,
        )

    async def rotate_secret(self, client_id: str, *, overlap: timedelta = OVERLAP) -> NewClient:
        """See Clients.rotate_secret."""
        return await self._threads.run(self._clients.rotate_secret, client_id, overlap=overlap)

    async def set_keys(self, client_id: str, jwks: Mapping[str, Any] | str | bytes) -> Client:
        """See Clients.set_keys."""
        return await self._threads.run(self._clients.set_keys, client_id, jwks)

    async def get(self, client_id: str) -> Client | None:
        """See Clients.get."""
        return await self._threads.run(self._clients.get, client_id)

    async def list(self) -> list[Client]:
        """See Clients.list."""
        return await self._threads.run(self._clients.list)

    async def disable(self, client_id: str) -> None:
        """See Clients.disable."""
        await self._threads.run(self._clients.disable, client_id)

    async def authenticate(self, client_id: str, client_secret: str | ClientAssertion | None) -> Client:
        """See Clients.authenticate."""
        return await self._threads.run(self._clients.authenticate, client_id, client_secret)


class AsyncKeys:
    """See admit.service.keys.Keys."""

    def __init__(self, keys: Keys, threads: Threads) -> None:
        self._keys, self._threads = keys, threads

    async def list(self) -> list[SigningKey]:
        """See Keys.list."""
        return await self._threads.run(self._keys.list)

    async def rotate(self, alg: str | None = None, *, force: bool = False) -> SigningKey:
        """See Keys.rotate."""
        return await self._threads.run(self._keys.rotate, alg, force=force)

    async def add(self, key: Key) -> SigningKey:
        """See Keys.add."""
        return await self._threads.run(self._keys.add, key)

    async def retire(self, alg: str) -> None:
        """See Keys.retire."""
        await self._threads.run(self._keys.retire, alg)

    async def revoke(self, kid: str) -> None:
        """See Keys.revoke."""
        await self._threads.run(self._keys.revoke, kid)

    async def rotate_mac(self) -> None:
        """See Keys.rotate_mac."""
        await self._threads.run(self._keys.rotate_mac)

    async def rewrap(self) -> int:
        """See Keys.rewrap."""
        return await self._threads.run(self._keys.rewrap)

    async def step(self) -> bool:
        """See Keys.step."""
        return await self._threads.run(self._keys.step)


class AsyncTotp:
    """See admit.service.totp.Totp."""

    def __init__(self, totp: Totp, threads: Threads) -> None:
        self._totp, self._threads = totp, threads

    async def enroll(self, sub: str) -> Enrollment:
        """See Totp.enroll."""
        return await self._threads.run(self._totp.enroll, sub)

    async def confirm(self, sub: str, code: str) -> list[str]:
        """See Totp.confirm."""
        return await self._threads.run(self._totp.confirm, sub, code)

    async def recovery_codes(self, sub: str) -> list[str]:
        """See Totp.recovery_codes."""
        return await self._threads.run(self._totp.recovery_codes, sub)

    async def recovery_codes_by(self, sub: str, code: str) -> list[str]:
        """See Totp.recovery_codes_by."""
        return await self._threads.run(self._totp.recovery_codes_by, sub, code)

    async def remove_by(self, sub: str, code: str) -> None:
        """See Totp.remove_by."""
        await self._threads.run(self._totp.remove_by, sub, code)

    async def enrolled(self, sub: str) -> bool:
        """See Totp.enrolled."""
        return await self._threads.run(self._totp.enrolled, sub)

    async def remove(self, sub: str) -> None:
        """See Totp.remove."""
        await self._threads.run(self._totp.remove, sub)
