"""Verifiers: several issuers at one door, and none that can speak for another."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from admit import Claims, ConfigurationError, InvalidToken, Key, KeySet, Unchecked, Verifier, Verifiers
from admit.errors import (
    KeysUnavailable,
    MalformedToken,
    RevocationsUnavailable,
    RevokedToken,
    UnknownKey,
    WrongIssuer,
    WrongType,
)
from admit.tokens.batch import verify_many
from admit.web.bearer import Door, presented
from tests.helpers.forge import AUDIENCE, NOW, claims, forge

ONE, OTHER = "https://one.example", "https://other.example"
KEYS = {issuer: Key.generate("ES256", kid="same-kid-everywhere") for issuer in (ONE, OTHER)}


class Away:
    """A source of keys that is down."""

    def current(self) -> KeySet:
        raise KeysUnavailable("down")

    missing: Any = current


class Everything:
    """Revocations that cut off all."""

    def check(self, claims: Claims[Any], /) -> None:
        raise RevokedToken("cut off")


def token(issuer: str, signer: Key | None = None, **changes: Any) -> str:
    return forge(claims(iss=issuer, **changes), signer=signer or KEYS[issuer])


def verifier(issuer: Any, **settings: Any) -> Verifier[None]:
    keys = settings.pop("keys", None) or KeySet([KEYS[issuer].public()])
    settings = {"issuer": issuer, "audience": AUDIENCE, "clock": lambda: NOW} | settings
    return Verifier(keys, **settings)


def both(**settings: Any) -> Verifiers[None]:
    return Verifiers([verifier(ONE), verifier(OTHER, **settings)])


def test_each_issuers_tokens_are_accepted_under_its_own_key() -> None:
    judge = both()
    assert [judge.verify(token(issuer)).iss for issuer in (ONE, OTHER)] == [ONE, OTHER]
    assert judge.issuers == {ONE, OTHER}


@pytest.mark.parametrize("kid", ["same-kid-everywhere", None])
def test_a_key_of_one_issuer_never_verifies_a_token_that_names_another(kid: str | None) -> None:
    for victim, thief in ((ONE, OTHER), (OTHER, ONE)):
        stolen = forge(claims(iss=victim), signer=KEYS[thief], kid=kid)
        with pytest.raises(InvalidToken) as caught:
            both().verify(stolen)
        assert caught.value.code == "bad_signature"


def test_keys_of_different_kids_are_not_looked_up_in_each_others_sets() -> None:
    lone = Key.generate("ES256", kid="only-here")
    judge = both(keys=KeySet([lone.public()]))
    assert judge.verify(token(OTHER, lone)).iss == OTHER
    with pytest.raises(UnknownKey):
        judge.verify(token(ONE, lone))


@pytest.mark.parametrize("issuer", ["https://evil.example", ONE + "/", ONE.upper(), "", None, 5, [ONE], {"iss": ONE}])
def test_a_token_of_an_issuer_that_nobody_named_is_refused(issuer: Any) -> None:
    with pytest.raises(WrongIssuer, match="iss is missing" if issuer is None else re.escape(f"iss is {issuer!r}, exp")):
        both().verify(forge(claims() | {"iss": issuer}, signer=KEYS[ONE]))
    with pytest.raises(WrongIssuer, match="missing"):
        both().verify(forge(claims(iss=None), signer=KEYS[ONE]))


def test_each_issuer_keeps_its_own_audience_kind_and_revocations() -> None:
    judge = both(audience="invoices", revocations=Everything())
    assert judge.verify(token(ONE)).iss == ONE
    with pytest.raises(InvalidToken, match="expected 'invoices'"):
        judge.verify(token(OTHER))
    with pytest.raises(RevokedToken):
        judge.verify(token(OTHER, aud="invoices"))
    with pytest.raises(WrongType):
        judge.verify(forge(claims(iss=ONE), signer=KEYS[ONE], typ="JWT"))


def test_claims_are_judged_again_by_their_own_issuers_verifier() -> None:
    judge = both()
    theirs = judge.verify(token(OTHER))
    for claims_ in (judge.verify(token(ONE)), theirs):
        judge.recheck(claims_)
    with pytest.raises(RevokedToken):
        both(revocations=Everything()).recheck(theirs)
    with pytest.raises(WrongIssuer):
        Verifiers([verifier(ONE)]).recheck(theirs)


def test_the_token_goes_to_its_own_issuers_verifier_too() -> None:
    class Asked(Everything):
        def check(self, claims: Claims[Any], /) -> None:
            if asked:
                raise RevocationsUnavailable("too old")

        def ask(self, token: str, claims: Claims[Any], /) -> None:
            asked.append(token)

    asked, judge, theirs = list[str](), both(revocations=Asked()), token(OTHER)
    passed = judge.verify(theirs)
    asked.append("from now on")
    judge.recheck(passed, theirs)
    assert asked == ["from now on", theirs]


def test_an_issuer_that_is_down_takes_no_other_with_it() -> None:
    judge = both(keys=Away())
    assert judge.verify(token(ONE)).iss == ONE
    with pytest.raises(KeysUnavailable):
        judge.verify(token(OTHER))


def test_one_verifier_that_expects_two_issuers_is_not_two_that_are_isolated() -> None:
    judge = Verifiers([verifier([ONE, "https://alias.example"], keys=KeySet([KEYS[ONE].public()])), verifier(OTHER)])
    assert judge.verify(forge(claims(iss="https://alias.example"), signer=KEYS[ONE])).iss == "https://alias.example"
    with pytest.raises(InvalidToken):
        judge.verify(token(OTHER, KEYS[ONE]))


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "..", "x" * 20_000, b"\xff.\xff.\xff", "e30.e30.", "é.é.é"])
def test_what_is_no_token_is_refused_like_anywhere(text: str | bytes) -> None:
    with pytest.raises(InvalidToken):
        both().verify(text)


def test_an_issuer_named_twice_in_one_payload_is_malformed() -> None:
    payload = f'{{"iss":"{ONE}","iss":"{OTHER}"}}'.encode()
    with pytest.raises(MalformedToken):
        both().verify(forge(payload, signer=KEYS[ONE]))


@pytest.mark.parametrize(
    ("verifiers", "hint"),
    [
        ([], "empty"),
        ("https://one.example", "not str"),
        (None, "collection"),
        ([5], "not int"),
        ([verifier(ONE), verifier(ONE)], "two verifiers"),
        ([Verifier(KeySet([KEYS[ONE].public()]), issuer=Unchecked(), audience=AUDIENCE)], "name its issuer"),
    ],
)
def test_a_set_of_verifiers_that_would_leave_something_open_is_refused(verifiers: Any, hint: str) -> None:
    with pytest.raises(ConfigurationError, match=hint):
        Verifiers(verifiers)


def test_an_asynchronous_door_and_a_batch_take_several_issuers_as_they_take_one() -> None:
    judge = both(keys=Away())
    door = Door(judge)
    value = presented([(b"authorization", b"Bearer " + token(ONE).encode())])
    assert asyncio.run(door.admit(value)).iss == ONE
    assert door.admit_sync(value).iss == ONE
    with pytest.raises(KeysUnavailable):
        asyncio.run(door.admit(presented([(b"authorization", b"Bearer " + token(OTHER).encode())])))
    answers = verify_many(both(), [token(ONE), token(OTHER), token(ONE, KEYS[OTHER])])
    assert [isinstance(answer, Claims) for answer in answers] == [True, True, False]
    assert both().key_types == {"EC"}


def test_the_largest_token_of_any_issuer_is_read() -> None:
    big = token(OTHER, pad="x" * 20_000)
    assert both(max_token=64 * 1024).verify(big).iss == OTHER
    with pytest.raises(MalformedToken):
        both(max_token=64 * 1024).verify(token(ONE, pad="x" * 20_000))
