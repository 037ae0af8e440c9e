"""The RFCs' own examples and the JOSE cookbook, as far as encryption goes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from admit import Key
from admit.errors import ConfigurationError, DecryptionFailed, MalformedToken
from admit.jose import agreement, jwe, jwe_json, jws
from admit.jose.encoding import b64url_decode
from admit.jose.header import parse
from tests.helpers.vectors import folder, load, needed

pytestmark = needed

EXAMPLES: list[dict[str, Any]] = load("rfc_examples.json")
ENCRYPTED = [case for case in EXAMPLES if case["kind"] in ("jwe", "nested")]
COMPACT = [case for case in ENCRYPTED if case["ser"] == "compact" and case["kind"] == "jwe"]
IN_JSON = [case for case in ENCRYPTED if case["ser"] != "compact"]
COOKBOOK: list[dict[str, Any]] = load("cookbook_jwe.json")
FILES = [*folder("rfc7520/jwe"), *(case for case in folder("rfc7520/curve25519") if "plaintext" in case[1]["input"])]


def headers_of(token: Any) -> dict[str, Any]:
    """All parameters of a token's first recipient."""
    if isinstance(token, str):
        return parse(token.partition(".")[0].encode()).members
    first = token["recipients"][0] if "recipients" in token else token
    protected = json.loads(b64url_decode(token["protected"].encode())) if "protected" in token else {}
    merged: dict[str, Any] = {**protected, **token.get("unprotected", {}), **first.get("header", {})}
    return merged


def key_for(jwk: Any, header: dict[str, Any]) -> Key:
    """A cookbook's key, bound to what its example's header says; a text is a password."""
    alg, kid = header["alg"] if header["alg"] != "dir" else header["enc"], header.get("kid")
    if isinstance(jwk, str):
        return Key.from_secret(jwk.encode(), alg, kid=kid)
    members = {name: value for name, value in jwk.items() if name not in ("alg", "ext", "kid")}
    return Key.from_jwk(members | ({} if kid is None else {"kid": kid}), alg=alg)


def opened(token: Any, own: Key, *, inflate: bool = False) -> bytes:
    if isinstance(token, str):
        return jwe.decrypt(token, own, inflate=inflate).plaintext
    return jwe_json.decrypt(json.dumps(token), own, inflate=inflate).plaintext


def plaintext_of(case: dict[str, Any]) -> bytes:
    return b64url_decode(case["plaintext"].encode())


@pytest.mark.parametrize("case", [*COMPACT, *IN_JSON], ids=lambda case: case["id"])
def test_a_jwe_of_the_rfcs_opens_and_rsa_1_5_does_not_exist(case: dict[str, Any]) -> None:
    if case["expect"] == "?":  # two halves of an attack on RSA1_5: nobody can tell them apart, for neither is tried
        members = {name: value for name, value in case["key"].items() if name not in ("alg", "kid")}
        with pytest.raises(MalformedToken, match=r"RSA1_5.*RSA-OAEP only"):
            opened(case["token"], Key.from_jwk(members | {"kid": headers_of(case["token"])["kid"]}, alg="RSA-OAEP"))
        return
    opens(case["token"], case["key"], plaintext_of(case))


def test_every_example_is_covered() -> None:
    assert (len(COMPACT), len(IN_JSON), len(COOKBOOK) > 10, len(FILES)) == (15, 31, True, 14)


def test_the_nested_example_is_encrypted_with_what_does_not_exist() -> None:
    case = next(case for case in EXAMPLES if case["kind"] == "nested")
    assert headers_of(case["token"])["alg"] == "RSA1_5"
    with pytest.raises(ConfigurationError):
        key_for(case["key"], headers_of(case["token"]))


def test_concat_kdf_makes_the_key_of_rfc_7518_c() -> None:
    case = next(case for case in EXAMPLES if case["kind"] == "concatkdf")
    alice = Key.from_jwk(case["alice"] | {"alg": "ECDH-ES"})
    bob = Key.from_jwk(case["bob"] | {"alg": "ECDH-ES"})
    z = agreement.shared_secret(alice.opening()[1], bob.sealing()[1])
    derived = agreement.derive(z, case["header"]["enc"], 16, case["header"])
    assert derived == b64url_decode(case["derived"].encode())
    assert z == agreement.shared_secret(bob.opening()[1], alice.sealing()[1])


@pytest.mark.parametrize("case", COOKBOOK, ids=[case["title"][-60:] for case in COOKBOOK])
def test_the_cookbooks_documents_open(case: dict[str, Any]) -> None:
    keys = case["input"].get("key", case["input"].get("pwd"))
    tokens = [case["output"][name] for name in ("compact", "json", "json_flat") if name in case["output"]]
    assert tokens
    for token in tokens:
        opens(token, keys, case["input"]["plaintext"].encode())


@pytest.mark.parametrize(("name", "case"), FILES, ids=[name for name, _ in FILES])
def test_a_file_of_the_cookbook_opens(name: str, case: dict[str, Any]) -> None:
    keys = case["input"].get("key", case["input"].get("pwd"))
    for form in ("compact", "json", "json_flat"):
        if form in case["output"]:
            opens(case["output"][form], keys, case["input"]["plaintext"].encode())


def opens(token: Any, keys: Any, plaintext: bytes) -> None:
    """By every recipient, one at a time, where there are several."""
    offered = keys["keys"] if isinstance(keys, dict) and "keys" in keys else keys if isinstance(keys, list) else [keys]
    entries = token["recipients"] if isinstance(token, dict) and "recipients" in token else [None]
    assert len(offered) >= len(entries)
    for entry, jwk in zip(entries, offered, strict=False):
        header = headers_of(token if entry is None else {**token, "recipients": [entry]})
        if header["alg"] == "RSA1_5":
            with pytest.raises(ConfigurationError, match="RSA1_5"):
                key_for(jwk, header)
        else:
            assert opened(token, key_for(jwk, header), inflate="zip" in header) == plaintext


def test_the_cookbooks_nested_token_opens_and_then_verifies() -> None:
    case = load("rfc7520/6.nesting_signatures_and_encryption.json")
    outer = case["encrypt"]
    key = key_for(outer["input"]["key"], headers_of(outer["output"]["compact"]))
    inner = jwe.decrypt(outer["output"]["compact"], key).plaintext
    signing = Key.from_jwk(case["sign"]["input"]["key"], alg="PS256")
    assert jws.verify(inner, signing).payload == case["sign"]["input"]["payload"].encode()


def test_an_example_opens_with_its_own_key_only() -> None:
    case = next(case for case in COMPACT if case["id"] == "rfc7516-A.3")
    other = Key.generate("A128KW")
    with pytest.raises(DecryptionFailed):
        jwe.decrypt(case["token"], other)
