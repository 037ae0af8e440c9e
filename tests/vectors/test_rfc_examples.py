"""The RFCs' own examples and the JOSE cookbook, as far as JWS and keys go; what is not covered is counted."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from admit import Key, KeySet
from admit.errors import ConfigurationError, InvalidKey, InvalidToken, MalformedToken
from admit.jose import detached, jws, jws_json
from admit.jose.encoding import b64url_decode
from admit.jose.header import parse
from admit.jose.jws import UNENCODED
from tests.helpers.forge import key
from tests.helpers.vectors import folder, load, needed

pytestmark = needed

EXAMPLES: list[dict[str, Any]] = load("rfc_examples.json")
COMPACT = [case for case in EXAMPLES if (case["kind"], case.get("ser")) == ("jws", "compact")]
COOKBOOK: list[dict[str, Any]] = load("cookbook_jws.json")
FILES = [
    case
    for name in ("rfc7520/jws", "rfc7520/rfc7797", "rfc7520/curve25519")
    for case in folder(name)
    if "payload" in case[1]["input"]
]

# RFC 7797 is read only where the caller says so.
UNENCODED_COMPACT = {
    "rfc7797-HS256 with b64=false, safe payload",
    "rfc7797-HS256 with b64=true",
    "cookbook-rfc7797/hmac-sha2_b64_false.json-compact",
}
# Not covered here but in test_jwe_examples.py, and how many of each there are: everything encrypted.
NOT_COVERED = {
    ("jwe", "compact"): 15,
    ("jwe", "general"): 17,
    ("jwe", "flattened"): 14,
    ("nested", "compact"): 1,
    ("concatkdf", None): 1,
}


def key_of(case: dict[str, Any], alg: str) -> Key:
    jwk = case["key"]
    return Key.from_jwk(
        {name: value for name, value in jwk.items() if name != "ext"}, alg=None if "alg" in jwk else alg
    )


def key_for(jwk: dict[str, Any], alg: str, kid: str | None) -> Key:
    own = key_of({"key": jwk}, alg)
    return own if kid is None else Key.from_jwk(own.to_jwk(private=own.private) | {"kid": kid})


def verified(token: str, jwk: dict[str, Any]) -> bytes:
    header = parse(token.split(".")[0].encode(), understood=UNENCODED)
    return jws.verify(token, key_for(jwk, header.alg, header.kid), understood=UNENCODED).payload


def keys_for(document: dict[str, Any], jwk: Any) -> list[Key]:
    """The key of each signature in a document; where several are offered, the one of its type."""
    offered = jwk["keys"] if isinstance(jwk, dict) and "keys" in jwk else jwk if isinstance(jwk, list) else [jwk]
    keys = []
    for entry in document.get("signatures", [document]):
        protected = json.loads(b64url_decode(entry["protected"].encode())) if "protected" in entry else {}
        members = protected | entry.get("header", {})
        kty = {"H": "oct", "R": "RSA", "P": "RSA"}.get(members["alg"][0])
        kty = kty or {"ES": "EC", "Ed": "OKP", "ML": "AKP"}[members["alg"][:2]]
        own = next(one for one in offered if one["kty"] == kty)
        keys.append(key_for(own, members["alg"], members.get("kid")))
    return keys


def documents(output: dict[str, Any]) -> list[dict[str, Any]]:
    return [output[name] for name in ("json", "json_flat") if name in output]


@pytest.mark.parametrize("case", COMPACT, ids=[case["id"] for case in COMPACT])
def test_a_compact_jws_of_the_rfcs_is_judged_as_it_says(case: dict[str, Any]) -> None:
    token = case["token"]
    if case["expect"] == "reject":
        with pytest.raises((MalformedToken, ConfigurationError)):
            verified(token, case["key"])
    if case["expect"] == "reject" or case["id"] in UNENCODED_COMPACT:
        with pytest.raises(InvalidToken):
            jws.verify(token, key("HS256"))
    if case["expect"] == "accept":
        assert verified(token, case["key"]) == b64url_decode(case["payload"].encode())


IN_JSON = [case for case in EXAMPLES if case["kind"] in ("jws", "jws-detached") and case.get("ser") != "compact"]


@pytest.mark.parametrize("case", IN_JSON, ids=[case["id"] for case in IN_JSON])
def test_a_jws_in_json_of_the_rfcs_is_judged_as_it_says(case: dict[str, Any]) -> None:
    beside = b64url_decode(case["payload"].encode()) if case["kind"] == "jws-detached" else None
    document, keys = json.dumps(case["token"]), keys_for(case["token"], case["key"])
    if case["expect"] == "reject":
        with pytest.raises(MalformedToken):
            jws_json.verify(document, keys, payload=beside)
        return
    read = jws_json.verify(document, keys, payload=beside)
    assert read.payload == b64url_decode(case["payload"].encode())
    assert len(read.signatures) == len(case["token"].get("signatures", "1"))


APART = [case for case in EXAMPLES if (case["kind"], case.get("ser")) == ("jws-detached", "compact")]


@pytest.mark.parametrize("case", APART, ids=[case["id"] for case in APART])
def test_a_detached_jws_of_the_rfcs_is_verified(case: dict[str, Any]) -> None:
    payload, token = b64url_decode(case["payload"].encode()), case["token"]
    header = parse(token.split(".")[0].encode(), understood=UNENCODED)
    own = key_for(case["key"], header.alg, header.kid)
    assert detached.verify(token, payload, own).payload == payload
    with pytest.raises(InvalidToken):
        detached.verify(token, payload + b" ", own)


def test_what_is_not_covered_is_counted() -> None:
    covered: set[tuple[str, str | None]] = {
        (kind, ser) for kind in ("jws", "jws-detached") for ser in ("compact", "flattened", "general")
    }
    covered |= {("jwk", None), ("jwks", None), ("thumbprint", None)}
    found = Counter((case["kind"], case.get("ser")) for case in EXAMPLES)
    assert {kind: count for kind, count in found.items() if kind not in covered} == NOT_COVERED
    assert (len(COMPACT), len(IN_JSON), len(APART), len(FILES)) == (17, 26, 2, 10)
    assert {case["id"] for case in COMPACT} >= UNENCODED_COMPACT


@pytest.mark.parametrize("case", [case for case in EXAMPLES if case["kind"] == "jwks"], ids=lambda case: case["id"])
def test_a_jwk_set_of_rfc_7517_gives_its_signing_keys(case: dict[str, Any]) -> None:
    jwks = case["key"]
    if case["id"] == "rfc7517-A.3":  # an AES key-wrapping key, and a secret without alg
        assert len(KeySet.from_jwks(jwks, algorithms=["HS256"])) == 1
        with pytest.raises(InvalidKey):
            KeySet.from_jwks(jwks)
        assert [key.alg for key in KeySet.from_jwks(jwks, use="enc")] == ["A128KW"]
        return
    keys = KeySet.from_jwks(jwks, algorithms=["RS256"])
    assert [key.alg for key in keys] == ["RS256"]
    assert len(keys.problems) == 1, "the EC key says that it is for encryption"
    if "thumbprints" in case:
        assert keys.get("2011-04-29") is not None
        assert next(iter(keys)).thumbprint() in case["thumbprints"]


def test_the_thumbprint_of_rfc_7638_is_ours() -> None:
    case = next(case for case in EXAMPLES if case["kind"] == "thumbprint")
    key = Key.from_jwk(case["key"], alg=None if "alg" in case["key"] else "RS256")
    assert key.thumbprint() == case["thumbprint"]["256"]
    uri = next(case for case in EXAMPLES if "uri" in case)["uri"]
    assert key.thumbprint_uri() == uri


def test_the_key_of_rfc_7517_b_is_read() -> None:
    case = next(case for case in EXAMPLES if case["kind"] == "jwk")
    assert Key.from_jwk(case["key"], alg="RS256").kid == "1b94c"


@pytest.mark.parametrize("case", COOKBOOK, ids=[case["title"] for case in COOKBOOK])
def test_a_jws_of_the_cookbook_is_verified_and_made_again(case: dict[str, Any]) -> None:
    jwk, output, protected = case["input"]["key"], case["output"], case["signing"].get("protected", {})
    token = output.get("compact")
    for document in documents(output):
        read = jws_json.verify(json.dumps(document), keys_for(document, jwk))
        assert read.payload == case["input"]["payload"].encode()
    if token is None:
        assert {"json", "json_flat"} == set(output)
        return
    assert verified(token, jwk) == case["input"]["payload"].encode()
    if case.get("deterministic") and not protected["alg"].startswith("ML-DSA"):
        key = key_of({"key": jwk}, protected["alg"])
        signing_input = token.rpartition(".")[0].encode()
        assert key.sign(signing_input).decode() == token.rpartition(".")[2]


@pytest.mark.parametrize(("name", "case"), FILES, ids=[name for name, _ in FILES])
def test_a_file_of_the_cookbook_is_verified(name: str, case: dict[str, Any]) -> None:
    token, jwk, payload = case["output"].get("compact"), case["input"]["key"], case["input"]["payload"].encode()
    for document in documents(case["output"]):
        beside = None if "payload" in document else payload
        assert jws_json.verify(json.dumps(document), keys_for(document, jwk), payload=beside).payload == payload
    if token is not None and ".." in token:
        assert detached.verify(token, payload, keys_for(documents(case["output"])[0], jwk)[0]).payload == payload
    elif token is not None:
        assert verified(token, jwk) == payload


@pytest.mark.parametrize(("name", "jwk"), folder("rfc7520/jwk"), ids=[name for name, _ in folder("rfc7520/jwk")])
def test_a_key_of_the_cookbook_is_read_and_written(name: str, jwk: dict[str, Any]) -> None:
    key = Key.from_jwk(jwk, alg=None if "alg" in jwk or jwk["kty"] == "EC" else "RS256")
    written = key.to_jwk(private=key.private)
    assert {member: written[member] for member in jwk if member in written} == {
        m: v for m, v in jwk.items() if m in written
    }
