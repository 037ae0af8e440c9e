"""JWS in JSON, detached and unencoded: who signed what, and no document with two readings."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admit import Key, KeySet
from admit.errors import AdmitError, BadSignature, ConfigurationError, MalformedToken, UnknownKey, WrongType
from admit.jose import detached, header, jws, jws_json
from admit.jose.jws import UNENCODED
from admit.jose.jws_json import Signatory
from tests.helpers.forge import ALL, b64, key

PAYLOAD = b"$.02 and more"
ONE, TWO = (Key.generate("ES256") for _ in range(2))
SECRET = Key.generate("HS256")
TOGETHER = KeySet([ONE, TWO])


def members(document: str, **changes: Any) -> str:
    """The document with members changed; a change to None leaves one out."""
    return json.dumps({name: value for name, value in (json.loads(document) | changes).items() if value is not None})


def segment(**values: object) -> str:
    return b64(json.dumps(values).encode())


def flattened(one: Key, head: str | None, unprotected: dict[str, object] | None, payload: str = "eA") -> str:
    """A document signed with the right key, whatever its headers say."""
    signature = one.sign(f"{head or ''}.{payload}".encode()).decode()
    return members(json.dumps({"payload": payload, "signature": signature}), protected=head, header=unprotected)


@pytest.mark.parametrize("alg", ALL)
def test_what_is_signed_in_json_or_detached_is_verified(alg: str) -> None:
    one = key(alg)
    for b in (True, False):
        flat = jws_json.sign_flattened(Signatory(one, typ="x", unprotected={"n": 1}), PAYLOAD, b64=b)
        general = jws_json.sign_general([one], PAYLOAD, b64=b)
        for document in (flat, general, flat.encode()):
            read = jws_json.verify(document, one)
            assert (read.payload, [held.key for held in read.signatures], read.refused) == (PAYLOAD, [one], ())
        apart = jws_json.sign_general([one], PAYLOAD, detached=True, b64=b)
        assert jws_json.verify(apart, one, payload=PAYLOAD).payload == PAYLOAD
        assert detached.verify(detached.sign(one, PAYLOAD, b64=b), PAYLOAD, one).payload == PAYLOAD
        with pytest.raises(BadSignature):
            detached.verify(detached.sign(one, PAYLOAD, b64=b), PAYLOAD + b"x", one)


def test_every_signature_must_hold_unless_the_caller_counts_keys() -> None:
    document = jws_json.sign_general([ONE, TWO], PAYLOAD)
    assert [held.key for held in jws_json.verify(document, TOGETHER).signatures] == [ONE, TWO]
    with pytest.raises(UnknownKey):
        jws_json.verify(document, ONE)
    read = jws_json.verify(document, ONE, need=1)
    assert [held.index for held in read.signatures] == [0]
    assert [(index, type(error)) for index, error in read.refused] == [(1, UnknownKey)]
    with pytest.raises(UnknownKey):
        jws_json.verify(document, ONE, need=2)
    broken = json.loads(document)
    broken["signatures"][1]["signature"] = broken["signatures"][0]["signature"]
    with pytest.raises(BadSignature):
        jws_json.verify(json.dumps(broken), TOGETHER)
    assert [index for index, _ in jws_json.verify(json.dumps(broken), TOGETHER, need=1).refused] == [1]
    with pytest.raises(BadSignature):
        jws_json.verify(json.dumps(broken), TOGETHER, need=2)


def test_a_key_that_signs_twice_counts_once() -> None:
    twin = Key.from_jwk(ONE.to_jwk(private=True) | {"kid": "twin"})
    for document in (jws_json.sign_general([ONE, ONE], PAYLOAD), jws_json.sign_general([ONE, twin], PAYLOAD)):
        assert len(jws_json.verify(document, KeySet([ONE, twin])).signatures) == 2
        with pytest.raises(UnknownKey):
            jws_json.verify(document, KeySet([ONE, twin]), need=2)


@pytest.mark.parametrize("need", [0, -1, True, 1.0, None, "any", "ALL"])
def test_need_is_all_or_a_positive_number(need: Any) -> None:
    with pytest.raises(ConfigurationError):
        jws_json.verify(jws_json.sign_flattened(ONE, PAYLOAD), ONE, need=need)


def test_secrets_and_key_pairs_are_given_side_by_side() -> None:
    document = jws_json.sign_general([ONE, SECRET], PAYLOAD)
    assert len(jws_json.verify(document, [TOGETHER, SECRET]).signatures) == 2
    with pytest.raises(UnknownKey):
        jws_json.verify(document, [])
    other = Key.generate("ES256", kid=ONE.kid)
    with pytest.raises(UnknownKey):
        jws_json.verify(jws_json.sign_flattened(ONE, PAYLOAD), [ONE, other])


def test_nobody_signs_nothing() -> None:
    with pytest.raises(ConfigurationError):
        jws_json.sign_general([], PAYLOAD)


def test_an_unprotected_alg_chooses_nothing() -> None:
    assert jws_json.verify(flattened(ONE, None, {"alg": "ES256"}), ONE).payload == b"x"
    with pytest.raises(MalformedToken):
        jws_json.verify(flattened(ONE, None, {"alg": "HS256", "kid": ONE.kid}), ONE)
    with pytest.raises(MalformedToken):
        jws_json.verify(flattened(ONE, None, {"alg": "none", "kid": ONE.kid}), ONE)


HEADERS: list[tuple[str | None, dict[str, object] | None]] = [
    (None, None),
    (None, {}),
    ("", {"alg": "ES256"}),
    (segment(alg="ES256"), {}),
    (segment(alg="ES256"), {"alg": "ES256"}),
    (segment(alg="ES256", n=1), {"n": 1}),
    (segment(alg="ES256"), {"crit": ["b64"], "b64": True}),
    (segment(alg="ES256", crit=["b64"]), {"b64": True}),
    (segment(alg="ES256"), {"b64": True}),
    (segment(alg="ES256", crit=["x"], x=1), None),
    (segment(alg="ES256", b64=True), None),
    (segment(alg="ES256", b64="false", crit=["b64"]), None),
    (segment(alg="ES256", b64=None, crit=["b64"]), None),
    (segment(alg="ES256"), {"kid": 5}),
    (segment(), {"alg": "ES256"}),
    (b64('{"alg":"ES256"}'.encode("utf-16")), None),
    (b64('{"alg":"ES256"}'.encode("utf-32-le")), None),
]


@pytest.mark.parametrize("index", range(len(HEADERS)))
def test_a_header_that_breaks_a_rule_is_refused_though_it_is_signed(index: int) -> None:
    with pytest.raises(MalformedToken):
        jws_json.verify(flattened(ONE, *HEADERS[index]), ONE)
    assert jws_json.verify(flattened(ONE, segment(alg="ES256"), {"n": 1}), ONE)


def test_b64_that_crit_leaves_out_is_refused_where_crit_names_something_else() -> None:
    head = segment(alg="ES256", crit=["x"], x=1, b64=False).encode()
    with pytest.raises(MalformedToken):
        header.parse(head, understood=frozenset({"x", "b64"}))


@pytest.mark.parametrize(
    "members",
    [
        {"crit": ["b64"]},
        {"crit": ["b64", "b64"], "b64": True},
        {"crit": ["alg"]},
        {"crit": ["b64", "kid"], "b64": True, "kid": "k"},
    ],
    ids=["absent", "repeated", "registered", "registered beside a good one"],
)
def test_crit_names_what_is_absent_repeated_or_registered_though_it_would_be_understood(
    members: dict[str, object],
) -> None:
    everything = frozenset({"b64", "alg", "kid"})
    assert header.parse(segment(alg="ES256", b64=True, crit=["b64"]).encode(), understood=everything)
    with pytest.raises(MalformedToken, match="registered, absent or repeated"):
        header.parse(segment(alg="ES256", **members).encode(), understood=everything)


FLAT = jws_json.sign_flattened(Signatory(ONE, unprotected={"n": 1}), PAYLOAD)
GENERAL = jws_json.sign_general([ONE], PAYLOAD)
ENTRY = json.loads(GENERAL)["signatures"][0]
DOCUMENTS: dict[str, Any] = {
    "both forms": members(FLAT, signatures=[ENTRY]),
    "general with a header": members(GENERAL, header={"n": 1}),
    "general with a protected header": members(GENERAL, protected=ENTRY["protected"]),
    "no signatures": members(GENERAL, signatures=[]),
    "signatures of another type": members(GENERAL, signatures={"0": ENTRY}),
    "signatures that are a number": members(GENERAL, signatures=5),
    "a signature of another type": members(GENERAL, signatures=[ENTRY, 5]),
    "no signature": members(FLAT, signature=None),
    "a signature that is no text": members(FLAT, signature=5),
    "a protected header that is no text": members(FLAT, protected={"alg": "ES256"}),
    "a header that is no object": members(FLAT, header="n"),
    "no payload": members(FLAT, payload=None),
    "a payload that is no text": members(FLAT, payload={"a": 1}),
    "encrypted too": members(FLAT, ciphertext="eA"),
    "a member twice": FLAT[:-1] + ',"payload":"eA"}',
    "a member twice, spelled in two ways": FLAT[:-1] + ',"\\u0070ayload":"eA"}',
    "a list": f"[{FLAT}]",
    "compact": jws.sign(ONE, PAYLOAD),
    "UTF-16": FLAT.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + FLAT.encode(),
    "a lone surrogate": FLAT + "\ud800",
    "not text": json.loads(FLAT),
    "too long": FLAT + " " * 16384,
    "nothing": "",
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_with_two_readings_or_none_is_refused(name: str) -> None:
    with pytest.raises(MalformedToken):
        jws_json.verify(DOCUMENTS[name], ONE)
    assert jws_json.verify(members(FLAT, unknown="ignored"), ONE).payload == PAYLOAD


def test_a_document_may_have_as_many_characters_as_its_limit() -> None:
    assert jws_json.verify(FLAT, ONE, limit=len(FLAT)).payload == PAYLOAD
    with pytest.raises(MalformedToken, match="at most"):
        jws_json.verify(FLAT.encode(), ONE, limit=len(FLAT) - 1)


def test_a_payload_is_inside_or_beside_and_never_both() -> None:
    apart = jws_json.sign_flattened(ONE, PAYLOAD, detached=True)
    for document, given_beside in ((FLAT, PAYLOAD), (apart, None)):
        with pytest.raises(MalformedToken):
            jws_json.verify(document, ONE, payload=given_beside)
    with pytest.raises(MalformedToken):
        detached.verify(jws.sign(ONE, PAYLOAD), PAYLOAD, ONE)


def test_the_signatures_of_a_document_agree_on_b64() -> None:
    for apart in (False, True):
        mixed = json.loads(jws_json.sign_general([ONE], b"YWJj", detached=apart))
        mixed["signatures"] += json.loads(jws_json.sign_general([TWO], b"YWJj", b64=False, detached=apart))[
            "signatures"
        ]
        with pytest.raises(AdmitError):
            jws_json.verify(json.dumps(mixed), TOGETHER, payload=b"YWJj" if apart else None)


def test_a_signature_that_does_not_hold_agrees_on_b64_too() -> None:
    for apart in (False, True):
        mixed = json.loads(jws_json.sign_general([ONE], b"YWJj", detached=apart))
        mixed["signatures"].append({"protected": segment(alg="ES256", b64=False, crit=["b64"]), "signature": "AA"})
        with pytest.raises(MalformedToken, match="differ in b64"):
            jws_json.verify(json.dumps(mixed), ONE, need=1, payload=b"YWJj" if apart else None)


@pytest.mark.parametrize(
    "other",
    [
        {"protected": segment(alg="ES256", crit=["x"], x=1), "signature": "AA"},
        {"protected": segment(kid="k"), "signature": "AA"},
        {"protected": "?", "signature": "AA"},
        {"protected": segment(alg="ES256")},
        {},
    ],
    ids=["an extension of somebody else's", "no alg", "no base64url", "no signature", "nothing"],
)
def test_each_signature_is_judged_by_itself_where_not_all_are_needed(other: dict[str, object]) -> None:
    document = json.loads(jws_json.sign_general([ONE], PAYLOAD))
    for place in (0, 1):
        signatures = list(document["signatures"])
        signatures.insert(place, other)
        together = json.dumps(document | {"signatures": signatures})
        found = jws_json.verify(together, ONE, need=1)
        assert (found.payload, found.signatures[0].index) == (PAYLOAD, 1 - place)
        assert [(index, type(error)) for index, error in found.refused] == [(place, MalformedToken)]
        with pytest.raises(MalformedToken):
            jws_json.verify(together, ONE)
    with pytest.raises(MalformedToken):
        jws_json.verify(json.dumps(document | {"signatures": [other]}), ONE, need=1)


@pytest.mark.parametrize("of", [Key.generate("A256KW"), Key.generate("ECDH-ES")])
def test_a_token_that_names_a_key_for_something_else_is_refused_as_a_token(of: Key) -> None:
    head = segment(alg=of.algorithm.alg, kid=of.kid)  # type: ignore[union-attr]
    for read in (
        lambda: jws.verify(f"{head}.eA.AA", of),
        lambda: detached.verify(f"{head}..AA", b"x", of),
        lambda: jws_json.verify(json.dumps({"payload": "eA", "protected": head, "signature": "AA"}), of),
    ):
        with pytest.raises(UnknownKey, match="may not verify"):
            read()
    document = json.loads(jws_json.sign_general([ONE], PAYLOAD))
    document["signatures"].append({"protected": head, "signature": "AA"})
    assert len(jws_json.verify(json.dumps(document), [ONE, of], need=1).signatures) == 1


def test_what_signatures_share_does_not_stand_among_what_one_has_alone() -> None:
    for name in ("payload", "signatures"):
        document = json.loads(jws_json.sign_general([ONE], PAYLOAD))
        document["signatures"][0][name] = document["payload"]
        with pytest.raises(MalformedToken, match="among what one has alone"):
            jws_json.verify(json.dumps(document), ONE)
    with pytest.raises(MalformedToken, match="JWE"):
        jws_json.verify(members(FLAT, recipients=[]), ONE)


NO_TEXT: list[object] = [1, [], {}, None]
NO_OBJECT: list[object] = ["x", 1, [], None]
NO_TEXTS: list[object] = ["x", {}, None, [1], ["x", None]]
WRONG_TYPES: list[dict[str, object]] = [
    *({name: value} for name in ("jku", "x5u", "x5t", "x5t#S256", "cty", "enc", "zip", "iv") for value in NO_TEXT),
    *({name: value} for name in ("jwk", "epk") for value in NO_OBJECT),
    *({"x5c": value} for value in NO_TEXTS),
]


@pytest.mark.parametrize("wrong", WRONG_TYPES, ids=str)
def test_a_registered_parameter_has_its_type_though_nobody_reads_it(wrong: dict[str, object]) -> None:
    with pytest.raises(MalformedToken, match="is not"):
        header.parse(segment(alg="ES256", **wrong).encode())
    with pytest.raises(MalformedToken, match="is not"):
        jws.sign(ONE, PAYLOAD, header=wrong)


def test_registered_parameters_of_the_right_type_pass() -> None:
    right = {"jku": "u", "x5u": "u", "x5c": ["a", "b"], "x5t": "t", "x5t#S256": "t", "jwk": {"kty": "RSA"}, "cty": "x"}
    assert jws.verify(jws.sign(ONE, PAYLOAD, header=right), ONE).payload == PAYLOAD


def test_the_type_is_protected() -> None:
    with pytest.raises(WrongType):
        jws_json.verify(flattened(ONE, segment(alg="ES256"), {"typ": "x"}), ONE, typ="x")
    typed = jws_json.sign_flattened(Signatory(ONE, typ="x"), PAYLOAD)
    assert jws_json.verify(typed, ONE, typ="x")
    with pytest.raises(WrongType):
        jws_json.verify(typed, ONE, typ="y")


def test_the_type_of_a_detached_signature_is_the_one_asked_for() -> None:
    token = detached.sign(ONE, PAYLOAD, typ="x")
    assert detached.verify(token, PAYLOAD, ONE, typ="x").header.typ == "x"
    for typ in ("y", "at+jwt"):
        with pytest.raises(WrongType):
            detached.verify(token, PAYLOAD, ONE, typ=typ)
    with pytest.raises(WrongType):
        detached.verify(detached.sign(ONE, PAYLOAD), PAYLOAD, ONE, typ="x")


def test_what_is_written_says_the_kid_and_is_encoded_unless_asked_otherwise() -> None:
    for token in (jws.sign(ONE, PAYLOAD), detached.sign(ONE, PAYLOAD)):
        head = header.parse(token.partition(".")[0].encode())
        assert (head.kid, head.b64) == (ONE.kid, True)
    for text in (jws_json.sign_flattened(ONE, PAYLOAD), jws_json.sign_general([ONE], PAYLOAD)):
        assert json.loads(text)["payload"] == b64(PAYLOAD)
    more = Signatory(ONE, unprotected={"n": 1})
    assert json.loads(jws_json.sign_flattened(more, PAYLOAD))["header"] == {"n": 1}
    assert "header" not in json.loads(jws_json.sign_general([ONE, more], PAYLOAD))["signatures"][0]
    without = jws_json.sign_flattened(Signatory(ONE, kid=False), PAYLOAD)
    assert jws_json.verify(without, ONE).signatures[0].header.kid is None


def test_what_is_signed_is_the_payload_in_base64url_or_as_it_is() -> None:
    assert detached.signing_input(b"head", b"$.02", b64=True) == b"head.JC4wMg"
    assert detached.signing_input(b"head", b"$.02", b64=False) == b"head.$.02"


def test_an_unencoded_payload_is_read_only_where_that_is_understood() -> None:
    token = jws.sign(ONE, b"a b c", b64=False)
    assert token.split(".")[1] == "a b c"
    assert jws.verify(token, ONE, understood=UNENCODED).payload == b"a b c"
    with pytest.raises(MalformedToken):
        jws.verify(token, ONE)
    with pytest.raises(MalformedToken):
        jws_json.verify(jws_json.sign_flattened(ONE, b"a", b64=False), ONE, understood=frozenset())
    for payload in (b"$.02", b"\n", "é".encode(), b"\x7f", b"\0"):
        with pytest.raises(MalformedToken):
            jws.sign(ONE, payload, b64=False)
    with pytest.raises(MalformedToken):
        jws_json.sign_flattened(ONE, b"\xff", b64=False)


def test_an_unencoded_payload_that_could_hide_is_refused_though_it_is_signed() -> None:
    head = segment(alg="ES256", b64=False, crit=["b64"])
    token = f"{head}.a\nb".encode()
    with pytest.raises(MalformedToken):
        jws.verify(token + b"." + ONE.sign(token), ONE, understood=UNENCODED)


@pytest.mark.parametrize("parameters", [{"b64": True}, {"crit": ["x"]}, {"alg": "none"}])
def test_a_header_that_no_verifier_reads_is_not_written(parameters: dict[str, object]) -> None:
    for one in (Signatory(ONE, header=parameters), Signatory(ONE, unprotected=parameters)):
        with pytest.raises(MalformedToken):
            jws_json.sign_flattened(one, PAYLOAD, b64=False)


@pytest.mark.parametrize("examples", [60, pytest.param(3_000, marks=pytest.mark.soak)])
def test_any_changed_bit_of_a_document_is_refused_or_changes_nothing(examples: int) -> None:
    documents = [GENERAL.encode(), jws_json.sign_flattened(SECRET, PAYLOAD, b64=False).encode()]

    @settings(max_examples=examples)
    @given(document=st.sampled_from(documents), position=st.integers(0, 10_000))
    def holds(document: bytes, position: int) -> None:
        changed = bytearray(document)
        changed[position // 8 % len(document)] ^= 1 << position % 8
        # A name of a member may change its spelling only so that it is missing, or unknown: never to another meaning.
        with pytest.raises(AdmitError):
            jws_json.verify(bytes(changed), [ONE, SECRET])

    holds()


@pytest.mark.parametrize("examples", [100, pytest.param(3_000, marks=pytest.mark.soak)])
def test_any_document_gives_a_value_or_an_admit_error(examples: int) -> None:
    odd = st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
    names = st.sampled_from(["payload", "signatures", "signature", "protected", "header", "x"])
    near = st.dictionaries(names, odd, max_size=3).map(lambda changes: members(FLAT, **changes))

    @settings(max_examples=examples)
    @given(document=near | st.binary(max_size=40) | st.text(max_size=40) | odd)
    def holds(document: Any) -> None:
        calls: list[Callable[[], object]] = [
            partial(jws_json.verify, document, ONE),
            partial(jws_json.verify, document, TOGETHER, need=1, payload=b"x"),
            partial(detached.verify, document, b"x", ONE),
        ]
        for call in calls:
            with suppress(AdmitError):
                call()

    holds()
