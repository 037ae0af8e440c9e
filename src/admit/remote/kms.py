"""AWS KMS as a SigningBackend: the private key never leaves it, and each token costs one request to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, Hash, HashAlgorithm

from admit.errors import ConfigurationError, InvalidKey, ServiceUnreachable, UnsupportedAlgorithm, shown
from admit.jose.encoding import b64url_encode
from admit.jose.keys import Key


class _Row(NamedTuple):
    name: str
    """What KMS calls it."""
    hash: type[HashAlgorithm]
    width: int
    """Bytes of r and of s, where the signature is DER (RFC 7518 3.4); 0 where it is used as it comes."""


_ROWS: Final = {
    "RS256": _Row("RSASSA_PKCS1_V1_5_SHA_256", SHA256, 0),
    "RS384": _Row("RSASSA_PKCS1_V1_5_SHA_384", SHA384, 0),
    "RS512": _Row("RSASSA_PKCS1_V1_5_SHA_512", SHA512, 0),
    "PS256": _Row("RSASSA_PSS_SHA_256", SHA256, 0),
    "PS384": _Row("RSASSA_PSS_SHA_384", SHA384, 0),
    "PS512": _Row("RSASSA_PSS_SHA_512", SHA512, 0),
    "ES256": _Row("ECDSA_SHA_256", SHA256, 32),
    "ES384": _Row("ECDSA_SHA_384", SHA384, 48),
    "ES512": _Row("ECDSA_SHA_512", SHA512, 66),
    "ES256K": _Row("ECDSA_SHA_256", SHA256, 32),
}
_LONGEST: Final = 4096  # bytes that KMS hashes itself; of more it takes the digest only
_CONNECT, _READ = 2, 5  # seconds


class KmsKey:
    """An asymmetric signing key in AWS KMS, for `Signer(KmsKey(...), ...)`; its public half is for the JWKS.

    key_id: an id, an ARN or an alias; an alias is followed once, now, so that later changes of it change no token's kid.
    alg: the JOSE algorithm; the key must be of that sort, and for signing. kid: by default the thumbprint (RFC 7638).
    client: a boto3 client for kms; without it one with short timeouts and the environment's credentials.

    Signing waits for the network: in asynchronous code call the Signer in a thread. Raises ConfigurationError where KMS
    has no such key, or refuses to show it, ServiceUnreachable where it does not answer.
    """

    def __init__(self, key_id: str, alg: str, *, kid: str | None = None, client: Any = None) -> None:
        row = _ROWS.get(alg)
        if row is None:
            raise UnsupportedAlgorithm(f"AWS KMS signs with {', '.join(_ROWS)}, not with {shown(alg)}")
        self._row, self._client = row, _client() if client is None else client
        with _asked("show the key"):
            answer = self._client.get_public_key(KeyId=key_id)
        if answer.get("KeyUsage") != "SIGN_VERIFY" or row.name not in answer.get("SigningAlgorithms", ()):
            raise ConfigurationError(f"this key in KMS does not sign with {alg}; make one of the right key spec")
        try:
            self.public = Key.from_der(answer["PublicKey"], alg, kid=kid)
        except InvalidKey as error:
            raise ConfigurationError(f"the key in KMS is not for {alg}: {error}") from None
        self._arn = answer["KeyId"]
        self.alg, self.kid = alg, self.public.kid

    def sign(self, data: bytes, /) -> bytes:
        """The signature of the signing input, in base64url. Raises ServiceUnreachable."""
        message, kind = data, "RAW"
        if len(data) > _LONGEST:
            digest = Hash(self._row.hash())
            digest.update(data)
            message, kind = digest.finalize(), "DIGEST"
        with _asked("sign", unavailable=True):
            answer = self._client.sign(
                KeyId=self._arn, Message=message, MessageType=kind, SigningAlgorithm=self._row.name
            )
        signature: bytes = answer["Signature"]
        if width := self._row.width:
            r, s = decode_dss_signature(signature)
            signature = r.to_bytes(width) + s.to_bytes(width)
        return b64url_encode(signature)

    def __repr__(self) -> str:
        return f"<KmsKey {self.alg} {self.kid}>"


def _client() -> Any:
    import boto3
    from botocore.config import Config

    quick = Config(connect_timeout=_CONNECT, read_timeout=_READ, retries={"mode": "standard", "max_attempts": 3})
    with _asked("be found"):
        return boto3.client("kms", config=quick)


@contextlib.contextmanager
def _asked(what: str, unavailable: bool = False) -> Iterator[None]:
    """KMS' own errors as ours, with its error code and nothing else of them: they may quote what was sent.

    unavailable: also what KMS refuses is something that may pass, so that a server answers 503.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "no code"))[:64]
        passing = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500 or "Throttl" in code
        if unavailable or passing:
            raise ServiceUnreachable(f"AWS KMS did not {what}: {code}") from None
        raise ConfigurationError(f"AWS KMS did not {what}: {code}; check the key's id, region and policy") from None
    except BotoCoreError as error:
        raise (ServiceUnreachable if unavailable else ConfigurationError)(
            f"AWS KMS did not {what}: {type(error).__name__}; check the region, the credentials and the network"
        ) from None
