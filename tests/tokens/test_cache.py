"""The cache of verified tokens: a hit never passes what a fresh verification would refuse."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple, NewType, TypedDict

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admit import PLAIN, Claims, ConfigurationError, Key, KeySet, Verifier
from admit.errors import AdmitError, ExpiredToken, ImmatureToken, InvalidToken, RevokedToken
from tests.helpers.forge import AUDIENCE, ISSUER, NOW, claims, forge, key


class World:
    """What a verifier depends on and a test changes: the time, the keys, what was cut off."""

    def __init__(self) -> None:
        self.now: float = NOW
        self.keys = KeySet([key("HS256")])
        self.revoked: set[str | None] = set()

    def current(self) -> KeySet:
        return self.keys

    def missing(self, kid: str | None) -> KeySet:
        return self.keys

    def check(self, claims: Claims[Any]) -> None:
        if claims.jti in self.revoked:
            raise RevokedToken("cut off")

    def verifier(self, cache: int, **settings: Any) -> Verifier[Any]:
        expected: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "revocations": self} | settings
        return Verifier(self, clock=lambda: self.now, cache=cache, **expected)


def counted(subject: Verifier[Any]) -> tuple[int, int]:
    assert subject.cache is not None
    return subject.cache.hits, len(subject.cache)


def test_a_second_look_at_a_token_is_a_hit_and_gives_the_same() -> None:
    subject = World().verifier(10)
    first = subject.verify(forge())
    second = subject.verify("".join(list(forge())))
    assert first == second
    assert counted(subject) == (1, 1)
    assert subject.cache is not None
    assert subject.cache.misses == 1


def test_without_being_asked_for_there_is_no_cache() -> None:
    subject = World().verifier(0)
    subject.verify(forge())
    assert subject.cache is None


def test_it_is_bounded_and_forgets_the_least_recently_used() -> None:
    world = World()
    subject = world.verifier(3)
    tokens = [forge(claims(jti=f"j{number}")) for number in range(5)]
    for token in (*tokens[:3], tokens[0], *tokens[3:]):
        subject.verify(token)
    assert subject.cache is not None
    assert (len(subject.cache), subject.cache.evictions) == (3, 2)
    before = subject.cache.hits
    subject.verify(tokens[0])
    assert subject.cache.hits == before + 1
    subject.verify(tokens[1])
    assert subject.cache.hits == before + 1


def test_a_refused_token_is_never_remembered() -> None:
    subject = World().verifier(10)
    for bad in (forge(signer=key("HS256", 1)), forge(claims(exp=NOW, iat=NOW - 1)), forge(claims(aud="billing"))):
        for _ in range(2):
            with pytest.raises(InvalidToken):
                subject.verify(bad)
    assert counted(subject) == (0, 0)


# fast-jwt CVE-2026-35039, and its 6.3.2, which returns a token after its exp where it has no iat
@pytest.mark.parametrize("iat", [NOW, None])
@pytest.mark.parametrize("leeway", [0, 30])
def test_an_entry_never_outlives_its_token(iat: int | None, leeway: int) -> None:
    world = World()
    subject = world.verifier(10, kind=PLAIN, leeway=timedelta(seconds=leeway))
    token = forge(claims(iat=iat), typ="JWT")
    subject.verify(token)
    world.now = NOW + 600 + leeway - 0.001
    subject.verify(token)
    assert counted(subject)[0] == 1
    world.now = NOW + 600 + leeway
    with pytest.raises(ExpiredToken):
        subject.verify(token)
    assert counted(subject) == (1, 0), "what has expired is forgotten, and no hit"
    assert subject.cache is not None
    assert subject.cache.misses == 2


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_clock_set_back_before_the_tokens_start_refuses_it_again(name: str) -> None:
    world = World()
    subject = world.verifier(10)
    token = forge(claims(**{name: NOW}))
    subject.verify(token)
    world.now = NOW - 10.5
    with pytest.raises(ImmatureToken):
        subject.verify(token)


@given(
    iat=st.none() | st.integers(-50, 50),
    nbf=st.none() | st.integers(-50, 50),
    exp=st.integers(-20, 200),
    moments=st.lists(st.integers(-300, 300) | st.floats(-300, 300), min_size=1, max_size=8),
)
@settings(max_examples=200)
def test_with_or_without_a_cache_the_answers_are_the_same_wherever_the_clock_jumps(
    iat: int | None, nbf: int | None, exp: int, moments: list[float]
) -> None:
    world = World()
    both = [world.verifier(size, kind=PLAIN, max_lifetime=timedelta(seconds=150)) for size in (0, 10)]
    times = {name: None if value is None else NOW + value for name, value in (("iat", iat), ("nbf", nbf), ("exp", exp))}
    token = forge(claims(**times), typ="JWT")

    def answer(subject: Verifier[Any]) -> object:
        try:
            return subject.verify(token)
        except AdmitError as error:
            return type(error)

    for moment in moments:
        world.now = NOW + moment
        assert answer(both[0]) == answer(both[1])


def test_a_revocation_is_seen_by_the_next_call() -> None:
    world = World()
    subject = world.verifier(10)
    token = forge()
    subject.verify(token)
    world.revoked.add("j1")
    with pytest.raises(RevokedToken):
        subject.verify(token)


def test_a_removed_key_empties_what_it_signed_and_its_return_does_not_bring_it_back() -> None:
    world = World()
    subject = world.verifier(10)
    token, whole = forge(), world.keys
    subject.verify(token)
    world.keys = KeySet([Key.generate("HS256", kid="other")])
    with pytest.raises(InvalidToken):
        subject.verify(token)
    world.keys = whole
    subject.verify(token)
    assert counted(subject) == (0, 1)


def test_it_is_found_by_the_whole_token_only() -> None:
    subject = World().verifier(10)
    token = forge()
    subject.verify(token)
    for changed in (
        token[:-1] + ("A" if token[-1] != "A" else "E"),
        token + "=",
        token + " ",
        token.swapcase(),
        token[:-1],
    ):
        with pytest.raises(InvalidToken):
            subject.verify(changed)


def test_it_belongs_to_one_verifier() -> None:
    world = World()
    world.verifier(10).verify(forge())
    with pytest.raises(InvalidToken):
        world.verifier(10, audience="billing").verify(forge())


@dataclasses.dataclass(frozen=True)
class Frozen:
    tenant: str
    roles: frozenset[str] = frozenset()


class FrozenStruct(msgspec.Struct, frozen=True):
    tenant: str = ""
    inner: Frozen | None = None
    since: datetime | None = None
    pair: tuple[int, ...] = ()


class Color(enum.Enum):
    RED = "red"


class Literals(msgspec.Struct, frozen=True):
    color: Color = Color.RED
    mode: Literal["a", "b"] = "a"
    count: Annotated[int, msgspec.Meta(ge=0)] = 0


@dataclasses.dataclass
class Thawed:
    tenant: str


class ThawedStruct(msgspec.Struct):
    tenant: str


class Dictionary(TypedDict):
    tenant: str


class Pair(NamedTuple):
    tenant: list[str]


@dataclasses.dataclass(frozen=True)
class WithList:
    roles: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class WithDict:
    roles: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class WithThawed:
    inner: Thawed | None = None


class WithSet(msgspec.Struct, frozen=True):
    roles: tuple[set[str], ...] = ()


@dataclasses.dataclass(frozen=True)
class WithAnything:
    inner: Any = None
    other: object = None


@dataclasses.dataclass(frozen=True)
class WithMapping:
    inner: Mapping[str, str] = dataclasses.field(default_factory=dict)


class Tree(msgspec.Struct, frozen=True):
    left: Tree | None = None
    leaves: tuple[Tree, ...] = ()


Name = NewType("Name", str)


class Renamed(msgspec.Struct, frozen=True):
    name: Name | None = None


@pytest.mark.parametrize("extra", [Frozen, FrozenStruct, Literals, Tree, Annotated[Frozen, "as it is"]])
def test_a_frozen_type_may_be_cached(extra: Any) -> None:
    subject = World().verifier(10, extra=extra)
    token = forge(claims(tenant="acme"))
    assert subject.verify(token).extra is subject.verify(token).extra


@pytest.mark.parametrize(
    "extra",
    [
        Thawed,
        ThawedStruct,
        Dictionary,
        Pair,
        WithList,
        WithDict,
        WithThawed,
        WithSet,
        WithAnything,
        WithMapping,
        Renamed,
        dict,
        list,
        bytearray,
        dict[str, str],
        Any,
        object,
        msgspec.Raw,
    ],
    ids=lambda extra: getattr(extra, "__name__", "other"),
)
def test_a_type_that_can_be_changed_is_not_cached(extra: Any) -> None:
    with pytest.raises(ConfigurationError):
        World().verifier(10, extra=extra)
    World().verifier(0, extra=extra)


def test_what_one_caller_does_to_claims_is_not_what_the_next_one_gets() -> None:
    subject = World().verifier(10, extra=Frozen)
    token = forge(claims(tenant="acme", roles=["a"], deep={"list": [1]}))
    mine = subject.verify(token)
    mine.raw["sub"] = "mallory"
    mine.raw["deep"]["list"].append(2)
    for name in ("registered", "extra", "kid", "payload", "sub", "raw", "scopes", "exp"):
        with pytest.raises(AttributeError):
            setattr(mine, name, None)
    with pytest.raises(AttributeError):
        setattr(mine.registered, "sub", "mallory")  # noqa: B010 - mypy knows it is read-only
    with pytest.raises(dataclasses.FrozenInstanceError):
        mine.extra.tenant = "evil"
    theirs = subject.verify(token)
    assert (theirs.sub, theirs.extra.tenant, theirs.raw["deep"]) == ("alice", "acme", {"list": [1]})
    assert theirs.raw is not theirs.raw
