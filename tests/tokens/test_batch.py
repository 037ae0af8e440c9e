"""verify_many: one answer for each token, in order, whatever the threads do."""

from __future__ import annotations

import threading

import pytest

from admit import Claims, InvalidToken, KeySet, Verifier
from admit.errors import BadSignature, ExpiredToken, KeysUnavailable, MalformedToken, RevocationsUnavailable
from admit.tokens.batch import verify_many
from admit.tokens.waiting import may_wait
from tests.helpers.forge import AUDIENCE, ISSUER, NOW, claims, forge, key


def verifier(alg: str, **settings: object) -> Verifier[None]:
    keys = KeySet([key(alg)])
    return Verifier(keys, issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW, **settings)  # type: ignore[call-overload,no-any-return]


class Watch:
    """Revocations that note who asks."""

    def __init__(self, fails_at: str = "", meet: int = 1) -> None:
        self.threads: set[int] = set()
        self.meeting = threading.Barrier(meet, timeout=30)
        self.waits: set[bool] = set()
        self.fails_at = fails_at

    def check(self, claims: Claims[object]) -> None:
        if (me := threading.get_ident()) not in self.threads:
            self.threads.add(me)
            self.meeting.wait()  # a thread that is done gives its number to the next: all must be at work at once
        self.waits.add(may_wait.get())
        if claims.jti == self.fails_at:
            raise RevocationsUnavailable("too old")


@pytest.mark.parametrize("alg", ["HS256", "ES256"])
def test_every_token_has_its_own_answer_in_its_own_place(alg: str) -> None:
    tokens: list[str | bytes] = [forge(claims(jti=str(number)), alg=alg) for number in range(150)]
    tokens[7] = forge(claims(exp=NOW - 1, iat=NOW - 60), alg=alg)
    tokens[80] = b"no token"
    tokens[149] = forge(alg=alg)[:-8] + "AAAAAAAA"
    answers = verify_many(verifier(alg), tokens, threads=4)
    assert len(answers) == 150
    refused = {7: ExpiredToken, 80: MalformedToken, 149: BadSignature}
    for number, answer in enumerate(answers):
        if number in refused:
            assert type(answer) is refused[number]
            assert answer.__traceback__ is None
        else:
            assert isinstance(answer, Claims)
            assert answer.jti == str(number)


def test_a_batch_of_any_size_is_answered_whole() -> None:
    for size in (0, 1, 33, 48):
        assert len(verify_many(verifier("Ed25519"), [forge(alg="Ed25519")] * size)) == size


@pytest.mark.parametrize(("alg", "expected"), [("ES256", 3), ("Ed25519", 3), ("RS256", 1), ("HS256", 1)])
def test_slow_signatures_are_shared_among_threads_and_quick_ones_are_not(alg: str, expected: int) -> None:
    watch = Watch(meet=expected)
    verify_many(verifier(alg, revocations=watch), [forge(alg=alg)] * 120, threads=3)
    assert len(watch.threads) == expected


def test_a_small_batch_starts_no_thread() -> None:
    watch = Watch()
    verify_many(verifier("ES256", revocations=watch), [forge(alg="ES256")] * 20, threads=8)
    assert watch.threads == {threading.get_ident()}


@pytest.mark.parametrize("alg", ["HS256", "ES256"])
def test_where_nothing_can_be_judged_no_answer_is_given_for_any_token(alg: str) -> None:
    tokens = [forge(claims(jti=str(number)), alg=alg) for number in range(100)]
    with pytest.raises(RevocationsUnavailable):
        verify_many(verifier(alg, revocations=Watch(fails_at="99")), tokens, threads=2)


def test_a_source_without_keys_is_no_answer_either() -> None:
    class Empty:
        def current(self) -> KeySet:
            raise KeysUnavailable("none")

        def missing(self, kid: str | None) -> KeySet:
            raise KeysUnavailable("none")

    with pytest.raises(KeysUnavailable):
        verify_many(Verifier(Empty(), issuer=ISSUER, audience=AUDIENCE), [forge()])


def test_the_threads_may_wait_only_where_the_caller_may() -> None:
    watch, before = Watch(), may_wait.set(False)
    try:
        verify_many(verifier("ES256", revocations=watch), [forge(alg="ES256")] * 100, threads=3)
    finally:
        may_wait.reset(before)
    assert watch.waits == {False}


def test_no_token_and_no_answer() -> None:
    empty: list[Claims[None] | InvalidToken] = []
    assert verify_many(verifier("ES256"), iter(())) == empty
