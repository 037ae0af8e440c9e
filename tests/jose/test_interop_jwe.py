"""Encrypted tokens go both ways between Admit and its peers, for every algorithm that both sides have."""

from __future__ import annotations

import json
import warnings
from functools import cache
from typing import Any

import joserfc.jwe
import joserfc.jwk
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jwcrypto import jwe as jwcrypto_jwe
from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto.jwa import JWA

from admit import Key
from admit.jose import jwe, jwe_json
from admit.jose.content_encryption import CONTENT_ENCRYPTION
from admit.jose.key_management import KEY_MANAGEMENT

CURVES = ("P-256", "P-384", "P-521", "X25519", "X448")
PEERS = {
    "joserfc": (set(joserfc.jwe.JWERegistry.algorithms["alg"]), set(joserfc.jwe.JWERegistry.algorithms["enc"])),
    "jwcrypto": tuple(
        {n for n, each in JWA.algorithms_registry.items() if each.algorithm_use == use} for use in ("kex", "enc")
    ),
}


def common(peer: str) -> list[tuple[str, str]]:
    """Each key management that both have, on each curve."""
    return [
        (name, crv)
        for name, row in KEY_MANAGEMENT.items()
        for crv in (CURVES if row.crvs else ("",))
        if row.alg in PEERS[peer][0]
    ]


@pytest.mark.parametrize("peer", PEERS)
def test_what_only_one_side_has_is_known(peer: str) -> None:
    algs, encs_of_theirs = PEERS[peer]
    ours = {row.alg for row in KEY_MANAGEMENT.values()}
    assert algs - ours == {"RSA1_5"}
    assert ours - algs == {"RSA-OAEP-384", "RSA-OAEP-512"}
    assert encs_of_theirs == set(CONTENT_ENCRYPTION)


PAYLOADS = st.binary(min_size=1, max_size=200)  # jwcrypto does not read an empty one


@cache
def key(alg: str, crv: str) -> Key:
    if KEY_MANAGEMENT[alg].from_password:
        return Key.from_secret(b"correct horse battery", alg)
    return Key.generate(alg, curve=crv or "P-256")


def encs(own: Key) -> list[str]:
    direct = own.algorithm.name in CONTENT_ENCRYPTION
    return [own.algorithm.name] if direct else list(CONTENT_ENCRYPTION)


def plain(own: Key) -> dict[str, Any]:
    """Peers bind keys to no algorithm, or refuse those they do not know as one."""
    return {name: value for name, value in own.to_jwk(private=True).items() if name not in ("alg", "use")}


@pytest.mark.parametrize(("alg", "crv"), common("jwcrypto"))
@given(payload=PAYLOADS, pick=st.integers(0, 5))
@settings(max_examples=6)
def test_jwcrypto_and_admit_read_each_other(alg: str, crv: str, payload: bytes, pick: int) -> None:
    own = key(alg, crv)
    theirs, enc = jwcrypto_jwk.JWK(**plain(own)), encs(own)[pick % len(encs(own))]
    algs = [own.algorithm.alg, enc]  # type: ignore[union-attr]
    made = jwcrypto_jwe.JWE(payload, json.dumps({"alg": algs[0], "enc": enc, "kid": own.kid}), algs=algs)
    made.add_recipient(theirs)
    assert jwe.decrypt(made.serialize(compact=True), own).plaintext == payload
    assert jwe_json.decrypt(made.serialize(), own).plaintext == payload
    read = jwcrypto_jwe.JWE(algs=algs)
    if not own.algorithm.from_password:  # type: ignore[union-attr]  # it reads 16,384 iterations at most
        read.deserialize(jwe.encrypt(own, payload, enc=enc), theirs)
        assert read.payload == payload
        again = jwcrypto_jwe.JWE(algs=algs)
        again.deserialize(jwe_json.encrypt_flattened(own, payload, enc=enc, aad=b"more"), theirs)
        assert again.payload == payload


@pytest.mark.parametrize(("alg", "crv"), common("joserfc"))
@given(payload=PAYLOADS, pick=st.integers(0, 5))
@settings(max_examples=6)
def test_joserfc_and_admit_read_each_other(alg: str, crv: str, payload: bytes, pick: int) -> None:
    own = key(alg, crv)
    enc = encs(own)[pick % len(encs(own))]
    algs = [own.algorithm.alg, enc]  # type: ignore[union-attr]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs: Any = joserfc.jwk.import_key(plain(own))
        made = joserfc.jwe.encrypt_compact({"alg": algs[0], "enc": enc, "kid": own.kid}, payload, theirs, algs)
        assert jwe.decrypt(made, own).plaintext == payload
        if not own.algorithm.from_password:  # type: ignore[union-attr]
            token = jwe.encrypt(own, payload, enc=enc)
            assert joserfc.jwe.decrypt_compact(token, theirs, algs).plaintext == payload
