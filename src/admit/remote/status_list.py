"""StatusLists: what an issuer's status lists say of its tokens, fetched and kept as JWKSClient keeps keys."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from admit import clock
from admit.clock import Clock, system_clock
from admit.errors import (
    ConfigurationError,
    InvalidClaim,
    InvalidToken,
    RevocationsUnavailable,
    RevokedToken,
    ServiceUnreachable,
    Unavailable,
    UnknownKey,
    shown,
)
from admit.jose import header as headers
from admit.jose.encoding import must_be_bytes_allowed
from admit.jose.jws import split
from admit.process_lock import ProcessLock
from admit.remote.background import Background
from admit.remote.fetch import TIMEOUT, Fetcher, checked_url, same_origin
from admit.tokens.arguments import duration, must_be_a_clock, names
from admit.tokens.status_list import (
    MAX_LIST,
    MEDIA_TYPE,
    SUSPENDED,
    Reference,
    StatusList,
    StatusListToken,
    token_limit,
)
from admit.tokens.waiting import WouldWait

if TYPE_CHECKING:
    from collections.abc import Iterable

    from admit.jose.keys import Key
    from admit.jose.keyset import KeySet
    from admit.tokens.claims import Claims
    from admit.tokens.verifier import KeySource

MAX_AGE: Final = timedelta(hours=1)
MAX_LISTS: Final = 64
"""Lists held at once, each with a thread that renews it; the one not asked for the longest makes place."""
_DEFAULT_TTL, _MIN_TTL = 300.0, 1.0  # seconds
_UNDATED: Final = 86_400.0
"""Seconds from its iat for which a list counts that has no exp: or it could be replayed for ever."""
_COOLDOWN: Final = 30.0  # seconds between looks that tokens beyond the end of a list cause


class StatusLists:
    """The status lists of one issuer's tokens, as Revocations for Verifier; nothing is fetched before the first token.

    keys: of whoever signs the lists, most often the issuer's own. issuer: as in tokens, and in lists that name one.
    origins: further places (https://host) that lists may be fetched from, besides the issuer's own. missing: what to do
    with tokens that have no status, "refuse" or "accept". max_age: how long after its fetch a list is believed at most;
    it is fetched anew once its ttl is over. A list without exp counts for a day from its iat. max_bytes: of an inflated list.

    Raises RevokedToken for every status but 0, InvalidClaim for a reference that cannot be, and RevocationsUnavailable
    where no list is at hand that is young enough: nothing passes unseen. draft-ietf-oauth-status-list 8.3.
    """

    def __init__(
        self,
        keys: KeySource,
        *,
        issuer: str,
        origins: Iterable[str] = (),
        missing: Literal["refuse", "accept"] = "refuse",
        max_age: timedelta = MAX_AGE,
        max_bytes: int = MAX_LIST,
        insecure_hosts: Iterable[str] = (),
        timeout: float = TIMEOUT,
        fetcher: Fetcher | None = None,
        clock: Clock = system_clock,
        now: Clock = clock.monotonic,
    ) -> None:
        if missing not in ("refuse", "accept"):
            raise ConfigurationError(f"missing is 'refuse' or 'accept', not {shown(missing)}")
        if not duration(max_age, "max_age"):
            raise ConfigurationError("max_age is positive, such as timedelta(hours=1)")
        must_be_bytes_allowed(max_bytes, "max_bytes")
        must_be_a_clock(clock)
        must_be_a_clock(now, "now", "seconds of a monotonic clock")
        self._fetcher = fetcher or Fetcher(insecure_hosts=insecure_hosts, timeout=timeout)
        places = (issuer, *names(origins, "origins", "('https://status.example',)"))
        self._origins = tuple(checked_url(place, self._fetcher.insecure_hosts) for place in places)
        self._keys, self._issuer, self._accept = keys, issuer, missing == "accept"
        self._max_age, self._max_bytes, self._clock, self._now = max_age.total_seconds(), max_bytes, clock, now
        self._lists: OrderedDict[str, _Followed] = OrderedDict()
        self._lock = ProcessLock()

    def check(self, claims: Claims[Any], /) -> None:
        """Raise RevokedToken where the token's status is not 0, or RevocationsUnavailable where that is not known."""
        reference = Reference.of(claims.raw)
        if reference is None:
            if self._accept:
                return
            raise InvalidClaim("the token has no status in a status list, and one is required", "status")
        followed = self._followed(reference.uri)
        statuses = followed.current()
        if reference.idx >= len(statuses):
            statuses = followed.grown()
        status = statuses.status(reference.idx)
        if status == SUSPENDED:
            raise RevokedToken("the token is suspended, says its status list")
        if status:
            raise RevokedToken(f"the token's status is {status}, says its status list")

    def __len__(self) -> int:
        """How many lists are held."""
        return len(self._lists)

    def close(self) -> None:
        """End the background threads and let go of the lists."""
        with self._lock:
            lists, self._lists = self._lists, OrderedDict()
        for followed in lists.values():
            followed.background.close()

    def _followed(self, uri: str) -> _Followed:
        with self._lock:
            found = self._lists.get(uri)
            if found is None:
                found = self._lists[uri] = _Followed(self, self._allowed(uri))
                if len(self._lists) > MAX_LISTS:
                    self._lists.popitem(last=False)[1].background.close()
            else:
                self._lists.move_to_end(uri)
            return found

    def _allowed(self, uri: str) -> str:
        """The URI, if lists may be fetched from there: a token must not choose which hosts this one speaks to."""
        try:
            url = checked_url(uri, self._fetcher.insecure_hosts)
        except ConfigurationError:
            raise InvalidClaim("the token's status list is at no URL that may be asked", "status") from None
        if not any(same_origin(url, origin) for origin in self._origins):
            raise InvalidClaim("the token's status list is at another origin than its issuer; see origins=", "status")
        return uri

    def fetch(self, uri: str) -> StatusListToken:
        """The list at `uri`, verified. Raises Unavailable."""
        limit = token_limit(self._max_bytes)
        answer = self._fetcher.get(uri, limit=limit, accept=MEDIA_TYPE).body.strip()
        keys = self._keys.current()
        try:
            try:
                return self._read(uri, answer, keys)
            except UnknownKey:
                # By its name: one that is nowhere must not stand for all others, which are then not looked for.
                kid = headers.parse(split(answer, limit)[1]).kid
                return self._read(uri, answer, self._keys.missing(kid))
        except InvalidToken as error:
            raise ServiceUnreachable(f"the status list at {shown(uri, 200)} is refused: {error}") from None

    def _read(self, uri: str, answer: bytes, keys: Any) -> StatusListToken:
        return StatusListToken.read(
            answer, keys, uri=uri, issuer=self._issuer, now=self._clock(), limit=self._max_bytes
        )


@dataclass(slots=True)
class _Held:
    """A list, who signed it, and its times: monotonic, but for exp, which is the issuer's and in seconds since 1970."""

    statuses: StatusList
    key: Key | None
    iat: float
    exp: float
    fetched: float
    refresh: float
    """When the background fetches again, ahead of `stale`, spread so that many processes do not come at once."""
    stale: float
    ends: float
    keys: KeySet | None = None
    """Among which the key was seen last."""

    def signed_by(self, keys: KeySet) -> bool:
        """Whether it was one of these who signed it: no list outlives a removed key, or whoever stole that could go on lying."""
        if self.keys is keys:
            return True
        found = self.key is not None and keys.get(self.key.kid) == self.key
        if found:
            self.keys = keys
        return found


class _Followed:
    """One list, renewed by a thread of its own."""

    def __init__(self, lists: StatusLists, uri: str) -> None:
        self._lists, self._uri = lists, uri
        self._held: _Held | None = None
        self._next_look = 0.0
        self._patience = lists._fetcher.timeout * 2 + 1  # the list, and perhaps the keys
        self.background = Background(self._refresh, "admit-status-list", lists._now)

    def current(self) -> StatusList:
        """The list in force, without I/O while it is fresh. Raises RevocationsUnavailable, KeysUnavailable."""
        held, now, keys = self._held, self._lists._now(), self._lists._keys.current()
        if held is not None and now >= held.refresh:
            with suppress(Unavailable):
                self.background.wake()  # its thread may have died with a fork
        # While fetching fails the last list counts anyway: a host that hangs must not cost every request its time.
        failing = self.background.error is not None
        if held is not None and self._stands(held, held.ends if failing else held.stale, keys):
            return held.statuses
        try:
            self.background.run(self._patience, lambda: self._fresh(keys))
        except WouldWait:
            raise
        except Unavailable as error:
            held = self._held
            if held is not None and self._stands(held, held.ends, self._lists._keys.current()):
                return held.statuses
            raise RevocationsUnavailable(f"no status list that is young enough: {error}", error.retry_after) from None
        return self._found()

    def grown(self) -> StatusList:
        """The list after a look for a place beyond its end, at most one in 30 s. Raises RevocationsUnavailable."""
        now = self._lists._now()
        try:
            if now < self._next_look:
                self.background.settled()
                return self._found()
            self._next_look = now + _COOLDOWN
            self.background.join(self.background.begin(), self._patience)
        except WouldWait:
            self._next_look = 0.0
            raise
        except Unavailable as error:
            raise RevocationsUnavailable(f"the status list could not be renewed: {error}", error.retry_after) from None
        return self._found()

    def _found(self) -> StatusList:
        held = self._held
        if held is None or not self._stands(held, held.ends, self._lists._keys.current()):
            raise RevocationsUnavailable("no status list that is young enough")
        return held.statuses

    def _stands(self, held: _Held, until: float, keys: KeySet) -> bool:
        lists = self._lists
        return held.fetched <= lists._now() < until and lists._clock() < held.exp and held.signed_by(keys)

    def _fresh(self, keys: KeySet) -> bool:
        held = self._held
        return held is not None and self._stands(held, held.stale, keys)

    def _refresh(self) -> float:
        lists = self._lists
        begun = lists._now()
        token = lists.fetch(self._uri)
        held = self._held
        if held is not None and token.iat < held.iat and held.signed_by(keys := lists._keys.current()):
            # A host that lags a little behind another one, or an old list once more, by someone who hides a revocation.
            if self._fresh(keys):
                return _MIN_TTL
            raise ServiceUnreachable("the status list is older than one that was read before")
        ttl = min(max(token.ttl or _DEFAULT_TTL, _MIN_TTL), lists._max_age)
        exp = token.iat + _UNDATED if token.exp is None else token.exp
        if lists._clock() >= exp:
            raise ServiceUnreachable("the status list does not say when it expires, and was signed more than a day ago")
        left = max(min(ttl, exp - lists._clock()), _MIN_TTL)
        refresh = begun + left * (0.75 + 0.15 * clock.jitter())
        self._held = _Held(
            token.statuses, token.key, token.iat, exp, begun, refresh, begun + ttl, begun + lists._max_age
        )
        return max(refresh - lists._now(), 0.0)
