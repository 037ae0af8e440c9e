"""Sessions against a model: whatever happens in whatever order, with a clock that jumps, both judge alike."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from admit import peek
from admit.errors import InvalidGrant, InvalidToken
from admit.service.facade import TokenService
from admit.service.policy import Policy
from admit.service.results import TokenPair
from admit.service.session_policy import milliseconds
from tests.service.conftest import MASTER, MovableClock

POLICY = Policy(sessions_per_user=4)
GRACE, RETRY, SKEW, IDLE, ABSOLUTE, ACCESS = (
    milliseconds(value)
    for value in (
        *(POLICY.grace, POLICY.retry_window, POLICY.clock_skew),
        *(POLICY.idle, POLICY.absolute, POLICY.access_lifetime),
    )
)
NAMES = ("alice", "bob")
JUMPS = [0, 1, 1000, GRACE - 1, GRACE, RETRY - 1, RETRY, IDLE - 1, IDLE, ABSOLUTE]
BACK = 50_000  # milliseconds that the clock goes back in all: less than the leeway that revocations outlive tokens by
DAY = 24 * 3600 * 1000


class Directory:
    """Users of an application's own: every name is its own id, and its password."""

    def find(self, name: str) -> str | None:
        return name if name in NAMES else None

    def check(self, sub: str | None, password: str) -> bool:
        return sub == password


@dataclass(eq=False)
class Model:
    """A session as the documentation tells of it. Times are milliseconds."""

    id: str
    user: str
    born: int
    tokens: list[str]
    access: str
    issued: int
    used: int
    rotated: int | None = None
    seen: bool = False
    sealed: bool = False
    over: bool = False

    @property
    def ends(self) -> int:
        return min(self.used + IDLE, self.born + ABSOLUTE)

    def live(self, now: int) -> bool:
        return not self.over and now < self.ends


@dataclass(eq=False)
class Held:
    """A refresh token somewhere: in a browser, in a log, in a thief's hands."""

    session: Model
    generation: int


class Sessions(RuleBasedStateMachine):
    """`template` is a database with tables and keys."""

    template: Path
    held: Any = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="admit-machine-"))
        shutil.copy(self.template, self.folder / "auth.db")
        self.clock = MovableClock()
        self.back = 0
        self.sessions: list[Model] = []
        self.service = opened(self.folder, self.clock)

    def teardown(self) -> None:
        self.service.close()
        shutil.rmtree(self.folder)

    @property
    def now(self) -> int:
        return self.clock.milliseconds

    def live(self, user: str) -> set[Model]:
        return {each for each in self.sessions if each.user == user and each.live(self.now)}

    @initialize(target=held, user=st.sampled_from(NAMES))
    def first_login(self, user: str) -> Held:
        return self.logged_in(user)

    @rule(target=held, user=st.sampled_from(NAMES))
    def login(self, user: str) -> Held:
        return self.logged_in(user)

    def logged_in(self, user: str) -> Held:
        pair = self.service.login(user, user)
        model = Model(pair.session_id, user, self.now, [pair.refresh_token], pair.access_token, self.now, self.now)
        self.sessions.append(model)
        left = {each.id for each in self.service.sessions(user)}
        assert model.id in left
        for other in self.live(user):
            if other.id not in left:  # beyond the cap the oldest end; of two of one millisecond, either
                assert len(left) == POLICY.sessions_per_user
                assert all(other.born <= each.born for each in self.live(user) - {model} if each.id in left)
                other.over = True
        return Held(model, 0)

    @rule(target=held, token=held, lost=st.booleans())
    def refresh(self, token: Held, lost: bool) -> Held:
        """Present a token that was ever given out. lost: the answer never arrives."""
        model, now = token.session, self.now
        newest = len(model.tokens) - 1
        age = ABSOLUTE if model.rotated is None else now - model.rotated
        pair = self.refreshed(model.tokens[token.generation])
        if not model.live(now):
            assert pair is None
            return token
        current, previous = token.generation == newest, token.generation == newest - 1 and model.sealed
        in_grace = -GRACE <= age < GRACE
        if not (current or (previous and (in_grace or (-SKEW <= age < RETRY and not model.seen)))):
            assert pair is None
            model.over = True
            return token
        rotates = current and not in_grace
        ends = min(now + IDLE, model.born + ABSOLUTE) if rotates else model.ends
        if ends // 1000 - now // 1000 < 2:  # no access token fits in: nothing changes
            assert pair is None
            return token
        assert pair is not None
        assert pair.session_id == model.id
        model.access, model.issued = pair.access_token, now
        if rotates:
            assert pair.refresh_token not in model.tokens
            model.tokens.append(pair.refresh_token)
            model.rotated, model.used, model.seen, model.sealed = now, now, False, True
        else:
            assert pair.refresh_token == model.tokens[newest]
            model.seen |= current
        return token if lost else Held(model, len(model.tokens) - 1)

    def refreshed(self, token: str) -> TokenPair | None:
        try:
            return self.service.refresh(token)
        except InvalidGrant:
            return None

    @rule(token=held)
    def logout(self, token: Held) -> None:
        self.service.logout(token.session.tokens[token.generation])
        token.session.over = True

    @rule(user=st.sampled_from(NAMES))
    def logout_everywhere(self, user: str) -> None:
        self.service.logout_everywhere(user)
        for each in self.sessions:
            each.over |= each.user == user

    @rule(user=st.sampled_from(NAMES), token=held)
    def logout_of_all_but_one(self, user: str, token: Held) -> None:
        others = self.live(user) - {token.session}
        assert self.service.end_other_sessions(user, token.session.id) == len(others)
        for each in others:
            each.over = True

    @rule(jump=st.sampled_from(JUMPS))
    def the_clock_goes_on(self, jump: int) -> None:
        self.clock.forward(jump)

    @rule(jump=st.sampled_from([1, GRACE]))
    def the_clock_goes_back(self, jump: int) -> None:
        if self.back + jump <= BACK:
            self.back += jump
            self.clock.forward(-jump)

    @rule()
    def cleanup(self) -> None:
        self.service.cleanup()
        for each in self.sessions:
            each.sealed &= each.rotated is not None and self.now - each.rotated < RETRY
            each.over |= each.ends < self.now - DAY

    @rule()
    def restart(self) -> None:
        self.service.close()
        self.service = opened(self.folder, self.clock)

    @invariant()
    def the_same_sessions_live(self) -> None:
        for user in NAMES:
            assert {each.id for each in self.service.sessions(user)} == {each.id for each in self.live(user)}

    @invariant()
    def access_tokens_pass_while_their_session_lives_and_never_after(self) -> None:
        verifier = self.service.verifier()
        for each in self.sessions:
            if each.over:
                with pytest.raises(InvalidToken):
                    verifier.verify(each.access)
            elif each.issued <= self.now < min(each.issued // 1000 * 1000 + ACCESS, each.ends // 1000 * 1000):
                assert verifier.verify(each.access).sid == each.id == peek(each.access).claims["sid"]


def opened(folder: Path, clock: MovableClock) -> TokenService:
    return TokenService(
        f"sqlite:///{folder}/auth.db",
        issuer="https://auth.example",
        audience="orders",
        master_key=MASTER,
        users=Directory(),
        policy=POLICY,
        clock=clock,
    )


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[Sessions]]:
    folder = tmp_path_factory.mktemp("machine")
    opened(folder, MovableClock()).close()
    Sessions.template = folder / "auth.db"
    yield Sessions
    del Sessions.template


QUIET = settings(derandomize=True, suppress_health_check=list(HealthCheck), print_blob=False)


def test_whatever_happens_sessions_are_what_the_model_says(machine: type[Sessions]) -> None:
    run_state_machine_as_test(machine, settings=settings(QUIET, max_examples=8, stateful_step_count=30))


@pytest.mark.soak
def test_the_same_for_a_thousand_histories(machine: type[Sessions]) -> None:
    run_state_machine_as_test(
        machine, settings=settings(QUIET, derandomize=False, max_examples=1000, stateful_step_count=60)
    )
