"""The revocation feed's pages, from memory: at most one signature a second, whoever asks for what.

All who follow closely get the same *edition*: what came in the last seconds, and a little before, so that it suits
everybody who stands in there; a follower takes an entry twice without harm. Whoever is far behind first walks along
*chunks*, which are signed once for all. Only an edition says how fresh a follower is, and only editions are signed again
and again: up to ten in a burst, so that news goes out at once, and in the long run one a second.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from threading import Event
from typing import TYPE_CHECKING, Final, NamedTuple

from admit.clock import monotonic
from admit.process_lock import ProcessLock
from admit.tokens.revocation import PAGE_ENTRIES, Page

if TYPE_CHECKING:
    from admit.clock import Clock
    from admit.service.follower import Follower, View

_PERIOD: Final = 1.0  # seconds for each signature
_BURST: Final = 10
_RECENT: Final = 3.0  # seconds that an edition reaches back
_AGAIN: Final = 0.001  # seconds, where others were faster


class _Signed(NamedTuple):
    since: int
    to: int
    text: str
    made: float = 0.0


class Feed:
    """Signs the pages of one service."""

    def __init__(self, follower: Follower, issuer: str, clock: Clock) -> None:
        self._follower, self._issuer, self._clock = follower, issuer, clock
        self._lock = ProcessLock()
        self._edition: _Signed | None = None
        self._heads: deque[tuple[float, int]] = deque([(0.0, 0)])  # of the editions before, with one older than _RECENT
        self._chunks: list[_Signed] = []
        self._signed_as = ("", "")
        self._iat = 0.0  # of the newest signature
        self._paid = 0.0  # up to when the signatures so far are one a second
        self.signatures = 0
        """How many were made, for a metric."""

    def page(self, since: int | None, epoch: str | None) -> str:
        """A signed page for one who knows `epoch` up to `since`, or everything where that is not this feed's.

        Where a signature is not due yet, the edition before; for whoever that does not suit, after a wait of a second at
        most.
        """
        while (text := self.page_now(since, epoch)) is None:
            Event().wait(max(self._wait(), _AGAIN))
        return text

    def page_now(self, since: int | None, epoch: str | None) -> str | None:
        """`page`, or None in place of a wait."""
        if since is not None:
            self._follower.reach(since)
        with self._lock:
            view = self._begun()
            place = self._place(view, since, epoch)
            text = self._chunk(view, place) or self._current(view, place)
            if text is None and self._wait() <= 0:
                text = self._sign_edition(view, place)
            if text is None and self._edition is not None and self._edition.since <= place <= self._edition.to:
                text = self._edition.text
            return text

    def due(self, since: int | None, epoch: str | None) -> float:
        """In how many seconds `page` has the newest for that place."""
        if not self._lock.acquire(blocking=False):
            return 0.0  # somebody signs; this is asked on event loops
        try:
            view = self._begun()
            place = self._place(view, since, epoch)
            behind = len(view.entries) - _index(view, place) > 2 * PAGE_ENTRIES
            return 0.0 if behind or self._current(view, place) is not None else max(self._wait(), 0.0)
        finally:
            self._lock.release()

    def _begun(self) -> View:
        view = self._follower.view()
        signed_as = view.head.epoch, view.feed.signing.kid
        if signed_as != self._signed_as or view.head.seq < self._heads[-1][1]:  # another feed, or a restored database
            self._signed_as, self._edition, self._chunks = signed_as, None, []
            self._heads = deque([(0.0, 0)])
        return view

    def _place(self, view: View, since: int | None, epoch: str | None) -> int:
        """Where the asker stands; 0 where nothing is known of it, or too much."""
        known = epoch == view.head.epoch and since is not None and 0 <= since <= view.head.seq
        return since if known and since is not None else 0

    def _current(self, view: View, place: int) -> str | None:
        edition = self._edition
        if edition is None or edition.since > place or edition.to != view.head.seq:
            return None
        return edition.text if monotonic() - edition.made < _PERIOD else None

    def _chunk(self, view: View, place: int) -> str | None:
        """The chunk for one who is far behind; None for others."""
        if len(view.entries) - _index(view, place) <= 2 * PAGE_ENTRIES:
            return None
        if len(self._chunks) * PAGE_ENTRIES > 2 * len(view.entries):
            self._chunks = []  # most of what they carry has expired
        while not self._chunks or self._chunks[-1].to <= place:
            since = self._chunks[-1].to if self._chunks else 0
            first = _index(view, since)
            to = view.entries[first + PAGE_ENTRIES - 1].seq
            self._chunks.append(_Signed(since, to, self._sign(view, since, to, more=True)))
        return self._chunks[bisect_right(self._chunks, place, key=lambda chunk: chunk.to)].text

    def _wait(self) -> float:
        return self._paid - _BURST * _PERIOD - monotonic()

    def _sign_edition(self, view: View, place: int) -> str:
        now = monotonic()
        while len(self._heads) > 1 and self._heads[1][0] <= now - _RECENT:
            self._heads.popleft()
        since = self._heads[0][1]
        behind = len(view.entries) - 2 * PAGE_ENTRIES
        least = view.entries[behind - 1].seq if behind > 0 else 0  # further back are chunks
        if place < since or since < least:
            since = least  # so that it suits everybody: for a place of its own each would take a signature
        text = self._sign(view, since, view.head.seq, more=False)
        self._paid = max(self._paid, now) + _PERIOD
        self._edition = _Signed(since, view.head.seq, text, now)
        self._heads.append((now, view.head.seq))
        return text

    def _sign(self, view: View, since: int, to: int, *, more: bool) -> str:
        self.signatures += 1
        now, late = self._clock(), view.late
        # How old the view is, not the signature. It does not go back for that: followers would take it for a replay.
        self._iat = min(now, max(self._iat, now - late)) if late else now
        return Page(
            iss=self._issuer,
            feed=view.head.epoch,
            since=since,
            to=to,
            iat=int(self._iat),
            entries=tuple(view.entries[_index(view, since) : _index(view, to)]),
            full=since == 0,
            more=more,
        ).sign(view.feed.signing)


def _index(view: View, seq: int) -> int:
    """How many entries have a number of at most `seq`."""
    return bisect_right(view.entries, seq, key=lambda entry: entry.seq)
