"""The life of keys against everybody who depends on it, over the real steps, tables, signers and verifiers.

Clocks of processes differ; processes step late, or not for months, and sign from a view of the keys as old as it may be;
verifiers hold a JWKS as old as it may be, fetched from a process whose view was; keys of every state are revoked; algorithms
come and go, in one process before the other. At every moment:

1. every token whose key is not revoked verifies until it expires, at every such verifier. Tokens of a key that an emergency
   made sign before its time verify where the verifier looks for a kid that it does not know, as it does;
2. no token of a revoked key does, at any such verifier that has heard the feed; and one that fetches its JWKS anew does not
   even know the key.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from admit import Key, Signer, Verifier
from admit.errors import InvalidRequest, KeysUnavailable, RevokedToken, UnknownKey
from admit.keyring.lifecycle import HOLDS_PRIVATE, State
from admit.keyring.wrapping import MasterKeys
from admit.service import keystore, migrations, revocation, ring, schema
from admit.service.keys import outlook
from admit.service.policy import Policy
from admit.service.session_policy import milliseconds
from admit.service.storage import Storage
from admit.tokens.revocation_set import RevocationSet

SKEW, RELOAD, MAX_AGE, LEEWAY, LIFE = 4, 10, 30, 5, 60  # seconds
POLICY = Policy(
    access_lifetime=timedelta(seconds=LIFE),
    key_lifetime=timedelta(seconds=1000),
    key_published=timedelta(seconds=MAX_AGE + RELOAD + SKEW),  # not a tick more than it must
    key_reload=timedelta(seconds=RELOAD),
    clock_skew=timedelta(seconds=SKEW),
    leeway=timedelta(seconds=LEEWAY),
)
PUBLISHED, LIFETIME = milliseconds(POLICY.key_published), milliseconds(POLICY.key_lifetime)
ISSUER = "https://auth.example"
MASTER = MasterKeys({1: bytes(32)})
PROCESSES = 3
WANTED = [("ES256",), ("Ed25519",), ("ES256", "Ed25519"), ("Ed25519", "ES384"), ("ES256", "Ed25519", "ES384")]
ALGORITHMS = ("ES256", "Ed25519", "ES384")
MOMENTS = [1, 999, 1000, RELOAD * 1000, MAX_AGE * 1000, LIFE * 1000, (LIFE + LEEWAY + SKEW + RELOAD) * 1000]
SPELLS = [PUBLISHED - 1, PUBLISHED, LIFETIME - PUBLISHED, LIFETIME, 5 * LIFETIME, 80 * LIFETIME]
POOL: dict[str, list[Key]] = {alg: [Key.generate(alg) for _ in range(150)] for alg in ALGORITHMS}
process = st.integers(0, PROCESSES - 1)


@dataclass(frozen=True, eq=False)
class Token:
    text: str
    kid: str
    until: int
    """Milliseconds of true time until which a verifier takes it, by the slowest clock and with the greatest leeway."""


class Lives(RuleBasedStateMachine):
    template: Path

    @initialize(
        skews=st.lists(
            st.one_of(st.sampled_from((0, SKEW * 1000)), st.integers(0, SKEW * 1000)),
            min_size=PROCESSES,
            max_size=PROCESSES,
        )
    )
    def begin(self, skews: list[int]) -> None:
        self.folder = Path(tempfile.mkdtemp())
        shutil.copy(self.template, self.folder / "auth.db")
        self.now = self.clock = 1_800_000_000_000
        self.storage = Storage(f"sqlite:///{self.folder}/auth.db", lambda: self.clock / 1000)
        self.skews, self.wanted = skews, [WANTED[2]] * PROCESSES
        self.used = dict.fromkeys(ALGORITHMS, 0)
        self.states: list[tuple[int, ring.Ring]] = []
        self.tokens: list[Token] = []
        self.revoked: dict[str, Key] = {}
        self.early: set[str] = set()
        self.verified: set[tuple[int, str]] = set()
        self.heard = RevocationSet()
        self.write(0, lambda tx: keystore.lay(tx, MASTER, self.wanted[0], POLICY, self.make))

    def make(self, alg: str) -> Key:
        self.used[alg] += 1
        return POOL[alg][self.used[alg] - 1]

    def write(self, who: int, change: Any) -> Any:
        """A transaction of one process, by its clock; then what is published and what signs is noted."""
        self.clock = self.now + self.skews[who]
        answer, _ = self.storage.write(change)
        read = self.storage.read(lambda tx: (ring.read(tx, MASTER, keystore.ACCESS), revocation.entries_after(tx, 0)))
        found, entries = read
        if not self.states or _kids(self.states[-1][1]) != _kids(found):
            self.states.append((self.now, found))
        self.heard.apply(entries)
        return answer

    def within(self, age: int) -> list[ring.Ring]:
        """What was in force at any moment of the last `age` milliseconds."""
        ends = [*(later for _, (later, _) in pairwise(self.states)), self.now + 1]
        return [found for (_, found), end in zip(self.states, ends, strict=True) if end > self.now - age]

    def holdable(self) -> list[ring.Ring]:
        """Every JWKS that a verifier may hold now."""
        return self.within((MAX_AGE + RELOAD) * 1000)

    @rule(by=st.one_of(st.sampled_from(MOMENTS), st.integers(1, LIFE * 1000)))
    def a_moment_passes(self, by: int) -> None:
        self.now += by

    @rule(by=st.sampled_from(SPELLS))
    def time_passes(self, by: int) -> None:
        self.now += by

    @rule(who=process)
    def a_process_takes_a_step(self, who: int) -> None:
        self.write(who, lambda tx: keystore.step(tx, MASTER, self.wanted[who], POLICY, self.make))

    @rule(who=process)
    def a_process_takes_every_step(self, who: int) -> None:
        while self.write(who, lambda tx: keystore.step(tx, MASTER, self.wanted[who], POLICY, self.make)):
            self.tokens_are_signed(who)
        found = self.storage.read(lambda tx: keystore.all_times(tx, keystore.ACCESS))
        for alg in self.wanted[who]:
            states = [key.state for key in found[alg]]
            assert State.PENDING in states
            waits = max(key.created_at for key in found[alg] if key.state is State.PENDING) + PUBLISHED > self.clock
            assert State.ACTIVE in states or waits

    @rule(who=process)
    def tokens_are_signed(self, who: int) -> None:
        """With whatever a process may believe to be the keys, and every algorithm that may sign."""
        moment = (self.now + self.skews[who]) / 1000
        for found in self.within(RELOAD * 1000):
            for key in found.active.values():
                signer = Signer(key, issuer=ISSUER, lifetime=POLICY.access_lifetime, clock=lambda: moment)
                text = signer.sign(sub="alice", client_id="web", audience="orders")
                self.tokens.append(Token(text, key.kid, (int(moment) + LIFE + LEEWAY) * 1000))

    @rule(who=process, alg=st.sampled_from(ALGORITHMS))
    def a_key_is_rotated_by_hand(self, who: int, alg: str) -> None:
        with contextlib.suppress(KeysUnavailable):
            self.write(who, lambda tx: keystore.rotate(tx, MASTER, alg, POLICY, self.make, force=False))

    @rule(who=process, alg=st.sampled_from(ALGORITHMS))
    def a_key_is_rotated_by_hand_as_soon_as_it_may(self, who: int, alg: str) -> None:
        times = self.storage.read(lambda tx: keystore.all_times(tx, keystore.ACCESS)).get(alg, [])
        waiting = [key.created_at for key in times if key.state is State.PENDING]
        self.now = max(self.now, *waiting, *(at + PUBLISHED - self.skews[who] for at in waiting), 0)
        self.a_key_is_rotated_by_hand(who, alg)
        self.tokens_are_signed(who)

    @rule(who=process)
    def what_is_due_next_is_done_to_the_tick(self, who: int) -> None:
        def ahead(tx: Any) -> list[int]:
            waits, known = keystore.timing(tx, POLICY), keystore.all_times(tx, keystore.ACCESS)
            return [at for times in known.values() for _, at in outlook(times, waits).values()]

        due = [at - self.skews[who] for at in self.storage.read(ahead)]
        self.now = min((at for at in due if at >= self.now), default=self.now)
        self.a_process_takes_every_step(who)

    @rule()
    def processes_sign_from_a_view_that_is_as_old_as_it_may_be(self) -> None:
        self.now = max(self.now, self.states[-1][0] + RELOAD * 1000 - 1)
        for who in range(PROCESSES):
            self.tokens_are_signed(who)

    @rule(who=process, alg=st.sampled_from(ALGORITHMS))
    def a_key_is_taken_in(self, who: int, alg: str) -> None:
        with contextlib.suppress(InvalidRequest):
            self.write(who, lambda tx: keystore.take_in(tx, MASTER, self.make(alg), self.wanted[who]))

    @rule(who=process, wanted=st.sampled_from(WANTED))
    def a_process_is_restarted_with_other_algorithms(self, who: int, wanted: tuple[str, ...]) -> None:
        self.wanted[who] = wanted
        self.write(who, lambda tx: keystore.lay(tx, MASTER, wanted, POLICY, self.make))

    @rule(who=process, alg=st.sampled_from(ALGORITHMS))
    def an_algorithm_is_given_up_by_hand(self, who: int, alg: str) -> None:
        with contextlib.suppress(InvalidRequest):
            self.write(who, lambda tx: keystore.retire(tx, MASTER, alg, self.make))

    @rule(who=process, state=st.sampled_from(State), pick=st.integers(0, 10))
    def a_key_is_revoked(self, who: int, state: State, pick: int) -> None:
        query = select(schema.keys.c.kid).where(schema.keys.c.state == state).order_by(schema.keys.c.kid)
        kids = self.storage.read(lambda tx: tx.execute(query).scalars().all())
        if not kids:
            return
        kid = kids[pick % len(kids)]
        before = set(self.states[-1][1].active)
        held = [_kids(found)[0] for found in self.holdable()]
        times = self.storage.read(lambda tx: keystore.all_times(tx, keystore.ACCESS))
        ready = {
            alg
            for alg, keys in times.items()
            if any(key.state is State.PENDING and key.kid != kid and all(key.kid in k for k in held) for key in keys)
        }
        self.write(who, lambda tx: keystore.revoke(tx, MASTER, kid, POLICY, self.make))
        key = next((key for keys in POOL.values() for key in keys if key.kid == kid), None)
        if key is not None:
            self.revoked[kid] = key
        active = self.states[-1][1].active
        assert set(active) == before  # no algorithm is left without a key
        young = {key.kid: alg for alg, key in active.items() if not all(key.kid in kids for kids in held)}
        assert ready.isdisjoint(alg for kid, alg in young.items() if kid not in self.early)
        self.early |= young.keys()

    @invariant()
    def every_honest_token_verifies_at_every_verifier(self) -> None:
        self.tokens = [token for token in self.tokens if self.now < token.until and token.kid not in self.revoked]
        newest, holdable = self.states[-1][1], self.holdable()
        for token in self.tokens:
            for found in holdable:
                looked = found if token.kid not in self.early or token.kid in found.published else newest
                if (id(looked), token.text) not in self.verified:
                    self.verifier(looked).verify(token.text)
                    self.verified.add((id(looked), token.text))

    @invariant()
    def no_token_of_a_revoked_key_does(self) -> None:
        published = self.states[-1][1].published
        for kid, stolen in self.revoked.items():
            assert kid not in published
            holding = [f for f in self.holdable() if kid in f.published and (id(f), kid) not in self.verified]
            if not holding:
                continue
            thief = Signer(stolen, issuer=ISSUER, clock=lambda: self.now / 1000)
            token = thief.sign(sub="alice", client_id="web", audience="orders")
            for found in holding:
                with pytest.raises(RevokedToken):
                    self.verifier(found).verify(token)
                self.verified.add((id(found), kid))
            with pytest.raises(UnknownKey):
                self.verifier(self.states[-1][1]).verify(token)

    @invariant()
    def one_key_signs_for_an_algorithm_and_only_those_that_may_have_a_private_half(self) -> None:
        columns = (schema.keys.c.use, schema.keys.c.alg, schema.keys.c.state, schema.keys.c.private)
        rows = self.storage.read(lambda tx: tx.execute(select(*columns)).all())
        signing = [(row.use, row.alg) for row in rows if row.state == State.ACTIVE]
        assert len(signing) == len(set(signing))
        assert {use for use, _ in signing} == {keystore.ACCESS, keystore.FEED}
        assert all((row.private is not None) == (State(row.state) in HOLDS_PRIVATE) for row in rows)

    def verifier(self, found: ring.Ring) -> Verifier[None]:
        """One that has heard the feed, and whose clock is the slowest."""
        return Verifier(
            found.published,
            issuer=ISSUER,
            audience="orders",
            revocations=self.heard,
            leeway=POLICY.leeway,
            clock=lambda: self.now / 1000,
        )

    def teardown(self) -> None:
        if hasattr(self, "storage"):
            self.storage.close()
            shutil.rmtree(self.folder)


def _kids(found: ring.Ring) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(key.kid for key in found.published), frozenset(key.kid for key in found.active.values())


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[Lives]]:
    path = tmp_path_factory.mktemp("lives") / "auth.db"
    storage = Storage(f"sqlite:///{path}")
    migrations.prepare(storage)
    storage.close()
    Lives.template = path
    yield Lives
    del Lives.template


QUIET = settings(
    phases=[Phase.generate],  # making a failure smaller takes minutes: for that, take this line away
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


def test_at_every_moment_honest_tokens_verify_and_those_of_revoked_keys_do_not(lives: type[Lives]) -> None:
    run_state_machine_as_test(lives, settings=settings(QUIET, max_examples=8, stateful_step_count=40))


@pytest.mark.soak
def test_the_same_for_a_thousand_histories(lives: type[Lives]) -> None:
    run_state_machine_as_test(
        lives, settings=settings(QUIET, derandomize=False, max_examples=1000, stateful_step_count=60)
    )
