"""What a verifier sees for itself in a set of revocations, and when it has to ask."""

from __future__ import annotations

import random
import string
import sys
import time
from contextlib import suppress
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from admit import Key, KeySet, Signer, Verifier
from admit.clock import random_id
from admit.errors import InvalidToken, RevocationsUnavailable, RevokedToken
from admit.tokens.revocation import KINDS, Entry, EntryKind
from admit.tokens.revocation_set import NO_GLANCE, PAIRS, RevocationSet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

KEY = Key.generate("HS256")
SIGNER = Signer(KEY, issuer="https://auth.example", audience="orders")
ADDING = ("apply", "add", "_look_for", "_show")
VALUES: dict[EntryKind, str] = {"jti": "j1", "sid": "s1", "sub": "alice", "client": "web", "kid": KEY.kid}


def verifier(revocations: Any, **settings: Any) -> Verifier[None]:
    return Verifier(
        KeySet([KEY]), issuer="https://auth.example", audience="orders", revocations=revocations, **settings
    )


def token(sid: str | None = "s1", **changes: Any) -> str:
    named = {"sub": "alice", "client_id": "web", "jti": "j1"} | changes
    return SIGNER.sign(**named, claims={} if sid is None else {"sid": sid})


def entry(kind: EntryKind, value: str, exp: int | None = None) -> Entry:
    return Entry.of(kind, value, seq=1, exp=exp, epoch=1 if kind == "sub" else None)


class Asked:
    """A set that counts how often anyone asks for its judgement."""

    def __init__(self, *entries: Entry) -> None:
        self.looks = 0
        self.cut = RevocationSet(entries, stale=self._look)
        self.judge, self.check = self.cut.judge, self.cut.check

    def _look(self) -> None:
        self.looks += 1


def until_now(cut: RevocationSet, seconds: float = 100.0) -> None:
    cut.believe(time.time() - 100, time.time() + seconds)


@pytest.mark.parametrize("further", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_token_is_refused_for_what_was_cut_off_of_any_kind_beside_any_other(
    kind: EntryKind, further: EntryKind
) -> None:
    cut = RevocationSet([entry(further, "other")])
    subject, subjects_token = verifier(cut), token()
    assert subject.verify(subjects_token).sid == "s1"
    cut.apply([entry(kind, VALUES[kind])])
    with pytest.raises(RevokedToken):
        subject.verify(subjects_token)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sid"])
def test_a_token_of_no_session_is_refused_for_all_else(kind: EntryKind) -> None:
    cut = RevocationSet([entry("sid", "other")])
    verifier(cut).verify(token(None))
    cut.apply([entry(kind, VALUES[kind])])
    with pytest.raises(RevokedToken):
        verifier(cut).verify(token(None))


def test_while_the_entries_are_believed_nobody_asks_how_old_they_are() -> None:
    asked = Asked(entry("sid", "other"))
    subject = verifier(asked)
    for looks in (1, 2):  # never believed yet
        subject.verify(token())
        assert asked.looks == looks
    until_now(asked.cut)
    for sid in ("s1", None):
        subject.verify(token(sid))
    assert asked.looks == 2
    for since, until in ((-200, -0.1), (100, 200)):
        asked.cut.believe(time.time() + since, time.time() + until)
        looks = asked.looks
        subject.verify(token())
        assert asked.looks == looks + 1


def test_the_first_moment_is_believed_and_the_last_is_not() -> None:
    asked = Asked(entry("sid", "other"))
    subject, each, moment = verifier(asked), token(), time.time() + 1
    asked.cut.believe(moment, moment + 1)
    for now, looks in ((moment, 0), (moment + 0.9, 0), (moment + 1, 1), (moment - 0.1, 2)):
        subject._clock = lambda now=now: now  # type: ignore[misc]
        subject.verify(each)
        assert asked.looks == looks


def test_what_is_too_old_to_be_believed_refuses_at_a_glance_and_without() -> None:
    def fail() -> None:
        raise RevocationsUnavailable("too old")

    for entries in ([], [entry("sid", "other")], [entry("jti", "other")]):
        cut = RevocationSet(entries, stale=fail)
        with pytest.raises(RevocationsUnavailable):
            verifier(cut).verify(token())
        until_now(cut)
        verifier(cut).verify(token())
        until_now(cut, -1)
        with pytest.raises(RevocationsUnavailable):
            verifier(cut).verify(token())


def test_a_clock_of_the_verifiers_own_is_not_what_entries_are_believed_by() -> None:
    asked, began = Asked(), time.time()
    asked.cut.believe(began - 1, began + 1e-3)
    time.sleep(0.01)
    verifier(asked, clock=lambda: began).verify(token())
    assert asked.looks == 1


def test_a_judge_of_ones_own_is_asked_although_a_set_stands_behind_it() -> None:
    class Stricter:
        def __init__(self) -> None:
            self.cut = RevocationSet()
            self.check = self.cut.check

        def judge(self, *_: object) -> None:
            raise RevokedToken("nobody passes")

    with pytest.raises(RevokedToken):
        verifier(Stricter()).verify(token())


@pytest.mark.parametrize("kind", KINDS)
def test_a_mark_alone_refuses_nobody_and_marks_of_others_hide_nobody(kind: EntryKind) -> None:
    cut = RevocationSet([entry(kind, VALUES[kind])])
    cut._map[:] = b"\xff" * len(cut._map)
    with pytest.raises(RevokedToken):
        verifier(cut).verify(token())
    assert cut.cuts_off_key(KEY.kid) is (kind == "kid")
    for number in range(0 if kind == "kid" else 20):
        verifier(cut).verify(token(random_id(), sub="bob", client_id="app", jti=f"j {number}"))


def test_most_sessions_pass_at_a_glance_however_many_have_ended_and_a_search_is_enough_for_the_others() -> None:
    assert len(PAIRS) == 32
    assert {pair.bit_count() for pair in PAIRS} == {2}
    assert len(set(PAIRS)) == 28
    cut = RevocationSet(entry("sid", random_id()) for _ in range(40_000))
    subject, tokens, looks = verifier(cut), [token(random_id()) for _ in range(2000)], {"epoch": 0, "judge": 0}

    def count(frame: FrameType, event: str, _: object) -> None:
        for name in looks:
            looks[name] += event == "call" and name in frame.f_code.co_name

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        for each in tokens:
            subject.verify(each)
    finally:
        sys.setprofile(before)
    assert 0 < looks["epoch"] < len(tokens) * 0.02  # 0.7 % are to be expected
    assert looks["judge"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_sets_of_sessions_and_keys_alone_show_themselves(kind: EntryKind) -> None:
    cut = RevocationSet([entry("sid", "other")])
    assert cut.glance != NO_GLANCE
    cut.apply([entry(kind, "other", exp=1_900_000_000)])
    assert (cut.glance == NO_GLANCE) is (kind not in {"sid", "kid"})
    until_now(cut)
    assert (cut.glance == NO_GLANCE) is (kind not in {"sid", "kid"})
    cut.purge(1_900_000_000 + 600)
    assert cut.glance != NO_GLANCE


def test_where_keys_were_cut_off_each_other_is_judged_once_after_every_entry() -> None:
    further = Key.generate("HS256")
    cut = RevocationSet([entry("kid", "leaked")])
    subject = Verifier(KeySet([KEY, further]), issuer="https://auth.example", audience="orders", revocations=cut)
    others = Signer(further, issuer="https://auth.example", audience="orders").sign(sub="alice", client_id="web")

    def asks(each: str) -> bool:
        return at_step(0, ("judge",), partial(subject.verify, each), lambda: None)

    assert [asks(token()), asks(token("s2")), asks(token(None))] == [True, False, False]
    assert [asks(others), asks(others), asks(token())] == [True, False, False]
    for kind in KINDS[1::3]:
        cut.apply([entry(kind, "further")])
        assert [asks(token()), asks(others), asks(token()), asks(others)] == [True, True, False, False]
    cut.apply([entry("kid", further.kid)])
    for first in (True, False):
        assert asks(token()) is first
        with pytest.raises(RevokedToken):
            subject.verify(others)


def test_where_no_key_was_cut_off_none_is_remembered() -> None:
    cut, claims = RevocationSet([entry("sid", "other")]), verifier(None).verify(token())
    cut.judge(claims, 0.0, False)
    assert not cut._passed
    cut.apply([entry("kid", "other")])
    cut.judge(claims, 0.0, False)
    assert cut._passed == {KEY.kid}


@pytest.mark.parametrize("during", ["_show", "judge"])
@pytest.mark.parametrize("before", ["sid", "kid"])
@pytest.mark.parametrize("kind", KINDS)
def test_wherever_an_entry_comes_in_between_it_is_not_missed(kind: EntryKind, before: EntryKind, during: str) -> None:
    step, came = 0, True
    while came:
        cut = RevocationSet([entry("sid", "other"), entry(before, "other")])
        subject, each = verifier(cut), token()
        claims = subject.verify(each)
        act = partial(until_now, cut) if during == "_show" else partial(cut.judge, claims, 0.0, True)
        with suppress(RevokedToken):
            came = at_step(step, (during,), act, partial(cut.apply, [entry(kind, VALUES[kind])]))
        if came:
            with pytest.raises(RevokedToken):
                subject.verify(each)
            with pytest.raises(RevokedToken):
                cut.judge(claims, 0.0, True)
        step += 1
    assert step > 10


@pytest.mark.parametrize(("before", "kind"), [*product(["kid"], KINDS), ("sid", "jti"), ("sid", "kid")])
def test_nothing_lets_a_token_pass_that_an_entry_cuts_off(before: EntryKind, kind: EntryKind) -> None:
    """Whatever another thread does between any two steps of one that adds the entry, and afterwards."""
    step, came, held = 0, True, set[int]()
    while came:
        cut = RevocationSet([entry(before, "other")])
        subject, each = verifier(cut), token()
        kept, new = subject.verify(each), verifier(None).verify(each)
        cut.judge(kept, 0.0, True)
        looks = partial(subject.verify, each), partial(cut.judge, kept, 0.0, True), partial(cut.judge, new, 0.0, True)

        def look(cut: RevocationSet = cut, looks: Any = looks) -> None:
            assert len(cut) == 1 or all(map(is_refused, looks))
            until_now(cut)
            assert len(cut) == 1 or all(map(is_refused, looks))
            held.add(len(cut))

        came = at_step(step, ADDING, partial(cut.apply, [entry(kind, VALUES[kind])]), look)
        assert all(map(is_refused, looks)), step
        step += 1
    assert held == {1, 2}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_long_page_cuts_off_is_refused_while_the_rest_of_it_is_read(kind: EntryKind) -> None:
    step, came = 0, True
    while came:
        cut = RevocationSet([entry("kid", "other")])
        subject, each = verifier(cut), token()
        kept = subject.verify(each)
        cut.judge(kept, 0.0, True)
        looks = partial(subject.verify, each), partial(cut.judge, kept, 0.0, True)

        def page(looks: Any = looks) -> Iterator[Entry]:
            yield entry(kind, VALUES[kind])
            for number in range(60):
                yield entry("sid", f"s {number}")
            assert all(map(is_refused, looks))

        came = at_step(step, ("apply",), partial(cut.apply, page()), partial(until_now, cut))
        assert all(map(is_refused, looks)), step
        step += 1
    assert step > 20


@pytest.mark.parametrize("kind", ["jti", "sub", "kid"])
def test_what_is_interrupted_lets_nothing_pass_that_it_had_cut_off_and_the_next_page_mends_it(kind: EntryKind) -> None:
    step, came, held = 0, True, set[int]()
    while came:
        cut = RevocationSet([entry("kid", "other")])
        subject, each = verifier(cut), token()
        kept, further = subject.verify(each), [entry(kind, VALUES[kind])]
        cut.judge(kept, 0.0, True)
        looks = partial(subject.verify, each), partial(cut.judge, kept, 0.0, True)
        with suppress(MemoryError):
            came = at_step(step, ADDING, partial(cut.apply, further), fail)
        until_now(cut)
        assert len(cut) == 1 or all(map(is_refused, looks)), step
        held.add(len(cut))
        cut.apply([])
        assert cut._passed is not None
        cut.apply(further)
        assert all(map(is_refused, looks)), step
        step += 1
    assert held == {1, 2}


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_that_breaks_off_leaves_nothing_that_passed_before(kind: EntryKind) -> None:
    cut = RevocationSet([entry("kid", "other")])
    subject, each = verifier(cut), token()
    kept = subject.verify(each)
    cut.judge(kept, 0.0, True)
    with pytest.raises(InvalidToken):
        cut.apply([entry(kind, VALUES[kind]), Entry("jti", "?", 2, None)])
    assert is_refused(partial(subject.verify, each))
    assert is_refused(partial(cut.judge, kept, 0.0, True))


def test_pages_without_entries_leave_what_passed() -> None:
    cut = RevocationSet([entry("kid", "other")])
    subject, each = verifier(cut), token()
    subject.verify(each)
    cut.apply([])
    assert not at_step(0, ("judge",), partial(subject.verify, each), lambda: None)


def fail() -> None:
    raise MemoryError


def is_refused(look: Any) -> bool:
    try:
        look()
    except RevokedToken:
        return True
    return False


def test_at_no_moment_entries_of_other_kinds_allow_a_glance() -> None:
    cut, seen = RevocationSet([entry("sid", "other"), entry("jti", "j1")]), list[bool]()
    while at_step(len(seen), ("_show",), partial(until_now, cut), lambda: seen.append(cut.glance == NO_GLANCE)):
        pass
    assert len(seen) > 10
    assert all(seen)


def at_step(step: int, names: tuple[str, ...], act: Any, between: Any) -> bool:
    """Do something, and something else just before that bytecode of functions of these names. Whether it came to it."""
    left, came = step, False

    def trace(frame: Any, event: str, _: object) -> Any:
        nonlocal left, came
        if came or not any(name in frame.f_code.co_name for name in names):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left < 0:
                came = True
                between()
        return trace

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # Python 3.12 looks for one such frame when tracing begins
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return came


def test_ids_of_every_length_are_found() -> None:
    drawn = random.Random(7)
    ids = ["".join(drawn.choices(string.printable, k=length)) for length in range(1, 80)] + ["ÿ", "語" * 9]
    for sid in ids:
        with pytest.raises(RevokedToken):
            verifier(RevocationSet([entry("sid", sid)])).verify(token(sid))
