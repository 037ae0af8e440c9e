"""Token Status Lists as bytes and as tokens: the draft's own examples, and everything that is refused."""

from __future__ import annotations

import json
import random
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admit import Key, KeySet, Verifier, peek
from admit.errors import (
    BadSignature,
    ExpiredToken,
    ImmatureToken,
    InvalidClaim,
    InvalidToken,
    MalformedToken,
    UnknownKey,
    WrongIssuer,
    WrongType,
)
from admit.jose import jws
from admit.jose.encoding import b64url_encode, json_bytes
from admit.tokens.status_list import BITS, Reference, StatusList, StatusListToken, token_limit

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "status_list.json").read_text())["lists"]
NOW, URI, ISSUER = 1_800_000_000, "https://auth.example/status-lists/0", "https://auth.example"
KEY = Key.generate("ES256")
LIST = StatusList.of({1: 1}, 64)
GOOD: dict[str, Any] = {"sub": URI, "iat": NOW, "exp": NOW + 60, "ttl": 30, "status_list": LIST.encode()}
PUBLISHED = (  # draft 8.2; its key is not published
    "eyJhbGciOiJFUzI1NiIsImtpZCI6IjEyIiwidHlwIjoic3RhdHVzbGlzdCtqd3QifQ.eyJleHAiOjIyOTE3MjAxNzAsImlhdCI6MTY4NjkyMDE3MCwi"
    "aXNzIjoiaHR0cHM6Ly9leGFtcGxlLmNvbSIsInN0YXR1c19saXN0Ijp7ImJpdHMiOjEsImxzdCI6ImVOcmJ1UmdBQWhjQlhRIn0sInN1YiI6Imh0dHBz"
    "Oi8vZXhhbXBsZS5jb20vc3RhdHVzbGlzdHMvMSIsInR0bCI6NDMyMDB9.2lKUUNG503R9htu4aHAYi7vjmr3sgApbfoDvPrl65N3URUO1EYqqQl45Jfzd"
    "-Av4QzlKa3oVALpLwOEUOq-U_g"
)


def packed(data: bytes) -> str:
    return b64url_encode(zlib.compress(data)).decode()


def read(claims: dict[str, Any], *, key: Key = KEY, typ: str | None = "statuslist+jwt", **more: Any) -> StatusListToken:
    token = jws.sign(key, json_bytes(claims), typ=typ).encode()
    expected = {"uri": URI, "issuer": ISSUER, "now": NOW, **more}
    return StatusListToken.read(token, KeySet([KEY.public()]), **expected)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['bits']} bits, {vector['size']}")
def test_the_drafts_lists_say_what_it_says(vector: dict[str, Any]) -> None:
    statuses = {int(place): status for place, status in vector["statuses"].items()}
    found = StatusList.decode({"bits": vector["bits"], "lst": vector["lst"]})
    assert len(found) == vector["size"]
    assert {place for place in statuses if found.status(place) != statuses[place]} == set()
    assert StatusList.of(statuses, vector["size"], vector["bits"]) == found  # and all others are 0


def test_the_drafts_token_holds_its_first_list() -> None:
    claims = peek(PUBLISHED).claims
    assert peek(PUBLISHED).header["typ"] == "statuslist+jwt"
    assert StatusList.decode(claims["status_list"]) == StatusList.decode({"bits": 1, "lst": VECTORS[0]["lst"]})
    again = json_bytes({**claims, "iss": ISSUER})
    token = jws.sign(KEY, again, typ="statuslist+jwt").encode()
    read_ = StatusListToken.read(token, KeySet([KEY]), uri="https://example.com/statuslists/1", issuer=ISSUER, now=NOW)
    assert (read_.iat, read_.exp, read_.ttl) == (1686920170, 2291720170, 43200)


@given(bits=st.sampled_from(BITS), data=st.data())
def test_what_is_packed_is_read_again(bits: int, data: st.DataObject) -> None:
    size = 8 * data.draw(st.integers(1, 40))
    statuses = data.draw(st.dictionaries(st.integers(0, size - 1), st.integers(0, (1 << bits) - 1)))
    found = StatusList.decode(StatusList.of(statuses, size, bits).encode())
    assert [found.status(place) for place in range(size)] == [statuses.get(place, 0) for place in range(size)]


@pytest.mark.parametrize(
    ("statuses", "size", "bits"),
    [({64: 1}, 64, 1), ({-1: 1}, 64, 1), ({0: 2}, 64, 1), ({}, 0, 1), ({}, 9, 1), ({}, 8, 3)],
)
def test_what_does_not_fit_is_not_packed(statuses: dict[int, int], size: int, bits: int) -> None:
    with pytest.raises(InvalidClaim):
        StatusList.of(statuses, size, bits)


@pytest.mark.parametrize("place", [-1, 64, 1 << 40])
def test_a_place_outside_the_list_has_no_status(place: int) -> None:
    with pytest.raises(InvalidClaim):
        LIST.status(place)


@pytest.mark.parametrize(
    "member",
    [
        None,
        [],
        {},
        {"bits": 1},
        {"lst": packed(b"\0")},
        {"bits": True, "lst": packed(b"\0")},
        {"bits": "1", "lst": packed(b"\0")},
        {"bits": 3, "lst": packed(b"\0")},
        {"bits": 0, "lst": packed(b"\0")},
        {"bits": 1, "lst": 7},
        {"bits": 1, "lst": "é"},
        {"bits": 1, "lst": packed(b"\0") + "="},
        {"bits": 1, "lst": ""},
        {"bits": 1, "lst": b64url_encode(b"\0" * 8).decode()},
        {"bits": 1, "lst": packed(b"\0" * 100)[:-8]},
        {"bits": 1, "lst": b64url_encode(zlib.compress(b"\0") + b"more").decode()},
    ],
)
def test_a_list_that_cannot_be_is_refused(member: object) -> None:
    with pytest.raises((InvalidClaim, MalformedToken)):
        StatusList.decode(member)


def test_inflating_stops_at_the_limit() -> None:
    assert len(StatusList.decode({"bits": 1, "lst": packed(bytes(1000))}, limit=1000)) == 8000
    with pytest.raises(MalformedToken, match="more than 1000 bytes"):
        StatusList.decode({"bits": 1, "lst": packed(bytes(1001))}, limit=1000)
    bomb = packed(bytes(50_000_000))
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(MalformedToken, match="inflates"):
            StatusList.decode({"bits": 1, "lst": bomb})
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_signed_list_is_read_back() -> None:
    token = StatusListToken(URI, NOW, LIST, NOW + 60, 30, KEY.public())
    assert (
        StatusListToken.read(token.sign(KEY, ISSUER).encode(), KeySet([KEY.public()]), uri=URI, issuer=ISSUER, now=NOW)
        == token
    )
    assert peek(token.sign(KEY, ISSUER)).claims.keys() == {"iss", "sub", "iat", "exp", "ttl", "status_list"}


def test_a_list_that_does_not_shrink_is_read_within_its_limit() -> None:
    noise = random.Random(7).randbytes(40_000)
    status_list = StatusList(8, noise).encode()
    assert read({**GOOD, "status_list": status_list}, limit=40_000).statuses.data == noise
    with pytest.raises(MalformedToken, match="inflates to more than 39999 bytes"):
        read({**GOOD, "status_list": status_list}, limit=39_999)


def test_a_list_has_one_bit_a_token_unless_more_are_asked_for_and_one_byte_at_least() -> None:
    assert StatusList.of({1: 1}, 8) == StatusList(1, b"\2")
    assert StatusList.of({0: 200}, 1, 8).status(0) == 200


def test_times_are_judged_to_the_second_and_a_refusal_says_by_how_much() -> None:
    assert read({**GOOD, "iat": NOW + 60}).iat == NOW + 60
    with pytest.raises(ImmatureToken, match="signed 61 s in the future"):
        read({**GOOD, "iat": NOW + 61})
    assert read({**GOOD, "nbf": NOW + 60}).iat == GOOD["iat"]
    with pytest.raises(ImmatureToken, match="valid in 61 s"):
        read({**GOOD, "nbf": NOW + 61})
    assert read({**GOOD, "exp": NOW + 1}).exp == NOW + 1
    with pytest.raises(ExpiredToken, match="expired 5 s ago"):
        read({**GOOD, "exp": NOW - 5})


def test_what_the_draft_leaves_open_may_be_missing() -> None:
    bare = read({name: GOOD[name] for name in ("sub", "iat", "status_list")})
    assert (bare.exp, bare.ttl) == (None, None)
    assert read({**GOOD, "iss": ISSUER, "more": [1]}).statuses.status(1) == 1


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"sub": URI + "/"}, InvalidClaim),
        ({"sub": None}, InvalidClaim),
        ({"iss": "https://other.example"}, WrongIssuer),
        ({"iat": NOW + 61}, ImmatureToken),
        ({"iat": "1800000000"}, InvalidClaim),
        ({"iat": True}, InvalidClaim),
        ({"nbf": NOW + 61}, ImmatureToken),
        ({"nbf": "1800000000"}, InvalidClaim),
        ({"exp": NOW}, ExpiredToken),
        ({"exp": 0}, ExpiredToken),
        ({"exp": "never"}, InvalidClaim),
        ({"ttl": 0}, InvalidClaim),
        ({"ttl": -1}, InvalidClaim),
        ({"ttl": "30"}, InvalidClaim),
        ({"status_list": []}, InvalidClaim),
        ({"status_list": {"bits": 1}}, InvalidClaim),
    ],
)
def test_a_token_that_breaks_one_rule_is_refused(change: dict[str, Any], error: type[InvalidToken]) -> None:
    with pytest.raises(error):
        read({**GOOD, **change})


@pytest.mark.parametrize("name", ["sub", "iat", "status_list"])
def test_a_claim_that_is_required_is(name: str) -> None:
    with pytest.raises(InvalidClaim):
        read({key: value for key, value in GOOD.items() if key != name})


def test_only_the_signature_of_a_known_key_and_the_lists_own_typ_are_believed() -> None:
    for typ in (None, "JWT", "at+jwt", "revocations+jwt"):
        with pytest.raises(WrongType):
            read(GOOD, typ=typ)
    with pytest.raises(UnknownKey):
        read(GOOD, key=Key.generate("ES256"))
    with pytest.raises(BadSignature):
        read(GOOD, key=Key.generate("ES256", kid=KEY.kid))
    with pytest.raises(MalformedToken):
        read({**GOOD, "pad": "x" * token_limit(1000)}, limit=1000)


def test_a_status_list_token_is_no_access_token_of_the_same_issuer_and_key() -> None:
    token = StatusListToken(URI, NOW, LIST, NOW + 60, 30).sign(KEY, ISSUER)
    verifier = Verifier(KeySet([KEY.public()]), issuer=ISSUER, audience="orders", clock=lambda: NOW)
    with pytest.raises(WrongType):
        verifier.verify(token)


def test_a_reference_is_read_from_a_token_and_written_into_one() -> None:
    reference = Reference(7, URI)
    assert reference.claim() == {"status_list": {"idx": 7, "uri": URI}}
    assert Reference.of({"status": reference.claim()}) == reference
    assert Reference.of({"status": Reference(0, URI).claim()}) == (0, URI)
    assert Reference.of({}) is None
    assert Reference.of({"status": {"other_mechanism": {}}}) is None


@pytest.mark.parametrize(
    "status",
    [
        None,
        "x",
        [],
        {"status_list": None},
        {"status_list": []},
        {"status_list": {}},
        {"status_list": {"idx": 7}},
        {"status_list": {"uri": URI}},
        {"status_list": {"idx": -1, "uri": URI}},
        {"status_list": {"idx": True, "uri": URI}},
        {"status_list": {"idx": 7.0, "uri": URI}},
        {"status_list": {"idx": "7", "uri": URI}},
        {"status_list": {"idx": 7, "uri": ""}},
        {"status_list": {"idx": 7, "uri": 7}},
    ],
)
def test_a_reference_that_cannot_be_is_refused_and_not_taken_for_none(status: object) -> None:
    with pytest.raises(InvalidClaim):
        Reference.of({"status": status})
