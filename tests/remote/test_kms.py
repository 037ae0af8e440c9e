"""A key that stays in AWS KMS: its signatures verify like any other's, and its refusals are ours."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha384
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import load_der_public_key

from admit import Key, KeySet, Signer, Verifier
from admit.errors import ConfigurationError, ServiceUnreachable, UnsupportedAlgorithm
from admit.jose.encoding import b64url_decode
from admit.remote.kms import KmsKey

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")

SPECS = {
    "RS256": "RSA_2048",
    "ES256": "ECC_NIST_P256",
    "ES384": "ECC_NIST_P384",
    "ES512": "ECC_NIST_P521",
    "ES256K": "ECC_SECG_P256K1",
}
ISSUER = "https://auth.example"


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with moto.mock_aws():
        yield boto3.client("kms")


def made(kms: Any, spec: str, usage: str = "SIGN_VERIFY") -> str:
    return str(kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"])


@pytest.mark.parametrize("alg", SPECS)
def test_tokens_signed_in_kms_verify_with_its_public_half(kms: Any, alg: str) -> None:
    key = KmsKey(made(kms, SPECS[alg]), alg)
    assert (key.alg, key.kid) == (alg, key.public.thumbprint())
    signer = Signer(key, issuer=ISSUER, audience="orders")
    verifier = Verifier(KeySet([key.public]), issuer=ISSUER, audience="orders")
    for number in range(4):  # r and s are shorter than their width now and then
        assert verifier.verify(signer.sign(sub=f"u{number}", client_id="web")).sub == f"u{number}"
    assert not key.public.private


def test_pss_is_what_kms_calls_it(kms: Any) -> None:
    # AWS documents a salt as long as the digest, which is what RFC 7518 3.5 asks for; moto's is as long as can be.
    key = KmsKey(made(kms, "RSA_2048"), "PS384", client=kms)
    public: Any = load_der_public_key(key.public.to_der())
    public.verify(b64url_decode(key.sign(b"data")), b"data", PSS(MGF1(SHA384()), PSS.AUTO), SHA384())


def test_an_alias_is_followed_once(kms: Any) -> None:
    first, second = made(kms, "ECC_NIST_P256"), made(kms, "ECC_NIST_P256")
    kms.create_alias(AliasName="alias/tokens", TargetKeyId=first)
    key = KmsKey("alias/tokens", "ES256", client=kms)
    kms.update_alias(AliasName="alias/tokens", TargetKeyId=second)
    token = Signer(key, issuer=ISSUER, audience="orders").sign(sub="alice", client_id="web")
    Verifier(KeySet([key.public]), issuer=ISSUER, audience="orders").verify(token)


def test_a_kid_of_ones_own_is_kept(kms: Any) -> None:
    assert KmsKey(made(kms, "ECC_NIST_P256"), "ES256", kid="2026-11").kid == "2026-11"


@pytest.mark.parametrize(
    ("spec", "usage", "alg"),
    [
        ("ECC_NIST_P384", "SIGN_VERIFY", "ES256"),
        ("RSA_2048", "SIGN_VERIFY", "ES256"),
        ("ECC_NIST_P256", "SIGN_VERIFY", "RS256"),
        ("ECC_NIST_P256", "SIGN_VERIFY", "ES256K"),
        ("RSA_2048", "ENCRYPT_DECRYPT", "RS256"),
    ],
)
def test_a_key_of_another_sort_is_refused_when_it_is_named(kms: Any, spec: str, usage: str, alg: str) -> None:
    with pytest.raises(ConfigurationError):
        KmsKey(made(kms, spec, usage), alg, client=kms)


@pytest.mark.parametrize("alg", ["HS256", "none", "Ed25519", "RS1"])
def test_what_kms_cannot_sign_with_is_refused_before_it_is_asked(alg: str) -> None:
    with pytest.raises(UnsupportedAlgorithm):
        KmsKey("alias/tokens", alg, client=object())


def test_a_key_that_is_not_there_says_so(kms: Any) -> None:
    with pytest.raises(ConfigurationError, match="NotFoundException"):
        KmsKey("alias/nothing", "ES256", client=kms)


def test_a_key_that_is_disabled_later_means_try_again_and_says_nothing_of_the_token(kms: Any) -> None:
    name = made(kms, "ECC_NIST_P256")
    signer = Signer(KmsKey(name, "ES256", client=kms), issuer=ISSUER, audience="orders")
    kms.schedule_key_deletion(KeyId=name, PendingWindowInDays=7)
    kms.meta.events.register("before-call.kms.Sign", refuse)
    with pytest.raises(ServiceUnreachable) as refused:
        signer.sign(sub="alice", client_id="web")
    assert "eyJ" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_of_a_long_token_the_digest_is_sent(kms: Any) -> None:
    asked: list[dict[str, Any]] = []
    kms.meta.events.register("before-parameter-build.kms.Sign", lambda params, **_: asked.append(params))
    key = KmsKey(made(kms, "ECC_NIST_P384"), "ES384", client=kms)
    for size in (4096, 4097):
        key.sign(b"x" * size)
    assert [(each["MessageType"], each["Message"]) for each in asked] == [
        ("RAW", b"x" * 4096),
        ("DIGEST", sha384(b"x" * 4097).digest()),
    ]


def refuse(**_: object) -> None:
    from botocore.exceptions import ClientError

    body: Any = {
        "Error": {"Code": "DisabledException", "Message": "eyJ..."},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }
    raise ClientError(body, "Sign")


def test_without_a_network_building_says_so(dead_port: int) -> None:
    from botocore.config import Config

    client = boto3.client(
        "kms",
        region_name="eu-central-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        endpoint_url=f"http://127.0.0.1:{dead_port}",
        config=Config(connect_timeout=1, retries={"total_max_attempts": 1}),
    )
    with pytest.raises(ConfigurationError, match="EndpointConnectionError"):
        KmsKey("alias/tokens", "ES256", client=client)


def test_a_backend_of_ones_own_is_used_the_same_way() -> None:
    key = Key.generate("ES256")

    class Remote:
        alg, kid = key.alg, key.kid

        def sign(self, data: bytes, /) -> bytes:
            return key.sign(data)

    token = Signer(Remote(), issuer=ISSUER, audience="orders").sign(sub="alice", client_id="web")
    assert Verifier(KeySet([key.public()]), issuer=ISSUER, audience="orders").verify(token).sub == "alice"
