"""The revocation feed's pages, from memory: one signature a second serves everybody who stands at the same place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from admit.clock import monotonic
from admit.tokens.revocation import PAGE_ENTRIES, Page

if TYPE_CHECKING:
    from admit.clock import Clock
    from admit.service.follower import Follower

_SHARED: Final = 1.0  # seconds
_PLACES: Final = 64  # pages held; followers stand at the head or a little behind


class Feed:
    """Signs the pages of one service."""

    def __init__(self, follower: Follower, issuer: str, clock: Clock) -> None:
        self._follower, self._issuer, self._clock = follower, issuer, clock
        self._pages: dict[tuple[str, int | None, int], tuple[float, str]] = {}

    def page(self, since: int | None, epoch: str | None) -> str:
        """The signed page after `since` of the feed `epoch`, or everything where that is not this feed's."""
        view = self._follower.view()
        head = view.head
        if epoch != head.epoch or (since is not None and not 0 <= since <= head.seq):
            since = None
        place, now = (head.epoch, since, head.seq), monotonic()
        held = self._pages.get(place)
        if held is not None and now - held[0] < _SHARED:
            return held[1]
        entries = [entry for entry in view.entries if entry.seq > (since or 0)]
        more = len(entries) > PAGE_ENTRIES
        entries = entries[:PAGE_ENTRIES]
        page = Page(
            iss=self._issuer,
            feed=head.epoch,
            since=since or 0,
            to=entries[-1].seq if more else head.seq,
            iat=int(self._clock()),
            entries=tuple(entries),
            full=since is None,
            more=more,
        ).sign(view.feed.signing)
        if len(self._pages) >= _PLACES:
            self._pages = {}
        self._pages[place] = (now, page)
        return page
