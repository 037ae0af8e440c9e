"""The feed and the view in memory."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event, Thread, current_thread

import pytest
from sqlalchemy import delete, update

from admit.errors import RevocationsUnavailable, RevokedToken, StorageUnavailable
from admit.service import revocation, schema
from admit.service.facade import TokenService
from admit.service.policy import Policy
from admit.service.storage import Tx
from admit.tokens.revocation import Entry
from tests.helpers.waiting import until
from tests.service.conftest import PASSWORD, MovableClock, Opener
from tests.service.test_feed import cut_off, page_of


def test_the_feed_gives_everything_then_what_is_new_then_a_signed_nothing(service: TokenService, alice: str) -> None:
    pair = service.login("alice", PASSWORD)
    empty = page_of(service)
    assert (empty.full, empty.since, empty.to, empty.entries) == (True, 0, 0, ())
    service.logout(pair.refresh_token)
    first = page_of(service, 0, empty.feed)
    assert [entry.kind for entry in first.entries] == ["sid"]
    pair = service.login("alice", PASSWORD)
    service.logout(pair.refresh_token)
    new = page_of(service, first.to, empty.feed)
    assert first.to < new.to
    assert [entry.seq for entry in new.entries if entry.seq > first.to] == [new.to]
    assert service.feed(new.to, empty.feed) == service.feed(new.to, empty.feed)


@pytest.mark.parametrize(("since", "epoch"), [(0, "another"), (2**60, None), (-1, None), (2**60, "its own")])
def test_a_follower_of_another_epoch_or_beyond_the_head_starts_anew(
    service: TokenService, alice: str, since: int, epoch: str | None
) -> None:
    service.logout(service.login("alice", PASSWORD).refresh_token)
    own = service.feed_head()[0]
    page = page_of(service, since, own if epoch == "its own" else epoch)
    assert (page.full, page.since, len(page.entries)) == (True, 0, 1)


def test_the_feeds_key_is_not_among_the_keys_of_tokens(service: TokenService) -> None:
    tokens = {key["kid"] for key in service.jwks()["keys"]}
    feed = {key["kid"] for key in service.feed_jwks()["keys"]}
    assert tokens.isdisjoint(feed)
    assert all("d" not in key for key in service.jwks()["keys"] + service.feed_jwks()["keys"])


def test_each_entry_has_a_number_of_its_own(opened: Opener) -> None:
    services = [opened(), opened()]
    with ThreadPoolExecutor(8) as pool:

        def cut(index: int) -> None:
            services[index % 2]._core.write(lambda tx: revocation.cut_off(tx, revocation.CutOff("jti", str(index))))

        list(pool.map(cut, range(60)))
    entries = services[0]._core.read(lambda tx: revocation.entries_after(tx, 0))
    assert len({entry.seq for entry in entries}) == 60
    assert entries[-1].seq == services[0]._core.read(revocation.head).seq


def test_a_rolled_back_revocation_takes_no_number(service: TokenService) -> None:
    def change(tx: object) -> None:
        revocation.cut_off(tx, revocation.CutOff("jti", "x"))  # type: ignore[arg-type]
        raise LookupError

    with pytest.raises(LookupError):
        service._core.write(change)
    assert service._core.read(revocation.head).seq == 0


def test_entries_outlive_every_token_they_could_mean_and_then_go(opened: Opener, clock: MovableClock) -> None:
    opened(clock=clock).close()
    long = opened(clock=clock, policy=Policy(access_lifetime=timedelta(hours=2)))
    long.users.add("alice", PASSWORD)
    pair = long.login("alice", PASSWORD)
    short = opened(clock=clock)
    short.logout(pair.refresh_token)
    long._core.follower.look()
    with pytest.raises(RevokedToken):
        long.verifier().verify(pair.access_token)
    [entry] = short._core.read(lambda tx: revocation.entries_after(tx, 0))
    assert entry.exp is not None
    assert entry.exp >= clock() + 7200 + 60
    clock.forward((7200 + 600) * 1000)
    assert short.cleanup() >= 1
    assert short._core.read(lambda tx: revocation.entries_after(tx, 0)) == []


def test_another_process_hears_of_a_revocation_by_itself(opened: Opener) -> None:
    one, other = opened(), opened()
    one.users.add("alice", PASSWORD)
    pair = one.login("alice", PASSWORD)
    door = other.verifier()
    door.verify(pair.access_token)
    moved: list[float] = []
    stop = other.on_feed(lambda: moved.append(time.monotonic()))
    started = time.monotonic()
    one.logout(pair.refresh_token)
    while not moved and time.monotonic() - started < 20:
        time.sleep(0.01)
    with pytest.raises(RevokedToken):
        door.verify(pair.access_token)
    assert moved
    stop()


@pytest.mark.parametrize("restored", [{"epoch": "another"}, {"seq": 0}])
def test_what_a_restored_database_does_not_hold_is_no_longer_known(
    service: TokenService, restored: dict[str, object]
) -> None:
    cut_off(service, "a")
    assert service.feed_entries() == 1

    def restore(tx: Tx) -> None:
        tx.execute(delete(schema.revocations))
        tx.execute(update(schema.feed).values(restored))

    service._core.storage.write(restore)
    service._core.follower.look()
    assert (service.feed_entries(), page_of(service).entries) == (0, ())


def test_what_a_clock_that_was_ahead_let_go_of_is_known_again(service: TokenService, clock: MovableClock) -> None:
    cut_off(service, "a")
    for milliseconds, entries in ((7_200_000, 0), (-7_200_000, 1)):
        clock.forward(milliseconds)
        service._core.follower.look()
        assert service.feed_entries() == len(service._core.follower.view().entries) == entries


def test_an_entry_that_comes_between_the_reads_of_one_look_is_known_once(
    service: TokenService, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower, read = service._core.follower, revocation.entries_after
    follower.close()

    def committed(value: str) -> None:
        service._core.storage.write(lambda tx: revocation.cut_off(tx, revocation.CutOff("jti", value)))

    def later(tx: Tx, since: int) -> list[Entry]:
        committed("b")
        return read(tx, since)

    committed("a")
    monkeypatch.setattr(revocation, "entries_after", later)
    follower.look()
    monkeypatch.undo()
    committed("c")
    follower.look()
    assert len({entry.seq for entry in follower.view().entries}) == len(follower.view().entries) == 3


def test_verifying_without_a_thread_looks_for_itself(service: TokenService, alice: str) -> None:
    pair = service.login("alice", PASSWORD)
    door, follower = service.verifier(), service._core.follower
    follower.close()  # as after a fork that left the thread behind
    service._core.storage.write(lambda tx: revocation.cut_off(tx, revocation.CutOff("sid", pair.session_id)))
    follower._heard = follower._tried = time.monotonic() - 2
    with pytest.raises(RevokedToken):
        door.verify(pair.access_token)


def test_a_view_that_is_too_old_is_unavailable_and_not_an_acceptance(service: TokenService, alice: str) -> None:
    pair = service.login("alice", PASSWORD)
    door, follower = service.verifier(), service._core.follower
    follower.close()

    def away(query: object) -> None:
        raise StorageUnavailable("away")

    object.__setattr__(service._core.storage, "read", away)
    follower._heard = follower._tried = time.monotonic() - 10
    door.verify(pair.access_token)  # ten seconds of silence are within the limit
    follower._heard = follower._tried = time.monotonic() - 301
    with pytest.raises(RevocationsUnavailable):
        door.verify(pair.access_token)


def test_where_no_thread_tries_again_each_caller_does(service: TokenService, alice: str) -> None:
    pair = service.login("alice", PASSWORD)
    door, follower, asked = service.verifier(), service._core.follower, list[object]()
    follower.close()

    def away(query: object) -> None:
        asked.append(query)
        raise StorageUnavailable("away")

    object.__setattr__(service._core.storage, "read", away)
    for count in (1, 2):
        follower._heard = follower._tried = time.monotonic() - 10
        door.verify(pair.access_token)
        assert len(asked) == count


def test_a_process_does_not_sign_from_an_old_view(service: TokenService, alice: str) -> None:
    follower = service._core.follower
    follower.close()

    def away(query: object) -> None:
        raise StorageUnavailable("away")

    object.__setattr__(service._core.storage, "read", away)
    follower._heard = time.monotonic() - 61
    with pytest.raises(StorageUnavailable):
        follower.view()


def test_nobody_asks_a_database_again_that_has_just_failed_the_thread(
    service: TokenService, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = service.login("alice", PASSWORD)
    door, follower = service.verifier(), service._core.follower
    failed, callers = Event(), list[str]()

    def away(query: object) -> None:
        callers.append(current_thread().name)
        failed.set()
        raise StorageUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(service._core.storage, "read", away)
        follower.start()
        assert failed.wait(20)
        until(lambda: follower._failed > follower._heard and not follower._here().lock.locked())
        follower._heard = follower._tried = time.monotonic() - 10
        door.verify(pair.access_token)
        follower._heard = follower._tried = time.monotonic() - 301
        with pytest.raises(RevocationsUnavailable):
            door.verify(pair.access_token)
    assert set(callers) == {"admit-follower"}
    until(lambda: follower._heard > follower._failed)
    door.verify(pair.access_token)


def test_callers_look_themselves_where_the_thread_has_not_tried_again(
    service: TokenService, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = service.login("alice", PASSWORD)
    door, follower = service.verifier(), service._core.follower
    follower.start()
    monkeypatch.setattr("admit.service.follower._PERIOD", 60)  # it does something else, it seems
    until(lambda: time.monotonic() - follower._heard > 0.3)
    service._core.storage.write(lambda tx: revocation.cut_off(tx, revocation.CutOff("sid", pair.session_id)))
    follower._heard = follower._tried = time.monotonic() - 10
    follower._failed = time.monotonic() - 9
    with pytest.raises(RevokedToken):
        door.verify(pair.access_token)


def test_a_callback_that_fails_neither_ends_the_thread_nor_undoes_a_change(service: TokenService, alice: str) -> None:
    pair, follower = service.login("alice", PASSWORD), service._core.follower
    told = Event()

    def broken() -> None:
        told.set()
        raise RuntimeError("Event loop is closed")

    service.on_feed(broken)
    service.logout(pair.refresh_token)
    assert told.is_set()
    told.clear()
    service._core.storage.write(lambda tx: revocation.cut_off(tx, revocation.CutOff("jti", "x")))  # as another process
    assert told.wait(20)
    heard = follower._heard
    until(lambda: follower._heard > heard)
    assert follower.follows()


def test_without_a_thread_to_start_callers_look_themselves_until_there_is_one(
    service: TokenService, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, follower = service.login("alice", PASSWORD), service._core.follower
    follower.close()
    follower._processes.clear()  # as in a child of fork

    def refused(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(Thread, "start", refused)
        service.verifier().verify(pair.access_token)
        assert not follower.follows()
    assert follower.follows()
