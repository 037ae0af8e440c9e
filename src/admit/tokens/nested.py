"""Nested JWTs: signed, then encrypted, so that only the recipient can read the claims (RFC 7519 5.2, 11.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Generic, TypeVar

from admit.errors import ConfigurationError, InvalidClaim, MalformedToken
from admit.jose import jwe
from admit.jose.encoding import MAX_TOKEN, must_be_bytes_allowed
from admit.jose.header import normal_type
from admit.jose.keys import Key
from admit.jose.keyset import KeySet
from admit.tokens.claims import Claims
from admit.tokens.signer import Signer
from admit.tokens.verifier import Verifier

E = TypeVar("E")

_REPLICATED: Final = frozenset(("iss", "sub", "aud"))


class NestedSigner:
    """Signs with a Signer and encrypts to a key: its public half, or a shared secret. Raises ConfigurationError.

    enc: A256GCM unless given. The outer header says cty JWT and nothing of the claims.
    """

    def __init__(self, signer: Signer, key: Key, *, enc: str | None = None) -> None:
        if not isinstance(signer, Signer) or not isinstance(key, Key):
            raise ConfigurationError("NestedSigner takes a Signer and a Key to encrypt to")
        jwe.chosen(key.sealing()[0], enc)
        self._signer, self._key, self._enc = signer, key, enc

    def sign(self, **claims: Any) -> str:
        """An encrypted token. Arguments and errors are those of `Signer.sign`."""
        token = self._signer.sign(**claims).encode("ascii")
        return jwe.encrypt(self._key, token, enc=self._enc, header={"cty": "JWT"})


class NestedVerifier(Generic[E]):
    """Decrypts with the recipient's keys, and lets a Verifier judge what is inside. Raises ConfigurationError.

    keys: private keys, or shared secrets. enc: the content encryption accepted. Encryption shows nobody's hand, since anyone
    can encrypt to a public key; the signature inside does.
    """

    def __init__(
        self,
        verifier: Verifier[E],
        keys: Key | KeySet,
        *,
        enc: str | Iterable[str] = jwe.ANY_ENC,
        max_token: int = 2 * MAX_TOKEN,
    ) -> None:
        if not isinstance(verifier, Verifier) or not isinstance(keys, Key | KeySet):
            raise ConfigurationError("NestedVerifier takes a Verifier, and a Key or KeySet to decrypt with")
        self._keys = KeySet([keys]) if isinstance(keys, Key) else keys
        for key in self._keys:
            key.opening()
        must_be_bytes_allowed(max_token, "max_token")
        self._verifier, self._enc, self._limit = verifier, jwe.accepted(enc), max_token

    def verify(self, token: str | bytes) -> Claims[E]:
        """The claims. Raises as `jwe.decrypt` and `Verifier.verify` do, MalformedToken where no JWT is inside, and
        InvalidClaim where the outer header repeats iss, sub or aud otherwise than signed (RFC 7519 5.3)."""
        outer = jwe.decrypt(token, self._keys, enc=self._enc, limit=self._limit)
        if normal_type(outer.header.members.get("cty", "")) != "jwt":
            raise MalformedToken("the encrypted token does not say that a JWT is inside (cty, RFC 7519 5.2)")
        claims = self._verifier.verify(outer.plaintext)
        for name in _REPLICATED & outer.header.members.keys():
            if not _same(outer.header.members[name], claims.raw.get(name)):
                raise InvalidClaim(f"the header's {name} is not the {name} that was signed (RFC 7519 5.3)", name)
        return claims


def _same(one: object, other: object) -> bool:
    """One audience may stand alone or in a list (RFC 7519 4.1.3)."""
    return one == other or [one] == other or one == [other]
