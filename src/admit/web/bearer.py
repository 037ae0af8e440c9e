"""What every door shares: a request in, claims or an RFC 6750 answer out."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from admit.errors import (
    AdmitError,
    ConfigurationError,
    ForeignOrigin,
    InsufficientScope,
    StaleAuthentication,
    Unavailable,
    shown,
)
from admit.jose.encoding import json_bytes
from admit.tokens.bearer import MissingToken, challenge
from admit.tokens.cookies import Cookies
from admit.tokens.presented import Presented, presented, token_of
from admit.tokens.several import Verifiers
from admit.tokens.verifier import Verifier
from admit.tokens.waiting import WouldWait, may_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from admit.tokens.claims import Claims

E = TypeVar("E")
A = TypeVar("A")
T = TypeVar("T")

__all__ = ["Door", "MissingToken", "Presented", "Refusal", "allowed", "asked", "checked_scopes", "presented"]

_AT_ONCE: Final = 16
"""Requests of one door that may wait in threads for a fetch; the others queue on the event loop and hold no thread."""

log = logging.getLogger("admit.web")


class Refusal(NamedTuple):
    """An answer for a framework to send."""

    status: int
    headers: dict[str, str]
    body: bytes


class Door(Generic[E]):
    """Lets bearer tokens in that a verifier accepts. realm: a name for the challenge, shown to clients (RFC 9110
    11.5). cookies: where browsers may bring them, too."""

    def __init__(
        self, verifier: Verifier[E] | Verifiers[E], *, realm: str | None = None, cookies: Cookies | None = None
    ) -> None:
        if not isinstance(verifier, Verifier | Verifiers):
            raise ConfigurationError(f"a door takes a Verifier or Verifiers, not {type(verifier).__name__}")
        if realm is not None and not _quotable(realm):
            raise ConfigurationError("a realm is printable ASCII without quotes and backslashes")
        if cookies is not None and not isinstance(cookies, Cookies):
            raise ConfigurationError(f"cookies is an admit.Cookies, not {type(cookies).__name__}")
        self.verifier, self.cookies = verifier, cookies
        self._realm = realm
        self._queue: Any = None

    async def admit(self, request: Presented, scopes: Sequence[str] = (), max_age: int | None = None) -> Claims[E]:
        """The claims of a request's token, if it carries every one of `scopes`.

        max_age: seconds that its login may be ago. CPU only while keys and revocations are warm; otherwise a worker
        thread waits, never the event loop. Raises MissingToken, InvalidRequest, ForeignOrigin, InvalidToken,
        InsufficientScope, StaleAuthentication or Unavailable.
        """
        claims = await self._judged(self.verifier.verify, token_of(request, self.cookies))
        return self.allowed(claims, scopes, max_age)

    def admit_sync(self, request: Presented, scopes: Sequence[str] = (), max_age: int | None = None) -> Claims[E]:
        """As `admit`, for a thread."""
        return self.allowed(self.verifier.verify(token_of(request, self.cookies)), scopes, max_age)

    async def recheck(self, claims: Claims[E], request: Presented | None = None) -> None:
        """Raise InvalidToken where claims that were let in would be refused by now, Unavailable where nobody knows.

        request: what brought their token, so that the issuer can be asked about it.
        """
        token = None if request is None else token_of(request, self.cookies)
        await self._judged(partial(self.verifier.recheck, token=token), claims)

    def allowed(self, claims: Claims[E], scopes: Sequence[str] = (), max_age: int | None = None) -> Claims[E]:
        """The claims, if they carry every one of `scopes`, and tell of a login at most `max_age` seconds ago."""
        if max_age is not None:
            must_be_recent(claims, max_age, self.verifier.clock())
        return allowed(claims, scopes)

    def refuse(self, error: AdmitError, scopes: Sequence[str] = ()) -> Refusal:
        """The answer to an error (RFC 6750 3). Only its `public` text leaves; the log keeps the cause.

        Raises the error itself where it is no refusal but a mistake of the program.
        """
        description = error.public
        if isinstance(error, Unavailable):
            # Nothing was judged: with 401 every client would log out.
            log.warning("unavailable: %s: %s", error.code, error)
            return _refusal(503, "temporarily_unavailable", description, {"Retry-After": str(error.retry_after)})
        if isinstance(error, ForeignOrigin):
            log.warning("refused: %s: %s", error.code, error)  # a page of one's own that nobody named, or an attack
            return _refusal(403, error.code, description, {})
        answer = challenge(error, realm=self._realm, scopes=scopes)
        if answer is None:
            raise error
        log.info("refused: %s: %s", error.code, error)
        return _refusal(answer.status, answer.code, description, {"WWW-Authenticate": answer.authenticate})

    async def _judged(self, judge: Callable[[A], T], what: A) -> T:
        before = may_wait.set(False)
        try:
            return judge(what)
        except WouldWait:
            pass
        finally:
            may_wait.reset(before)
        import anyio.lowlevel
        import anyio.to_thread

        if self._queue is None:
            self._queue = anyio.lowlevel.RunVar("admit_door", None)
        limiter = self._queue.get()
        if limiter is None:
            limiter = anyio.CapacityLimiter(_AT_ONCE)
            self._queue.set(limiter)
        return await anyio.to_thread.run_sync(judge, what, limiter=limiter)


def asked(scope: Mapping[str, Any]) -> Presented:
    """What an ASGI request or WebSocket presents, from its scope."""
    return presented(
        scope["headers"],
        method=scope.get("method", ""),
        query=scope.get("query_string", b""),
        is_websocket=scope["type"] == "websocket",
    )


def allowed(claims: Claims[E], scopes: Sequence[str]) -> Claims[E]:
    """The claims, if they carry every one of `scopes`; an administrator's scope implies no other. Raises
    InsufficientScope."""
    if scopes:
        missing = [scope for scope in scopes if scope not in claims.scopes]
        if missing:
            raise InsufficientScope(f"the token lacks {', '.join(map(shown, missing))}", tuple(scopes))
    return claims


def must_be_recent(claims: Claims[Any], max_age: int, now: float) -> None:
    """Raise StaleAuthentication unless `auth_time` says that the login is at most `max_age` seconds ago (RFC 9470 4)."""
    if claims.auth_time is None:
        raise StaleAuthentication("the token does not say when its user logged in (auth_time)", max_age)
    if now - claims.auth_time > max_age:
        raise StaleAuthentication(
            f"the login is {now - claims.auth_time:.0f} s ago, and at most {max_age} s are asked", max_age
        )


def checked_age(max_age: timedelta | None) -> int | None:
    """The seconds of a door's max_age. Raises ConfigurationError for what is none."""
    if max_age is None:
        return None
    if not isinstance(max_age, timedelta) or max_age < timedelta(seconds=1):
        raise ConfigurationError("max_age is a timedelta of at least a second: how long ago the login may be")
    return int(max_age.total_seconds())


def checked_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Scopes as a door may ask for them (RFC 6749 3.3). Raises ConfigurationError; one string with spaces is refused,
    too."""
    if isinstance(scopes, str):
        raise ConfigurationError("scopes is a collection of scopes, not one string")
    names = tuple(scopes)
    for name in names:
        if not isinstance(name, str) or not name or " " in name or not _quotable(name):
            raise ConfigurationError(f"{shown(name)} is not a scope (RFC 6749 3.3)")
    return names


def _quotable(text: str) -> bool:
    return text.isascii() and text.isprintable() and '"' not in text and "\\" not in text


def _refusal(status: int, code: str | None, description: str, headers: dict[str, str]) -> Refusal:
    body = {"error_description": description} if code is None else {"error": code, "error_description": description}
    fixed = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Refusal(status, {**fixed, **headers}, json_bytes(body))
