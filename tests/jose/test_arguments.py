"""What a program gives that is of the wrong sort is refused with an Admit exception, and never signed or encrypted as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from admit import Key, KeySet
from admit.errors import AdmitError, ConfigurationError, MalformedToken, UnknownKey
from admit.jose import detached, jwe, jwe_json, jws, jws_json
from tests.helpers.forge import related

MAC = Key.generate("HS256", kid="k")
AES = Key.generate("A256KW", kid="k")
NOT_BYTES: list[Any] = ["text", None, 5, bytearray(b"x"), memoryview(b"x"), ["x"]]
Call = Callable[[Any], object]
TAKING_BYTES: dict[str, Call] = {
    "jws.sign": lambda x: jws.sign(MAC, x),
    "jws.sign, as it is": lambda x: jws.sign(MAC, x, b64=False),
    "detached.sign": lambda x: detached.sign(MAC, x),
    "detached.sign, as it is": lambda x: detached.sign(MAC, x, b64=False),
    "detached.verify": lambda x: detached.verify(detached.sign(MAC, b"x"), x, MAC),
    "jws_json.sign_flattened": lambda x: jws_json.sign_flattened(MAC, x),
    "jws_json.sign_general": lambda x: jws_json.sign_general([MAC], x, b64=False),
    "jwe.encrypt": lambda x: jwe.encrypt(AES, x),
    "jwe_json.encrypt_flattened": lambda x: jwe_json.encrypt_flattened(AES, x),
    "jwe_json.encrypt_general": lambda x: jwe_json.encrypt_general([AES], x, compress=True),
}


@pytest.mark.parametrize("name", TAKING_BYTES)
def test_what_is_signed_or_encrypted_is_bytes(name: str) -> None:
    for value in NOT_BYTES:
        with pytest.raises(ConfigurationError, match="bytes"):
            TAKING_BYTES[name](value)


TAKING_HEADERS: dict[str, Call] = {
    "jws.sign": lambda x: jws.sign(MAC, b"x", header=x),
    "detached.sign": lambda x: detached.sign(MAC, b"x", header=x),
    "jws_json, protected": lambda x: jws_json.sign_flattened(jws_json.Signatory(MAC, header=x), b"x"),
    "jwe.encrypt": lambda x: jwe.encrypt(AES, b"x", header=x),
    "jwe_json, protected": lambda x: jwe_json.encrypt_flattened(AES, b"x", header=x),
    "jwe_json, shared": lambda x: jwe_json.encrypt_flattened(AES, b"x", unprotected=x),
    "jwe_json, a recipient's": lambda x: jwe_json.encrypt_general([jwe_json.Recipient(AES, x)], b"x"),
}


@dataclass
class Place:
    east: float


@cache
def deep() -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(100_000):
        value = {"a": value}
    return value


@pytest.mark.parametrize("name", TAKING_HEADERS)
def test_header_parameters_are_a_mapping_that_json_can_say(name: str) -> None:
    values: list[Any] = [
        ["x"],
        "x",
        5,
        {"x": object()},
        {"x": "secret\ud800"},
        {"x\ud800": 1},
        {(1, 2): 3},
        {"x": deep()},
        {"x": float("nan")},
        {"x": float("inf")},
        {"x": [1, (2, {"y": float("-inf")})]},
        {"x": {float("nan")}},
        {"x": Place(float("nan"))},
    ]
    for value in values:
        with pytest.raises(ConfigurationError) as caught:
            TAKING_HEADERS[name](value)
        assert caught.value.code == "configuration"
        assert not any("secret" in f"{one!r}{vars(one)}" for one in related(caught.value))


@pytest.mark.parametrize("name", TAKING_HEADERS)
def test_header_parameters_may_be_whatever_json_can_say(name: str) -> None:
    value = {"n": None, "x": [1.5, {"y": [True, 2**64 - 1, "nan"]}], "place": Place(0.0)}
    assert TAKING_HEADERS[name](value)


TAKING_KEYS: dict[str, Call] = {
    "jws.verify": lambda x: jws.verify(jws.sign(MAC, b"x"), x),
    "detached.verify": lambda x: detached.verify(detached.sign(MAC, b"x"), b"x", x),
    "jws_json.verify": lambda x: jws_json.verify(jws_json.sign_flattened(MAC, b"x"), x),
    "jwe.decrypt": lambda x: jwe.decrypt(jwe.encrypt(AES, b"x"), x),
    "jwe_json.decrypt": lambda x: jwe_json.decrypt(jwe_json.encrypt_flattened(AES, b"x"), x),
    "jws.sign": lambda x: jws.sign(x, b"x"),
    "detached.sign": lambda x: detached.sign(x, b"x"),
    "jwe.encrypt": lambda x: jwe.encrypt(x, b"x"),
    "jwe_json, a recipient": lambda x: jwe_json.encrypt_flattened(jwe_json.Recipient(x), b"x"),
    "jws_json, a signatory": lambda x: jws_json.sign_flattened(jws_json.Signatory(x), b"x"),
    "jws_json.sign_flattened": lambda x: jws_json.sign_flattened(x, b"x"),
    "jws_json.sign_general": lambda x: jws_json.sign_general([x], b"x"),
    "jwe_json.encrypt_flattened": lambda x: jwe_json.encrypt_flattened(x, b"x"),
    "jwe_json.encrypt_general": lambda x: jwe_json.encrypt_general([x], b"x"),
}


@pytest.mark.parametrize("name", TAKING_KEYS)
def test_a_key_is_a_key(name: str) -> None:
    values: list[Any] = [None, 5, [5], [None], b"x" * 32, "k", MAC.to_jwk(private=True), [[MAC]]]
    for value in values:
        with pytest.raises(AdmitError):
            TAKING_KEYS[name](value)


def test_a_detached_payload_is_bytes() -> None:
    document = jws_json.sign_flattened(MAC, b"x", detached=True)
    others: list[Any] = ["x", 5, bytearray(b"x"), memoryview(b"x")]
    for payload in others:
        with pytest.raises(ConfigurationError, match="bytes"):
            jws_json.verify(document, MAC, payload=payload)


def test_keys_may_come_one_by_one() -> None:
    other = Key.generate("HS256", kid="other")
    document = jws_json.sign_general([MAC, other], b"x")
    assert len(jws_json.verify(document, (key for key in (MAC, other))).signatures) == 2  # type: ignore[arg-type]


TAKING_SETTINGS: dict[str, Callable[..., object]] = {
    "jws.verify": lambda **x: jws.verify(jws.sign(MAC, b"x", typ="t"), MAC, **x),
    "detached.verify": lambda **x: detached.verify(detached.sign(MAC, b"x", typ="t"), b"x", MAC, **x),
    "jws_json.verify": lambda **x: jws_json.verify(
        jws_json.sign_flattened(jws_json.Signatory(MAC, typ="t"), b"x"), MAC, **x
    ),
    "jwe.decrypt": lambda **x: jwe.decrypt(jwe.encrypt(AES, b"x", typ="t"), AES, **x),
    "jwe_json.decrypt": lambda **x: jwe_json.decrypt(jwe_json.encrypt_flattened(AES, b"x", typ="t"), AES, **x),
}


@pytest.mark.parametrize("name", TAKING_SETTINGS)
def test_a_type_is_text_and_a_limit_a_number(name: str) -> None:
    assert TAKING_SETTINGS[name](typ="T", limit=1000)
    wrong: list[dict[str, Any]] = [{"typ": 5}, {"typ": b"t"}, {"limit": "x"}, {"limit": -1}, {"limit": None}]
    for setting in wrong:
        with pytest.raises(ConfigurationError):
            TAKING_SETTINGS[name](**setting)


@pytest.mark.parametrize("name", ["jws.verify", "jws_json.verify"])
def test_what_is_understood_is_a_set_of_names(name: str) -> None:
    others: list[Any] = ["b64", None, 5, ["b64"], {5}]  # "64" is in the text "b64"
    for understood in others:
        with pytest.raises(ConfigurationError, match="understood"):
            TAKING_SETTINGS[name](understood=understood)


def test_a_signatorys_unprotected_header_is_a_mapping() -> None:
    others: list[Any] = ["x", 5, [("x", 1)]]
    for unprotected in others:
        with pytest.raises(ConfigurationError):
            jws_json.sign_flattened(jws_json.Signatory(MAC, unprotected=unprotected), b"x")


def test_no_keys_verify_and_open_nothing() -> None:
    with pytest.raises(UnknownKey):
        jws_json.verify(jws_json.sign_flattened(MAC, b"x"), [])
    with pytest.raises(UnknownKey):
        jwe_json.decrypt(jwe_json.encrypt_flattened(AES, b"x"), [])


def test_a_document_has_a_bounded_number_of_signatures() -> None:
    keys = [Key.generate("HS256") for _ in range(jws_json.MAX_SIGNATURES + 1)]
    with pytest.raises(ConfigurationError, match="1 to 64"):
        jws_json.sign_general(keys, b"x")
    most = jws_json.sign_general(keys[:-1], b"x")
    assert len(jws_json.verify(most, KeySet(keys), limit=100_000).signatures) == jws_json.MAX_SIGNATURES
    one_more = most.replace('"signatures":[', '"signatures":[{"header":{"alg":"HS256"},"signature":"AA"},')
    with pytest.raises(AdmitError, match="at most 64"):
        jws_json.verify(one_more, KeySet(keys), need=1, limit=100_000)


def test_one_key_is_tried_a_bounded_number_of_times() -> None:
    most = jws_json.sign_general([MAC] * jws_json.MAX_TRIES, b"x")
    assert len(jws_json.verify(most, MAC).signatures) == jws_json.MAX_TRIES
    for again in (MAC, jws_json.Signatory(MAC)):
        with pytest.raises(ConfigurationError, match="at most 4 times"):
            jws_json.sign_general([MAC] * jws_json.MAX_TRIES + [again], b"x")
    tried: list[None] = []
    other = Key.generate("HS256", kid=MAC.kid)
    other.__dict__["check"] = lambda *_: tried.append(None)
    document = json.loads(most)
    document["signatures"] += document["signatures"]
    needs: list[Any] = ["all", 1]
    for need in needs:
        tried.clear()
        with pytest.raises(MalformedToken, match="more than 4 signatures of one key"):
            jws_json.verify(json.dumps(document), other, need=need)
        assert len(tried) == jws_json.MAX_TRIES
