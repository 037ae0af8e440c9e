"""The life of a signing key, against a verifier whose JWKS is as old as it may be."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from admit.keyring.lifecycle import (
    PUBLISHED,
    TRANSITIONS,
    Action,
    KeyTimes,
    State,
    Step,
    Timing,
    next_step,
    rotation,
    wait_before_rotation,
)

TIMING = Timing(lifetime=1000, published=100, retire_after=60)
TOKEN_LIFE = 50


def apply(keys: list[KeyTimes], step: Step, now: int) -> list[KeyTimes]:
    """What a store does with a step."""
    if step.action is Action.ADD:
        return [*keys, KeyTimes(kid=f"k{step.ordinal}", state=State.PENDING, ordinal=step.ordinal, created_at=now)]
    known = {key.kid: key for key in keys}
    for old, new in TRANSITIONS[step.action]:
        kid = step.successor if new is State.ACTIVE else step.kid
        assert known[kid].state is old
        since = {State.ACTIVE: {"active_at": now}, State.RETIRING: {"retiring_at": now}}.get(new, {})
        known[kid] = replace(known[kid], state=new, **since)  # type: ignore[arg-type]
    return [*known.values()]


def settled(keys: list[KeyTimes], now: int) -> list[KeyTimes]:
    while (step := next_step(keys, now, TIMING)) is not None:
        keys = apply(keys, step, now)
    return keys


def signing(keys: list[KeyTimes]) -> KeyTimes:
    [active] = [key for key in keys if key.state is State.ACTIVE]
    return active


def test_a_first_start_ends_with_an_active_key_and_a_published_standby() -> None:
    assert [key.state for key in settled([], 0)] == [State.ACTIVE, State.PENDING]


def test_a_rotation_is_due_to_the_tick_and_waits_for_the_standby() -> None:
    keys = settled([], 0)
    assert next_step(keys, 999, TIMING) is None
    assert next_step(keys, 1000, TIMING) == Step(Action.ROTATE, kid="k1", successor="k2")
    young = [keys[0], replace(keys[1], created_at=950)]
    assert next_step(young, 1049, TIMING) is None
    assert wait_before_rotation(young, 1049, TIMING) == 1
    assert next_step(young, 1050, TIMING) is not None


def test_a_key_retires_to_the_tick_when_its_last_token_is_over() -> None:
    keys = settled(settled([], 0), 1000)
    assert next_step(keys, 1059, TIMING) is None
    assert next_step(keys, 1060, TIMING) == Step(Action.RETIRE, kid="k1")


def test_a_revoked_key_has_its_successor_at_once() -> None:
    keys = [replace(key, state=State.REVOKED) if key.state is State.ACTIVE else key for key in settled([], 0)]
    step = next_step(keys, 1, TIMING)
    assert step == Step(Action.ACTIVATE, successor="k2")
    after = settled(keys, 1)
    assert signing(after).kid == "k2"
    assert [key.state for key in after].count(State.PENDING) == 1


def test_rotating_twice_by_hand_waits_the_second_time() -> None:
    keys = settled([], 0)
    assert wait_before_rotation(keys, 0, TIMING) == 0
    step = rotation(keys)
    assert step is not None
    keys = settled(apply(keys, step, 5), 5)
    assert wait_before_rotation(keys, 6, TIMING) == 99


def test_an_algorithm_is_given_up_only_where_others_sign_and_when_its_rotation_is_overdue() -> None:
    keys = settled([], 0)
    overdue = TIMING.lifetime + TIMING.published
    assert next_step(keys, overdue - 1, TIMING, wanted=False, covered=True) is None
    assert next_step(keys, 50 * overdue, TIMING, wanted=False, covered=False) is None
    step = next_step(keys, overdue, TIMING, wanted=False, covered=True)
    assert step == Step(Action.STOP, kid="k1")
    keys = [replace(keys[0], state=State.RETIRING, retiring_at=overdue), keys[1]]
    assert next_step(keys, overdue, TIMING, wanted=False, covered=True) == Step(Action.WITHDRAW, kid="k2")
    keys = [keys[0], replace(keys[1], state=State.RETIRED)]
    assert next_step(keys, overdue + 59, TIMING, wanted=False, covered=True) is None
    assert next_step(keys, overdue + 60, TIMING, wanted=False, covered=True) == Step(Action.RETIRE, kid="k1")


def test_a_standby_that_is_not_old_is_not_taken_away_from_a_process_that_just_added_it() -> None:
    added = [KeyTimes(kid="k1", state=State.PENDING, ordinal=1, created_at=5)]
    assert next_step(added, 5 + TIMING.published, TIMING, wanted=False, covered=True) is None
    assert next_step(added, 5 + TIMING.lifetime + TIMING.published, TIMING, wanted=False, covered=True) is not None


def test_a_new_algorithm_signs_when_every_verifier_can_hold_its_key_or_nothing_else_can_sign() -> None:
    added = [KeyTimes(kid="k1", state=State.PENDING, ordinal=1, created_at=5)]
    assert next_step(added, 104, TIMING, covered=True) is None
    assert next_step(added, 105, TIMING, covered=True) == Step(Action.ACTIVATE, successor="k1")
    assert next_step(added, 6, TIMING, covered=False) == Step(Action.ACTIVATE, successor="k1")


def test_of_two_standbys_the_newer_is_next_and_the_older_helps_in_an_emergency() -> None:
    keys = settled([], 0)
    keys = [*keys, KeyTimes(kid="k3", state=State.PENDING, ordinal=3, created_at=10)]
    assert rotation(keys) == Step(Action.ROTATE, kid="k1", successor="k3")
    assert rotation(keys, force=True) == Step(Action.ROTATE, kid="k1", successor="k2")
    assert wait_before_rotation(keys, 10, TIMING) == TIMING.published
    lost = [replace(keys[0], state=State.REVOKED), *keys[1:]]
    assert next_step(lost, 11, TIMING) == Step(Action.ACTIVATE, successor="k2")
    rotated = apply(keys, Step(Action.ROTATE, kid="k1", successor="k3"), 200)
    assert wait_before_rotation(rotated, 200, TIMING) == 0  # k2 is in every JWKS that k3 is in


def test_a_standby_added_in_the_very_tick_of_a_rotation_is_not_taken_for_an_old_one() -> None:
    keys = settled([], 0)
    step = rotation(keys)
    assert step is not None
    keys = settled(apply(keys, step, 0), 0)
    assert wait_before_rotation(keys, 0, TIMING) == TIMING.published


@given(st.lists(st.tuples(st.integers(1, 400), st.sampled_from(["pass", "pass", "pass", "rotate"])), max_size=60))
def test_every_honest_token_verifies_at_a_verifier_with_the_oldest_allowed_jwks(moves: list[tuple[int, str]]) -> None:
    now, keys = 0, settled([], 0)
    published: list[tuple[int, set[str]]] = [(0, {key.kid for key in keys})]
    tokens: list[tuple[str, int]] = []
    for wait, move in moves:
        for tick in range(now + 1, now + wait + 1, 7):
            now = tick
            keys = settled(keys, now)
            published.append((now, {key.kid for key in keys if key.state in PUBLISHED}))
            tokens.append((signing(keys).kid, now + TOKEN_LIFE))
        if move == "rotate" and wait_before_rotation(keys, now, TIMING) == 0:
            step = rotation(keys)
            assert step is not None
            keys = settled(apply(keys, step, now), now)
            published.append((now, {key.kid for key in keys if key.state in PUBLISHED}))
        tokens = [token for token in tokens if token[1] > now]
        # The oldest JWKS a verifier may hold was fetched `published` ago; it may also be the newest one.
        oldest = next(kids for at, kids in reversed(published) if at <= max(0, now - TIMING.published))
        assert signing(keys).kid in oldest
        assert {kid for kid, _ in tokens} <= published[-1][1]
        assert [key.state for key in keys].count(State.PENDING) == 1
