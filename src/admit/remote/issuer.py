"""RemoteIssuer: metadata, keys and revocations of one issuer, by its URL alone; it gives verifiers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast, get_args, overload

import anyio
import anyio.to_thread

from admit import clock as clocks
from admit.clock import Clock, system_clock
from admit.errors import ConfigurationError, ServiceUnreachable, Unavailable, shown
from admit.jose.encoding import MAX_TOKEN
from admit.process_lock import ProcessLock
from admit.remote.credentials import Credentials
from admit.remote.fetch import TIMEOUT, Fetcher, checked_url, same_origin
from admit.remote.introspection import Introspection
from admit.remote.jwks import ALGORITHMS, STALE_IF_ERROR, JWKSClient
from admit.remote.metadata import fetch_metadata
from admit.remote.revocations import LIMIT, OnStale, RevocationFeed
from admit.tokens import rules
from admit.tokens.arguments import Unchecked, duration, must_be_a_clock
from admit.tokens.kinds import ACCESS, Kind
from admit.tokens.verifier import Verifier

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

E = TypeVar("E")

_METADATA_AGE: Final = 86_400.0  # seconds
_OWN: Final = {
    "introspection_endpoint": "/introspect",
    "revocations_uri": "/revocations",
    "revocations_jwks_uri": "/.well-known/revocations-jwks.json",
}
"""Members of the metadata, and where they point at an Admit issuer unless it says so."""


class RemoteIssuer:
    """An issuer that is trusted by its URL. No I/O here, but on first use, or in `async with issuer`, `await
    issuer.start()`.

    issuer: the exact `iss`, https (http on loopback, and on the host names in `insecure_hosts`). revocations:
    "required" follows an Admit issuer's feed and refuses to judge without it; "none" for issuers that cannot cut
    tokens off early.
    algorithms: at most one for each key type and curve. max_revocation_age: of the feed's newest page. on_stale: what
    then: "fail_closed" raises RevocationsUnavailable, "introspect" asks the issuer for each token (RFC 7662), "accept"
    believes the old one and warns. client_id, client_secret: to ask with, and for a feed that wants them.
    stale_if_error: how long expired keys are believed while fetching fails. timeout: seconds for one whole fetch.
    jwks_uri: where the issuer has no metadata. ssl_context: for a private certificate authority. clock: seconds since
    1970; now: a monotonic clock.

    Raises ConfigurationError. RFC 8414 3, OpenID Connect Discovery 1.0 4.
    """

    def __init__(
        self,
        issuer: str,
        *,
        revocations: Literal["required", "none"],
        algorithms: Iterable[str] = ALGORITHMS,
        insecure_hosts: Iterable[str] = (),
        max_revocation_age: timedelta = LIMIT,
        on_stale: OnStale = "fail_closed",
        client_id: str | None = None,
        client_secret: str | None = None,
        stale_if_error: timedelta = STALE_IF_ERROR,
        timeout: float = TIMEOUT,
        jwks_uri: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        clock: Clock = system_clock,
        now: Clock = clocks.monotonic,
    ) -> None:
        if revocations not in ("required", "none"):
            raise ConfigurationError(f"revocations is 'required' or 'none', not {shown(revocations)}")
        must_be_a_clock(clock)
        if not duration(max_revocation_age, "max_revocation_age"):
            raise ConfigurationError("max_revocation_age is positive, such as timedelta(minutes=5)")
        if on_stale not in get_args(OnStale):
            raise ConfigurationError(f"on_stale is 'fail_closed', 'introspect' or 'accept', not {shown(on_stale)}")
        if on_stale == "introspect" and revocations == "none":
            raise ConfigurationError("on_stale='introspect' is about the feed: it needs revocations='required'")
        credentials = None
        if client_id is not None or client_secret is not None:
            credentials = Credentials(client_id or "", client_secret or "")
        if on_stale == "introspect" and credentials is None:
            raise ConfigurationError("on_stale='introspect' needs client_id and client_secret: issuers ask who asks")
        self.issuer = issuer
        self._fetcher = Fetcher(insecure_hosts=insecure_hosts, timeout=timeout, ssl_context=ssl_context)
        self._url = checked_url(issuer, self._fetcher.insecure_hosts)
        if self._url.query or jwks_uri == "":
            raise ConfigurationError("an issuer is a URL without query and fragment (RFC 8414 2)")
        self._fixed = None if jwks_uri is None else str(checked_url(jwks_uri, self._fetcher.insecure_hosts))
        self._clock, self._now, self._lock = clock, now, ProcessLock()
        self._metadata: dict[str, Any] | None = None
        self._read_at = 0.0
        self.keys = self._client(self._jwks_uri, algorithms, stale_if_error)
        """The issuer's keys, a KeySource."""
        self.revocations: RevocationFeed | None = None
        """What the issuer cut off; None where there is nothing to follow."""
        if revocations == "required":
            self.revocations = RevocationFeed(
                issuer,
                lambda: self._own("revocations_uri"),
                self._client(lambda: self._own("revocations_jwks_uri"), ALGORITHMS, stale_if_error),
                self._fetcher,
                limit=max_revocation_age,
                on_stale=on_stale,
                introspection=Introspection(
                    lambda: self._own("introspection_endpoint"), self._fetcher, credentials, now
                )
                if on_stale == "introspect" and credentials is not None
                else None,
                credentials=credentials,
                on_key=self.keys.changed,
                clock=clock,
                now=now,
            )

    @overload
    def verifier(
        self,
        *,
        audience: str | Sequence[str] | Unchecked[str],
        kind: Kind = ...,
        extra: None = None,
        required: Iterable[str] = ...,
        leeway: timedelta | Unchecked[timedelta] = ...,
        skew: timedelta = ...,
        max_lifetime: timedelta | Unchecked[timedelta] | None = ...,
        cache: int = ...,
        max_token: int = ...,
    ) -> Verifier[None]: ...
    @overload
    def verifier(
        self,
        *,
        audience: str | Sequence[str] | Unchecked[str],
        kind: Kind = ...,
        extra: type[E],
        required: Iterable[str] = ...,
        leeway: timedelta | Unchecked[timedelta] = ...,
        skew: timedelta = ...,
        max_lifetime: timedelta | Unchecked[timedelta] | None = ...,
        cache: int = ...,
        max_token: int = ...,
    ) -> Verifier[E]: ...
    def verifier(
        self,
        *,
        audience: str | Sequence[str] | Unchecked[str],
        kind: Kind = ACCESS,
        extra: type[E] | None = None,
        required: Iterable[str] = (),
        leeway: timedelta | Unchecked[timedelta] = timedelta(),
        skew: timedelta = timedelta(seconds=rules.SKEW),
        max_lifetime: timedelta | Unchecked[timedelta] | None = None,
        cache: int = 0,
        max_token: int = MAX_TOKEN,
    ) -> Verifier[E] | Verifier[None]:
        """A verifier of this issuer's tokens for one audience, with its revocations; the arguments are Verifier's."""
        return Verifier(
            self.keys,
            issuer=self.issuer,
            audience=audience,
            kind=kind,
            extra=cast("type[E]", extra),
            required=required,
            revocations=self.revocations,
            leeway=leeway,
            skew=skew,
            max_lifetime=max_lifetime,
            cache=cache,
            max_token=max_token,
            clock=self._clock,
        )

    def warm(self) -> None:
        """Fetch keys and revocations now, in this thread. Raises KeysUnavailable or RevocationsUnavailable."""
        self.keys.open()
        if self.revocations is not None:
            self.revocations.open()  # all before the first wait: who is closed meanwhile stays so
        self.keys.current()
        if self.revocations is not None:
            self.revocations.start()

    async def start(self) -> None:
        """`warm`, off the event loop."""
        await anyio.to_thread.run_sync(self.warm, abandon_on_cancel=True)

    def close(self) -> None:
        """End the background threads."""
        self.keys.close()
        if self.revocations is not None:
            self.revocations.close()

    async def __aenter__(self) -> RemoteIssuer:
        try:
            await self.start()
        except anyio.get_cancelled_exc_class():
            self.close()  # or its thread would hold up the end of the program, for as long as the issuer hangs
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __enter__(self) -> RemoteIssuer:
        self.warm()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<RemoteIssuer {shown(self.issuer, 200)}>"

    def _client(self, url: Callable[[], str], algorithms: Iterable[str], stale_if_error: timedelta) -> JWKSClient:
        return JWKSClient(
            url,
            algorithms=algorithms,
            stale_if_error=stale_if_error,
            issuer=self.issuer,
            fetcher=self._fetcher,
            now=self._now,
        )

    def _jwks_uri(self) -> str:
        if self._fixed is not None:
            return self._fixed
        return self._location(self._read().get("jwks_uri"), "jwks_uri", elsewhere=True)

    def _own(self, member: str) -> str:
        default = self.issuer.rstrip("/") + _OWN[member]
        if self._fixed is not None:
            return default
        return self._location(self._read().get(member, default), member, elsewhere=False)

    def _location(self, value: object, member: str, *, elsewhere: bool) -> str:
        """A URL out of the metadata: of the issuer's own origin, or for public keys any https one."""
        try:
            url = checked_url(cast("str", value), self._fetcher.insecure_hosts)
        except ConfigurationError as error:
            raise ServiceUnreachable(f"{member} in the metadata of {shown(self.issuer, 200)}: {error}") from None
        if not same_origin(url, self._url) and not (elsewhere and url.scheme == "https"):
            raise ServiceUnreachable(f"{member} in the metadata of {shown(self.issuer, 200)} points to another origin")
        return str(url)

    def _read(self) -> dict[str, Any]:
        with self._lock:
            if self._metadata is None or self._now() >= self._read_at + _METADATA_AGE:
                try:
                    self._metadata = fetch_metadata(self._fetcher, self.issuer).members
                    self._read_at = self._now()
                except Unavailable:
                    if self._metadata is None:  # as with keys: what is known is better than nothing
                        raise
            return self._metadata
