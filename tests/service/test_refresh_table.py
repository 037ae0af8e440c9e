"""Each row of the refresh table, with its neighbors one tick before and after every window."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from admit.errors import InvalidGrant, RevokedToken
from admit.service import sessions
from admit.service.facade import TokenService
from admit.service.policy import Policy
from admit.service.session_policy import milliseconds
from admit.service.sessions import CASES, Outcome, Presented, Row, Windows, classify
from tests.service.conftest import PASSWORD, MovableClock, Opener

GRACE, RETRY = milliseconds(Policy().grace), milliseconds(Policy().retry_window)
SKEW = milliseconds(Policy().clock_skew)
IDLE, ABSOLUTE = milliseconds(Policy().idle), milliseconds(Policy().absolute)

T = 1_000_000_000
ROW = Row(
    id="s",
    user_id="u",
    client_id="c",
    audience="a",
    scope="",
    epoch=3,
    generation=5,
    hash=b"current",
    previous=b"previous",
    successor=b"sealed",
    seen=False,
    rotated_at=T,
    idle_until=T + 10 * RETRY,
    expires_at=T + 10 * RETRY,
    auth_time=T,
    auth_method="pwd",
    ended_at=None,
    status_idx=None,
    user_epoch=3,
    user_disabled_at=None,
)
CURRENT, PREVIOUS = Presented(b"current", 5, "c"), Presented(b"previous", 4, "c")
OLDER, AHEAD = Presented(b"older", 3, "c"), Presented(b"newer", 6, "c")


@pytest.mark.parametrize(
    ("presented", "row", "now", "outcome"),
    [
        (CURRENT, ROW, T + GRACE - 1, Outcome.SAME),
        (CURRENT, ROW, T + GRACE, Outcome.ROTATE),
        (CURRENT, ROW, T - GRACE, Outcome.SAME),  # the clock went back, here and below
        (CURRENT, ROW, T - GRACE - 1, Outcome.ROTATE),
        (PREVIOUS, ROW, T - GRACE, Outcome.REPLAY),
        (PREVIOUS, replace(ROW, seen=True), T - GRACE, Outcome.REPLAY),
        (PREVIOUS, replace(ROW, seen=True), T - GRACE - 1, Outcome.REUSE),
        (PREVIOUS, ROW, T - GRACE - 1, Outcome.RETRY),
        (PREVIOUS, ROW, T - SKEW, Outcome.RETRY),
        (PREVIOUS, ROW, T - SKEW - 1, Outcome.REUSE),
        (CURRENT, replace(ROW, rotated_at=0, generation=5), T, Outcome.ROTATE),
        (PREVIOUS, ROW, T, Outcome.REPLAY),
        (PREVIOUS, ROW, T + GRACE - 1, Outcome.REPLAY),
        (PREVIOUS, replace(ROW, seen=True), T + GRACE - 1, Outcome.REPLAY),
        (PREVIOUS, ROW, T + GRACE, Outcome.RETRY),
        (PREVIOUS, replace(ROW, seen=True), T + GRACE, Outcome.REUSE),
        (PREVIOUS, ROW, T + RETRY - 1, Outcome.RETRY),
        (PREVIOUS, ROW, T + RETRY, Outcome.REUSE),
        (PREVIOUS, replace(ROW, successor=None), T + 1, Outcome.REUSE),
        (OLDER, ROW, T + 1, Outcome.REUSE),
        (AHEAD, ROW, T + 1, Outcome.AHEAD),
        (Presented(b"other timeline", 5, "c"), ROW, T + 1, Outcome.AHEAD),
        (CURRENT._replace(client_id="d"), ROW, T + GRACE, Outcome.REFUSED),
        (OLDER._replace(client_id="d"), ROW, T + 1, Outcome.REFUSED),
        (CURRENT, replace(ROW, ended_at=T), T + GRACE, Outcome.REFUSED),
        (OLDER, replace(ROW, ended_at=T), T + GRACE, Outcome.REFUSED),
        (CURRENT, replace(ROW, user_disabled_at=T), T + GRACE, Outcome.REFUSED),
        (CURRENT, replace(ROW, user_epoch=4), T + GRACE, Outcome.REFUSED),
        (CURRENT, replace(ROW, idle_until=T + GRACE + 1), T + GRACE, Outcome.ROTATE),
        (CURRENT, replace(ROW, idle_until=T + GRACE), T + GRACE, Outcome.REFUSED),
        (CURRENT, replace(ROW, expires_at=T + GRACE + 1), T + GRACE, Outcome.ROTATE),
        (CURRENT, replace(ROW, expires_at=T + GRACE), T + GRACE, Outcome.REFUSED),
    ],
)
def test_each_row_of_the_table_holds_to_the_millisecond(
    presented: Presented, row: Row, now: int, outcome: Outcome
) -> None:
    assert classify(row, presented, now, Windows(GRACE, RETRY, SKEW)) is outcome


@pytest.mark.parametrize("now", [T - 1, T, T + 1])
def test_where_there_is_no_window_no_clock_opens_one(now: int) -> None:
    none = Windows(0, 0, SKEW)
    assert classify(ROW, PREVIOUS, now, none) is Outcome.REUSE
    assert classify(ROW, CURRENT, now, none) is Outcome.ROTATE


def test_the_table_names_every_outcome_once() -> None:
    assert [outcome for outcome, _ in CASES] == [
        Outcome.REFUSED,
        Outcome.AHEAD,
        Outcome.ROTATE,
        Outcome.SAME,
        Outcome.REPLAY,
        Outcome.RETRY,
        Outcome.REUSE,
    ]


def test_a_rotation_gives_a_new_pair_and_the_old_token_gets_the_same_successor(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    first = service.login("alice", PASSWORD)
    second = service.refresh(first.refresh_token)
    assert second.refresh_token != first.refresh_token
    clock.forward(GRACE - 1)
    replayed = service.refresh(first.refresh_token)
    assert replayed.refresh_token == second.refresh_token
    assert replayed.access_token != second.access_token
    assert service.verifier().verify(replayed.access_token).sid == first.session_id


def test_a_token_inside_its_grace_is_never_two_generations_old(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    first = service.login("alice", PASSWORD)
    second = service.refresh(first.refresh_token)
    clock.forward(GRACE - 1)
    assert service.refresh(second.refresh_token).refresh_token == second.refresh_token
    assert service.refresh(first.refresh_token).refresh_token == second.refresh_token
    clock.forward(1)
    assert service.refresh(second.refresh_token).refresh_token != second.refresh_token


def test_a_clock_that_goes_back_a_long_way_holds_no_window_open(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    robbed, other = service.login("alice", PASSWORD), service.login("alice", PASSWORD)
    service.refresh(robbed.refresh_token)
    newest = service.refresh(other.refresh_token)
    clock.forward(-SKEW - 1)
    with pytest.raises(InvalidGrant):
        service.refresh(robbed.refresh_token)
    assert [session.id for session in service.sessions(alice)] == [other.session_id]
    assert service.refresh(newest.refresh_token).refresh_token != newest.refresh_token


def test_a_clock_that_goes_back_by_a_second_or_two_logs_nobody_out(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    first = service.login("alice", PASSWORD)
    second = service.refresh(first.refresh_token)
    clock.forward(-2000)
    assert service.refresh(second.refresh_token).refresh_token == second.refresh_token
    assert service.refresh(first.refresh_token).refresh_token == second.refresh_token


def test_a_lost_answer_is_repeated_until_the_retry_window_closes_and_audited(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    first = service.login("alice", PASSWORD)
    second = service.refresh(first.refresh_token)
    clock.forward(RETRY - 1)
    assert service.refresh(first.refresh_token).refresh_token == second.refresh_token
    assert [event.event for event in service.audit(sub=alice)][-1] == "session.retry"
    clock.forward(1)
    with pytest.raises(InvalidGrant):
        service.refresh(first.refresh_token)
    assert service.sessions(alice) == []


def test_a_token_that_is_retried_again_and_again_is_audited_once_for_each_rotation(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    token = service.login("alice", PASSWORD).refresh_token
    for rotations in (1, 2):
        successor = service.refresh(token).refresh_token
        for _ in range(5):
            clock.forward(GRACE)
            assert service.refresh(token).refresh_token == successor
        assert [event.event for event in service.audit(sub=alice)].count("session.retry") == rotations
        token = successor


def test_a_token_whose_successor_was_seen_has_no_retry_window(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    first = service.login("alice", PASSWORD)
    second = service.refresh(first.refresh_token)
    service.refresh(second.refresh_token)
    clock.forward(GRACE)
    with pytest.raises(InvalidGrant):
        service.refresh(first.refresh_token)
    assert service.sessions(alice) == []


def test_a_replayed_token_revokes_only_its_own_session_and_says_so(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    other = service.login("alice", PASSWORD)
    first = service.login("alice", PASSWORD)
    second = service.refresh(first.refresh_token)
    clock.forward(GRACE)
    third = service.refresh(second.refresh_token)
    with pytest.raises(InvalidGrant):
        service.refresh(first.refresh_token)
    assert [session.id for session in service.sessions(alice)] == [other.session_id]
    with pytest.raises(InvalidGrant):
        service.refresh(third.refresh_token)
    for pair in (first, second, third):
        with pytest.raises(RevokedToken):
            service.verifier().verify(pair.access_token)
    service.verifier().verify(other.access_token)
    assert [event.event for event in service.audit(sub=alice)].count("session.reuse") == 1


def test_a_token_from_before_a_restored_backup_is_refused_and_ends_nothing(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    from sqlalchemy import select, update

    from admit.service.schema import sessions as table

    firsts = [service.login("alice", PASSWORD) for _ in range(2)]
    kept = select(table.c.id, table.c.hash, table.c.generation, table.c.rotated_at, table.c.previous)
    backup = service._core.read(lambda tx: tx.execute(kept).mappings().all())
    seconds = [service.refresh(first.refresh_token) for first in firsts]
    restored = [update(table).where(table.c.id == row["id"]).values(row) for row in backup]
    service._core.write(lambda tx: [tx.execute(each) for each in restored])
    for second in seconds * 3:
        with pytest.raises(InvalidGrant):
            service.refresh(second.refresh_token)
    told = [event.session_id for event in service.audit(sub=alice) if event.event == "session.ahead"]
    assert told == [first.session_id for first in firsts]
    for first in firsts:
        assert service.refresh(first.refresh_token).session_id == first.session_id


@pytest.mark.parametrize("limit", ["idle", "absolute"])
def test_neither_token_outlives_the_session(opened: Opener, clock: MovableClock, limit: str) -> None:
    from datetime import timedelta

    ends = timedelta(minutes=20)
    policy = Policy(idle=ends, absolute=ends if limit == "absolute" else Policy().absolute, grace=timedelta(seconds=1))
    service = opened(clock=clock, policy=policy)
    service.users.add("alice", PASSWORD)
    pair = service.login("alice", PASSWORD)
    if limit == "absolute":
        clock.forward(milliseconds(ends) // 2 + 1000)
        pair = service.refresh(pair.refresh_token)
        assert service.verifier().verify(pair.access_token).exp <= 1_800_000_000 + ends.total_seconds()
        assert pair.expires_in == milliseconds(ends) // 2000 - 1
        clock.forward(milliseconds(ends) // 2 - 1000)
    else:
        clock.forward(milliseconds(ends))
    with pytest.raises(InvalidGrant):
        service.refresh(pair.refresh_token)


def test_a_forged_or_foreign_token_changes_nothing(service: TokenService, alice: str) -> None:
    pair = service.login("alice", PASSWORD)
    text = pair.refresh_token
    before = service.audit()
    forged = [text[:-1] + ("A" if text[-1] != "A" else "B"), text[:40] + ("A" if text[40] != "A" else "B") + text[41:]]
    for bad in [*forged, "", "x", text + "A", text.upper(), "admit_rt_" + "é" * 100, "admit_rt_" + "\0" * 100]:
        with pytest.raises(InvalidGrant) as refused:
            service.refresh(bad)
        assert text not in str(refused.value)
    assert service.audit() == before
    assert service.refresh(text).session_id == pair.session_id


def test_a_forgery_is_refused_without_asking_the_database(service: TokenService, alice: str) -> None:
    pair = service.login("alice", PASSWORD)
    service._core.follower.close()  # it would ask, too
    service._core.follower._heard = inf  # and nobody finds it late
    asked: list[object] = []
    object.__setattr__(service._core.storage, "read", lambda query: asked.append(query))
    with pytest.raises(InvalidGrant):
        service.refresh(pair.refresh_token[:-2] + "AA")
    assert asked == []


def test_a_bad_scope_or_audience_does_not_use_the_token_up(service: TokenService, alice: str) -> None:
    from admit.errors import InvalidScope, InvalidTarget

    pair = service.login("alice", PASSWORD, scope="orders:read")
    for wrong in ({"scope": "orders:write"}, {"scope": "orders:read  orders:read"}, {"audience": "payroll"}):
        with pytest.raises((InvalidScope, InvalidTarget)):
            service.refresh(pair.refresh_token, **wrong)
    row = service._core.read(lambda tx: sessions.find(tx, pair.session_id))
    assert row is not None
    assert row.generation == 0
    claims = service.verifier(audience="billing").verify(
        service.refresh(pair.refresh_token, audience="billing").access_token
    )
    assert claims.scopes == {"orders:read"}


def test_a_failing_claims_function_does_not_use_the_token_up(opened: Opener, clock: MovableClock) -> None:
    broken = False

    def claims(sub: str) -> dict[str, object]:
        if broken:
            raise LookupError("the application's database is away")
        return {"tenant": "acme"}

    service = opened(clock=clock, claims=claims)
    service.users.add("alice", PASSWORD)
    pair = service.login("alice", PASSWORD)
    broken = True
    with pytest.raises(LookupError):
        service.refresh(pair.refresh_token)
    broken = False
    again = service.refresh(pair.refresh_token)
    assert service.verifier().verify(again.access_token).raw["tenant"] == "acme"


def test_a_database_dump_holds_no_refresh_token(service: TokenService, alice: str, url: str) -> None:
    first = service.login("alice", PASSWORD)
    second = service.refresh(first.refresh_token)
    path = url.removeprefix("sqlite:///")
    dump = b""
    for suffix in ("", "-wal"):
        with open(path + suffix, "rb") as file:
            dump += file.read()
    for pair in (first, second):
        assert pair.refresh_token.encode() not in dump
        assert pair.access_token.encode() not in dump
    assert PASSWORD.encode() not in dump
