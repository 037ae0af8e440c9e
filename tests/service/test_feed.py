"""The feed's pages: what they cost in signatures, that they leave nobody out, and what a restored database does to them."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections import deque
from pathlib import Path

import pytest

from admit import KeySet
from admit.service import feed, revocation
from admit.service.facade import TokenService
from admit.tokens.revocation import Entry, Page
from admit.tokens.revocation_set import RevocationSet
from tests.service.conftest import START, MovableClock, Opener


def page_of(service: TokenService, since: int | None = None, epoch: str | None = None) -> Page:
    return Page.read(service.feed(since, epoch).encode(), KeySet.from_jwks(service.feed_jwks()), service.issuer)


class Reader:
    """A follower that keeps what it is told, as remote ones do."""

    def __init__(self, service: TokenService) -> None:
        self.service, self.epoch, self.seq = service, None, None
        self.known = dict[str, Entry]()

    epoch: str | None
    seq: int | None

    def read(self) -> None:
        more = True
        while more:
            page = page_of(self.service, self.seq, self.epoch)
            more = page.more
            # What RevocationFeed requires of a page, so that nothing can be left out between two.
            assert page.full or (page.feed == self.epoch and page.since <= (self.seq or 0) <= page.to)
            self.known |= {entry.digest: entry for entry in page.entries}
            self.epoch, self.seq = page.feed, page.to


def cut_off(service: TokenService, *values: str) -> None:
    service._core.write(lambda tx: revocation.cut_off(tx, *(revocation.CutOff("jti", value) for value in values)))


@pytest.mark.parametrize("moving", [False, True])
def test_many_followers_cost_one_signature_a_second_after_a_burst(service: TokenService, moving: bool) -> None:
    readers, ended = [Reader(service) for _ in range(12)], threading.Event()

    def follow(reader: Reader) -> None:
        while not ended.is_set():
            reader.read()
            time.sleep(random.uniform(0, 0.01))

    def ask_for_anything() -> None:
        epoch, head = service.feed_head()
        while not ended.is_set():
            service.feed(random.choice([None, 0, 1, random.randint(0, head), head]), random.choice([None, epoch]))

    threads = [threading.Thread(target=follow, args=(reader,)) for reader in readers]
    threads.append(threading.Thread(target=ask_for_anything))
    begun, before = time.monotonic(), service._feed.signatures
    for thread in threads:
        thread.start()
    for number in range(40):
        if moving:
            cut_off(service, f"{number}")
        time.sleep(0.03)
    ended.set()
    for thread in threads:
        thread.join()
    signed, seconds = service._feed.signatures - before, time.monotonic() - begun
    assert signed <= feed._BURST + seconds + 1
    assert signed >= min(seconds, feed._BURST) - 1 or not moving
    for reader in readers:
        reader.read()
        time.sleep(service.feed_due(reader.seq, reader.epoch))
        reader.read()
        assert len(reader.known) == (40 if moving else 0)


def test_places_that_nobody_was_told_of_cost_no_signature_each(service: TokenService) -> None:
    cut_off(service, "a", "b")
    service._core.follower.look()
    epoch, head = service.feed_head()
    assert service.feed_now()
    # As if the news were old, and editions reached back no further.
    service._feed._heads, service._feed._edition = deque([(0.0, head)]), None
    before, begun = service._feed.signatures, time.monotonic()
    pages = [service.feed_now(head - each, epoch) for each in range(60)]
    assert None not in pages
    assert all(page_of(service, head - each, epoch).since <= head - each for each in range(60))
    assert service._feed.signatures - before <= 2 + time.monotonic() - begun


def test_a_page_is_as_fresh_as_the_look_at_the_database_not_as_its_signature(
    service: TokenService, clock: MovableClock
) -> None:
    assert page_of(service).iat == int(clock())
    follower = service._core.follower
    follower.close()  # what a silent database comes to
    for seconds, expected in ((0, 0), (20, 12), (-7, 12), (12, 17), (-10, 15)):  # back with the clock alone
        clock.forward(seconds * 1000)
        follower.view().heard = time.monotonic() - 7.2
        service._feed._edition = None
        assert page_of(service).iat == int(START) + expected


def test_whoever_may_not_wait_is_told_when_no_signature_is_due(service: TokenService) -> None:
    assert service.feed_now() is not None
    service._feed._edition, service._feed._paid = None, time.monotonic() + feed._BURST + 1
    assert service.feed_now() is None
    begun = time.monotonic()
    assert service.feed()
    assert time.monotonic() - begun > 0.1


def test_whoever_is_far_behind_walks_along_pages_that_are_signed_once_for_all(
    service: TokenService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "PAGE_ENTRIES", 10)
    for number in range(25):
        cut_off(service, *(f"{number} {each}" for each in range(7)))
    readers = [Reader(service) for _ in range(20)]
    before = service._feed.signatures
    for reader in readers:
        reader.read()
        assert len(reader.known) == 175
    assert service._feed.signatures - before <= 17 + 2  # and an edition or two, as the second turns
    # Wherever one stands, nothing is left out.
    everything = service._core.read(lambda tx: revocation.entries_after(tx, 0))
    for behind in (0, 1, 5, 50, 100, 174):
        late = Reader(service)
        late.epoch, late.seq = readers[0].epoch, everything[behind].seq
        late.read()
        assert {entry.seq for entry in everything[behind + 1 :]} <= {entry.seq for entry in late.known.values()}
        assert len(page_of(service, late.seq, late.epoch).entries) <= 20


def test_pages_of_what_has_expired_are_not_kept(
    service: TokenService, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "PAGE_ENTRIES", 5)
    for spell in range(6):
        cut_off(service, *(f"{spell} {each}" for each in range(30)))
        Reader(service).read()
        clock.forward(3_600_000)
    cut_off(service, "last")
    reader = Reader(service)
    reader.read()
    assert len(reader.known) <= 31
    assert len(service._feed._chunks) * 5 <= 2 * 31 + 10


def test_what_has_expired_is_looked_for_once_a_minute_not_at_every_look(
    service: TokenService, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    purge, purged = RevocationSet.purge, list[float]()

    def counting(cut: RevocationSet, now: float) -> None:
        purged.append(now)
        purge(cut, now)

    monkeypatch.setattr(RevocationSet, "purge", counting)
    follower = service._core.follower
    cut_off(service, "a", "b")
    clock.forward(59_999)
    for _ in range(5):
        follower.look()
    assert (purged, follower.entries) == ([], 2)
    clock.forward(3_600_000)
    for _ in range(5):
        follower.look()
    assert (len(purged), follower.entries, page_of(service).entries) == (1, 0, ())
    clock.forward(-3_600_000)
    for _ in range(5):
        follower.look()
    assert len(purged) == 2  # a clock that was set back is not waited for


def test_after_a_restored_backup_a_follower_misses_nothing_that_comes(opened: Opener, tmp_path: Path, url: str) -> None:
    service = opened()
    reader = Reader(service)
    for number in range(3):
        cut_off(service, f"before {number}")
    service.close()
    shutil.copy(tmp_path / "auth.db", tmp_path / "backup.db")
    service = reader.service = opened()
    for number in range(3):
        cut_off(service, f"lost {number}")
    reader.read()
    assert len(reader.known) == 6
    service.close()
    for each in tmp_path.glob("auth.db-*"):
        each.unlink()
    shutil.copy(tmp_path / "backup.db", tmp_path / "auth.db")
    service = reader.service = opened()
    # As many as were lost, before the follower asks again: their numbers must not be taken for those it has.
    for number in range(3):
        cut_off(service, f"after {number}")
    reader.read()
    assert {Entry.of("jti", f"after {number}", seq=1, exp=1).digest for number in range(3)} <= reader.known.keys()
    assert len(reader.known) == 9  # and what the issuer has forgotten stays cut off


def test_whoever_knows_more_than_this_process_makes_it_look_before_it_sends_everything(opened: Opener) -> None:
    one, other = opened(), opened()
    other._core.follower.close()  # as if it had not looked yet
    epoch, _ = other.feed_head()
    cut_off(one, "a")
    other._core.follower._heard = time.monotonic()
    time.sleep(0.03)
    head = one.feed_head()[1]
    page = page_of(other, head, epoch)
    assert (page.to, page.feed) == (head, epoch)
