"""RevocationFeed: follows what one issuer cuts off early, by long poll, and says when that is too old to believe."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from admit import clock
from admit.clock import Clock, system_clock
from admit.errors import (
    ConfigurationError,
    InvalidToken,
    RevocationsUnavailable,
    ServiceUnreachable,
    Unavailable,
    UnknownKey,
    shown,
)
from admit.jose.keyset import KeySet
from admit.remote.background import Background
from admit.tokens.revocation import MAX_PAGE, Page
from admit.tokens.revocation_set import RevocationSet
from admit.tokens.waiting import WouldWait

if TYPE_CHECKING:
    from collections.abc import Callable

    from admit.remote.credentials import Credentials
    from admit.remote.fetch import Fetcher
    from admit.remote.introspection import Introspection
    from admit.remote.jwks import JWKSClient
    from admit.tokens.claims import Claims

OnStale = Literal["fail_closed", "introspect", "accept"]
"""What becomes of tokens while the newest page is older than the limit."""
LIMIT: Final = timedelta(seconds=300)
"""How long without news before nothing is judged: half the life of an access token."""
_WAIT: Final = 25.0  # seconds of one long poll
_PACE: Final = 0.1  # seconds between polls that bring something
_IDLE_PACE: Final = 1.0  # and between those that an issuer without long poll answers at once
_WARN_AFTER: Final = 30.0
_MAX_SKEW: Final = 60.0  # seconds by which the issuer's clock may be ahead of this one
_PATIENCE: Final = 5.0  # seconds that a caller waits for a page
_START_PATIENCE: Final = 60.0  # and a program that starts, for all of them while they come
_LOOK: Final = 0.02
"""Seconds between looks at what seldom changes: the process, and whether what it heard is young enough."""

log = logging.getLogger("admit.remote")


class RevocationFeed:
    """What one issuer cut off before its expiry, as Revocations for Verifier. No I/O before the first use.

    issuer: as its pages say. url: of the feed, a function. keys: those that sign the feed and nothing else. limit:
    how old the newest signed page may be before `check` raises RevocationsUnavailable. on_stale: "accept" takes
    tokens by what was heard last, but never before a first page was heard; "introspect" asks the issuer for each token.
    introspection: who asks then. credentials: for a feed that wants them. on_key: called where a key was cut off.
    clock: seconds since 1970. now: a monotonic clock.

    Age counts from the `iat` that the issuer signed, by this machine's clock, and from when the page was asked for,
    by the monotonic clock: neither a replayed page nor a clock that is set back makes it younger.
    """

    def __init__(
        self,
        issuer: str,
        url: Callable[[], str],
        keys: JWKSClient,
        fetcher: Fetcher,
        *,
        limit: timedelta = LIMIT,
        on_stale: OnStale = "fail_closed",
        introspection: Introspection | None = None,
        credentials: Credentials | None = None,
        on_key: Callable[[], None] | None = None,
        clock: Clock = system_clock,
        now: Clock = clock.monotonic,
    ) -> None:
        if limit <= timedelta():
            raise ConfigurationError("the limit of a revocation feed's age must be positive")
        if (on_stale == "introspect") is not (introspection is not None):
            raise ConfigurationError("on_stale='introspect' and an introspection belong together")
        self._introspection, self._credentials, self._on_key = introspection, credentials, on_key
        self.ask = None if introspection is None else self._asked
        """Called with a token and its claims where `check` raised RevocationsUnavailable: the issuer says whether it is good.

        Raises RevokedToken, RevocationsUnavailable, or WouldWait where the caller may not wait. None unless chosen.
        """
        self._warned = float("-inf")
        self._issuer, self._url, self._keys, self._fetcher = issuer, url, keys, fetcher
        self._limit, self._accept = limit.total_seconds(), on_stale == "accept"
        self._wait = min(_WAIT, self._limit / 3)  # a page is as old as the question: so the next one comes in time
        self._clock, self._now = clock, now
        self._set = RevocationSet(stale=self._look)
        self.judge = self._set.judge
        """`check` for a verifier, which knows what time it is, and whether the claims passed before and were kept."""
        self._feed: str | None = None
        self._seq = self._purged = 0
        self._iat = 0
        self._until = self._until_now = float("-inf")
        self._pid = 0
        self._background = Background(self._poll, "admit-revocations", now)

    def check(self, claims: Claims[Any], /) -> None:
        """Raise RevokedToken, or RevocationsUnavailable where the newest page is missing or older than the limit."""
        self.judge(claims, self._clock(), False)

    def _asked(self, token: str, claims: Claims[Any], /) -> None:
        self._set.check(claims)  # old as it is: what was cut off stays so
        assert self._introspection is not None  # noqa: S101 - `ask` is None otherwise
        self._introspection.ask(token)

    @property
    def age(self) -> float | None:
        """Seconds since the issuer signed the newest page; None before the first. A metric: worry from 30 s on."""
        return None if not self._iat else max(self._clock() - self._iat, 0.0)

    def __len__(self) -> int:
        """How many entries are in force."""
        return len(self._set)

    def start(self) -> None:
        """Wait for a first page. Raises RevocationsUnavailable."""
        self._catch_up(_START_PATIENCE, starts=True)

    def close(self) -> None:
        """End the background thread; what is known ages from now on."""
        self._background.close()
        self._keys.close()

    def open(self) -> None:
        """Undo `close`."""
        self._keys.open()
        self._background.open()

    def _fresh(self) -> bool:
        return self._left() > 0

    def _left(self) -> float:
        """Seconds for which the newest page may still be believed."""
        return min(self._until - self._clock(), self._until_now - self._now())

    def _look(self) -> None:
        """See that this process follows, and that what it heard is young enough by both clocks.

        Not for every token: that many calls of the system cost as much as the look into the entries. So a fork, a machine that
        was suspended and a clock that was set are noticed within _LOOK.
        """
        if self._pid != os.getpid() or not self._fresh():
            self._catch_up(_PATIENCE)
        left = self._left()
        if left > 0:  # or old news is accepted, but looked at for every token
            now = self._clock()
            self._set.believe(now, now + min(left, _LOOK))

    def _catch_up(self, patience: float, *, starts: bool = False) -> None:
        try:
            self._background.wake(at_once=False)  # after a fork no thread follows the feed any more
            self._pid = os.getpid()
            if not starts and (self._introspection is not None or (self._accept and self._iat)):
                self._background.settled()  # there is another way: nobody waits for a feed that failed before
            ends, known = self._now() + patience, -1
            while not self._fresh() and known < self._seq and self._now() < ends:
                known = self._seq  # as long as there are more pages, and they come
                self._background.run(_PATIENCE, self._fresh)
        except WouldWait:
            raise
        except Unavailable as error:
            problem, retry_after = str(error), error.retry_after
        else:
            if self._fresh():
                return
            problem, retry_after = "the newest page is too old", 2
        if self._accept and self._iat:
            self._warn_of_accepting(problem)
            return
        heard = "never" if not self._iat else f"{self.age:.0f} s ago"
        raise RevocationsUnavailable(
            f"revocations last heard {heard}, at most {self._limit:.0f} s are allowed: {problem}", retry_after
        )

    def _warn_of_accepting(self, problem: str) -> None:
        now = self._now()
        if not self._warned <= now < self._warned + _WARN_AFTER:
            self._warned = now
            log.warning(
                "the revocation feed of %s is %.0f s old, and tokens are accepted all the same: %s",
                shown(self._issuer, 200), self.age, problem,
            )  # fmt: skip

    def _poll(self) -> float:
        try:
            return self._follow()
        except Unavailable as error:
            age = self.age
            if age is not None and age > _WARN_AFTER:
                log.warning("the revocation feed of %s is %.0f s old: %s", shown(self._issuer, 200), age, error)
            raise

    def _follow(self) -> float:
        begun = self._now()
        page = self._ask(None if self._feed is None else self._seq)
        if page.feed != self._feed and not page.full:
            page = self._ask(None)  # the feed began anew: what it says now is not about what is known here
        moved = page.feed != self._feed or page.to != self._seq
        self._take(page, begun)
        if page.more:
            return 0.0
        return _PACE if moved else max(_IDLE_PACE - (self._now() - begun), _PACE)

    def _ask(self, since: int | None) -> Page:
        # Whoever is behind asks for what there is now: until the issuer has news he would refuse everybody.
        wait = self._wait if self._fresh() and self._background.error is None else 0.0
        params = {"wait": f"{wait:g}"}
        if since is not None:
            params |= {"since": str(since), "epoch": self._feed or ""}
        answer = self._fetcher.get(
            self._url(), params=params, credentials=self._credentials, limit=MAX_PAGE, patience=wait
        ).body.strip()
        try:
            try:
                return Page.read(answer, self._in_force(self._keys.current()), self._issuer)
            except UnknownKey:
                return Page.read(answer, self._in_force(self._keys.missing(None)), self._issuer)
        except InvalidToken as error:
            raise ServiceUnreachable(f"the revocation feed's answer is refused: {error}") from None

    def _in_force(self, keys: KeySet) -> KeySet:
        """The keys without those that the feed itself said were cut off, however long its issuer's JWKS may be kept."""
        kept = [key for key in keys if not self._set.cuts_off_key(key.kid)]
        if not kept:
            raise ServiceUnreachable("every key of the revocation feed was cut off")
        return keys if len(kept) == len(keys) else KeySet(kept)

    def _take(self, page: Page, begun: float) -> None:
        now = self._clock()
        if page.iat > now + _MAX_SKEW:
            raise ServiceUnreachable(
                f"the revocation page was signed {page.iat - now:.0f} s in the future: mend this clock"
            )
        if page.iat < self._iat and not page.more:
            # An old answer once more, perhaps by someone who hides a revocation; of an old feed, too. Pages on the way
            # to the last one may be old: they are signed once for all, and make nothing fresh.
            raise ServiceUnreachable("the revocation page is older than one that was heard before")
        if not page.full and (page.feed != self._feed or page.since > self._seq or page.to < self._seq):
            raise ServiceUnreachable("the revocation page goes back, leaves a gap, or belongs to another feed")
        # Only ever added to: what was cut off stays so until its tokens are over, even if a restored issuer forgot.
        self._set.apply(page.entries)
        if self._on_key is not None and any(entry.kind == "kid" for entry in page.entries):
            self._on_key()
        self._feed, self._seq = page.feed, page.to
        # By this clock alone, one that is ahead for a moment would let go of what still counts.
        if (until := min(int(now), page.iat)) > self._purged + 60:
            self._set.purge(until)
            self._purged = until
        if page.more:
            return
        if page.iat > self._iat:  # the same page once more is no news
            self._iat = page.iat
            self._until, self._until_now = page.iat + self._limit, begun + self._limit
        if not self._fresh():  # or every request would ask once more, of an issuer whose own database is away
            raise ServiceUnreachable("the newest page is too old")
        if now - page.iat > _WARN_AFTER:
            log.warning("the revocation feed of %s is %.0f s old", shown(self._issuer, 200), now - page.iat)
