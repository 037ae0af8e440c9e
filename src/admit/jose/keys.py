"""Key: it is bound to one algorithm, so no token's header can choose another (RFC 7517, RFC 8725 3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from hmac import compare_digest
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa, x448, x25519

from admit import clock
from admit.errors import InvalidKey, shown
from admit.jose import jwk as jwk_form
from admit.jose import pem as pem_form
from admit.jose.algorithms import ALGORITHMS, Algorithm, Check, Sign, algorithm
from admit.jose.content_encryption import CONTENT_ENCRYPTION
from admit.jose.key_management import KEY_MANAGEMENT, KeyManagement
from admit.jose.strength import RSA_BITS, refuse_unfit, refuse_weak

Row = Algorithm | KeyManagement
"""What a key is for: a row of the table of signatures, or of that of encryption."""
_OPS: Final = {
    "sig": frozenset(("sign", "verify")),
    "enc": frozenset(("encrypt", "decrypt", "wrapKey", "unwrapKey", "deriveKey", "deriveBits")),
}
"""The registered operations by use: a key is not for both, lest one be turned against the other."""
MAX_KID: Final = 256  # thumbprints have 43 characters, a certificate's URL rarely over 200


class Key:
    """One key for one algorithm. Immutable; its repr never shows secrets.

    Made by `generate`, `from_secret`, `from_jwk`, `from_pem` or `from_der`; every one of them refuses weak or malformed
    keys with InvalidKey and foreign algorithms with UnsupportedAlgorithm.
    """

    __slots__ = ("__dict__", "_material", "alg", "algorithm", "key_ops", "kid")
    alg: str
    """The name a header carries: the algorithm's own, or the alias `EdDSA` where that was asked for."""
    algorithm: Row
    kid: str
    _material: jwk_form.Material
    key_ops: frozenset[str] | None
    """What the key may be used for (RFC 7517 4.3); None: not limited."""

    def __init__(
        self, material: jwk_form.Material, row: Row, alg: str, kid: str | None, key_ops: frozenset[str] | None
    ) -> None:
        if isinstance(row, KeyManagement):
            refuse_unfit(material[1], row)
        else:
            refuse_weak(material[1], row)
        if kid is None:
            # A secret's hash would let anybody who sees the header test guesses of the secret.
            kid = clock.random_id() if row.symmetric else jwk_form.thumbprint(material)
        if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID or not kid.isprintable():
            raise InvalidKey(f"kid must be a string of 1 to {MAX_KID} printable characters")
        values = {"_material": material, "algorithm": row, "alg": alg, "kid": kid, "key_ops": key_ops}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Key is immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Key is immutable: {name} cannot be deleted")

    @classmethod
    def generate(cls, alg: str, *, kid: str | None = None, bits: int = 2048, curve: str = "P-256") -> Key:
        """A fresh private key (or secret). `bits`: the modulus, of RSA only; `curve`: of ECDH-ES only. RFC 7518 3.1, 4.1.

        A key for `dir` is a content key, and goes by its enc: `Key.generate("A256GCM")`.
        """
        row = _row(alg, None)
        private: Any
        if row.symmetric:
            private = clock.random_bytes(row.size if isinstance(row, KeyManagement) else row.minimum_bits // 8)
            return cls((private, private), row, alg, kid, None)
        if row.kty == "RSA":
            if type(bits) is not int or bits not in RSA_BITS:
                raise InvalidKey(f"an RSA key has 2048 to 8192 bits, not {shown(bits)}")
            private = rsa.generate_private_key(65537, bits)
        elif isinstance(row, KeyManagement):
            private = _agreement_key(row, curve)
        elif row.kty == "EC":
            private = ec.generate_private_key(jwk_form.curve(row.crv or ""))
        else:
            private = row.private_type.generate()  # type: ignore[union-attr]
        return cls((private, private.public_key()), row, alg, kid, None)

    @classmethod
    def from_secret(cls, secret: bytes, alg: str, *, kid: str | None = None) -> Key:
        """A shared secret: for HMAC at least as long as the hash (RFC 7518 3.2), for AES as long as its key, for PBES2 a
        password of 8 bytes or more. Its kid is random unless given."""
        row = _row(alg, None)
        if not row.symmetric:
            raise InvalidKey(f"{row.name} takes a key pair, not a secret; use Key.from_pem or Key.from_jwk")
        if not isinstance(secret, bytes):
            raise InvalidKey("a secret is bytes; encode text yourself, so that nobody has to guess how")
        return cls((secret, secret), row, row.name, kid, None)

    @classmethod
    def from_pem(cls, data: bytes | str, alg: str, *, password: bytes | None = None, kid: str | None = None) -> Key:
        """A key from PEM: PKCS#8, PKCS#1, SEC1, SPKI or an X.509 certificate (whose trust is the caller's affair)."""
        text = data.encode("ascii", "replace") if isinstance(data, str) else data
        return cls._from_material(pem_form.read(text, alg, password), alg, kid)

    @classmethod
    def from_der(cls, data: bytes, alg: str, *, password: bytes | None = None, kid: str | None = None) -> Key:
        """A key from DER: PKCS#8, PKCS#1, SEC1, SPKI or an X.509 certificate."""
        return cls._from_material(pem_form.read_der(data, alg, password), alg, kid)

    @classmethod
    def _from_material(cls, material: jwk_form.Material, alg: str, kid: str | None) -> Key:
        public = material[1]
        crv = "Ed448" if isinstance(public, ed448.Ed448PublicKey) else None
        return cls(material, _row(alg, crv), alg, kid, None)

    @classmethod
    def from_jwk(
        cls, jwk: Mapping[str, Any] | str | bytes, *, alg: str | None = None, algorithms: Iterable[str] = ()
    ) -> Key:
        """A key from a JWK, as a mapping or JSON text (RFC 7517).

        `alg` is for a JWK that carries none. EC and OKP keys tell it by their curve; RSA keys and secrets need it said
        here, by `alg` or by the one of `algorithms` that fits. `use`, `key_ops` and `crv` are enforced. One with
        `"alg": "dir"` needs the name of its enc said; one for PBES2, whose every use costs much, `alg` in any case.
        """
        members = jwk_form.members(jwk)
        for name in ("alg", "kid"):
            if name in members and not isinstance(members[name], str):
                raise InvalidKey(f"the JWK's {name} is not a string")
        own: str | None = members.get("alg")
        if own == "dir":
            own = alg if isinstance(alg, str) and alg in CONTENT_ENCRYPTION else None
            if own is None:
                raise InvalidKey(
                    f"a key for dir is bound to one enc: pass alg= with one of {', '.join(CONTENT_ENCRYPTION)}"
                )
        if own is not None and alg is not None and _row(own, members.get("crv")) is not _row(alg, members.get("crv")):
            raise InvalidKey(f"the JWK is for {shown(own)}, and {shown(alg)} was asked for")
        name = own if own is not None else alg if alg is not None else _implied(members, tuple(algorithms))
        row = _row(name, members.get("crv"))
        if isinstance(row, KeyManagement) and row.from_password and alg is None:
            raise InvalidKey(f"a password for {row.name} is read only where alg= asks for it")
        if not row.takes(members.get("kty"), members.get("crv")):
            found = shown(members.get("crv") or members.get("kty"))
            raise InvalidKey(f"{row.name} takes a key of type {_takes(row)}, this JWK's is {found}")
        if "use" in members and members["use"] != row.use:  # null is not absence
            raise InvalidKey(f"the JWK's use is {shown(members['use'])}, and {row.name} is for {row.use!r}")
        ops = members.get("key_ops")
        if "key_ops" in members:
            if not isinstance(ops, list | tuple) or not all(isinstance(op, str) for op in ops):
                raise InvalidKey("the JWK's key_ops is not a list of strings")
            if not ops and "d" not in members and _agrees(row):
                ops = None  # as Web Cryptography writes it: the public half of an agreement has nothing to do itself
            else:
                _check_ops(ops, row)
        return cls(jwk_form.read(members), row, name, members.get("kid"), None if ops is None else frozenset(ops))

    @property
    def private(self) -> bool:
        """Whether this key holds a private half or a secret."""
        return self._material[0] is not None

    def public(self) -> Key:
        """The public half, with the same kid. Raises InvalidKey for a secret, which has none."""
        if self.algorithm.symmetric:
            raise InvalidKey("a shared secret has no public half: whoever verifies with it can also sign")
        ops = None if self.key_ops is None else self.algorithm.public_ops
        return Key((None, self._material[1]), self.algorithm, self.alg, self.kid, ops)

    def to_jwk(self, *, private: bool = False) -> dict[str, Any]:
        """The JWK: the public members, unless `private=True`. Raises InvalidKey for a half this key does not have."""
        members: dict[str, Any] = dict(jwk_form.write(self._material, private=private))
        members |= {"alg": self.alg, "kid": self.kid, "use": self.algorithm.use}
        if self.key_ops is not None:
            del members["use"]  # RFC 7517 4.3: not both
            members["key_ops"] = sorted(self.key_ops)
        return members

    def to_pem(self, *, private: bool = False, password: bytes | None = None) -> bytes:
        """SPKI, or with `private=True` PKCS#8, encrypted where a password is given."""
        return pem_form.write(self._material, private=private, password=password)

    def to_der(self, *, private: bool = False, password: bytes | None = None) -> bytes:
        """As `to_pem`, in DER."""
        return pem_form.write(self._material, private=private, password=password, encoding="DER")

    def thumbprint(self) -> str:
        """The JWK thumbprint, SHA-256 in base64url (RFC 7638). Keep that of a secret to yourself."""
        return jwk_form.thumbprint(self._material)

    def thumbprint_uri(self) -> str:
        """The thumbprint as a URI (RFC 9278)."""
        return f"urn:ietf:params:oauth:jwk-thumbprint:sha-256:{self.thumbprint()}"

    @cached_property
    def sign(self) -> Sign:
        """The prepared signer: signing input -> signature in base64url. Raises InvalidKey where it may not sign."""
        row = self.algorithm
        if isinstance(row, KeyManagement) or not self._may(private=True):
            raise InvalidKey(f"key {shown(self.kid)} cannot sign: public, for encryption, or forbidden by its key_ops")
        return row.make_signer(row, self._material[0])

    @cached_property
    def check(self) -> Check:
        """The prepared checker: (signing input, signature in base64url) -> None, or BadSignature."""
        row = self.algorithm
        if isinstance(row, KeyManagement) or not self._may(private=False):
            raise InvalidKey(f"key {shown(self.kid)} may not verify: for encryption, or forbidden by its key_ops")
        return row.make_checker(row, self._material[1])

    def sealing(self) -> tuple[KeyManagement, Any]:
        """The row and the half that encrypts to this key's holder. Raises InvalidKey where it may not."""
        row = self.algorithm
        if not isinstance(row, KeyManagement) or not self._may(private=False):
            raise InvalidKey(f"key {shown(self.kid)} cannot encrypt: for signatures, or forbidden by its key_ops")
        return row, self._material[1]

    def opening(self) -> tuple[KeyManagement, Any]:
        """The row and the half that decrypts. Raises InvalidKey where it may not."""
        row = self.algorithm
        if not isinstance(row, KeyManagement) or not self._may(private=True):
            raise InvalidKey(
                f"key {shown(self.kid)} cannot decrypt: public, for signatures, or forbidden by its key_ops"
            )
        return row, self._material[0]

    def _may(self, *, private: bool) -> bool:
        """Whether it has that half, and its key_ops allow what that half is for."""
        needed = self.algorithm.private_ops if private else self.algorithm.public_ops
        return (self.private or not private) and (self.key_ops is None or not needed.isdisjoint(self.key_ops))

    def answers_to(self, alg: str) -> bool:
        """Whether a header's `alg` is this key's algorithm or its alias; case matters."""
        return self.algorithm.answers_to(alg)

    def _identity(self) -> tuple[str, str, bool, frozenset[str] | None]:
        return self.algorithm.name, self.kid, self.private, self.key_ops

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Key) or self._identity() != other._identity():
            return False
        return compare_digest(self.thumbprint(), other.thumbprint())  # that of a secret tells about the secret

    def __hash__(self) -> int:
        return hash(self._identity()[:2])

    def __repr__(self) -> str:
        half = "secret" if self.algorithm.symmetric else "private" if self.private else "public"
        return f"<Key {self.alg} {half} kid={shown(self.kid)}>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a Key is not pickled: export it on purpose, with to_jwk or to_pem")


def _row(alg: str, crv: object) -> Row:
    if isinstance(alg, str) and alg in KEY_MANAGEMENT:
        return KEY_MANAGEMENT[alg]
    if alg == "EdDSA":
        return ALGORITHMS["Ed448" if crv == "Ed448" else "Ed25519"]
    return algorithm(alg)


def _agrees(row: Row) -> bool:
    return isinstance(row, KeyManagement) and bool(row.crvs)


def _check_ops(ops: Sequence[str], row: Row) -> None:
    known = row.public_ops | row.private_ops
    if len(set(ops)) != len(ops) or known.isdisjoint(ops):
        allowed = " or ".join(sorted(known))
        raise InvalidKey(f"the JWK's key_ops repeats itself or does not allow {allowed} (RFC 7517 4.3)")
    foreign = _OPS["enc" if row.use == "sig" else "sig"].intersection(ops)
    if foreign:
        raise InvalidKey(f"the JWK's key_ops allow {min(foreign)}, and {row.name} is for {row.use!r} (RFC 7517 4.3)")


def _takes(row: Row) -> str:
    return " or ".join(sorted(row.crvs)) if isinstance(row, KeyManagement) and row.crvs else _crv(row) or row.kty


def _crv(row: Row) -> str | None:
    return None if isinstance(row, KeyManagement) else row.crv


def _agreement_key(row: KeyManagement, curve: str) -> Any:
    if not isinstance(curve, str) or curve not in row.crvs:
        raise InvalidKey(f"{row.name} takes a key on one of {', '.join(sorted(row.crvs))}, not {shown(curve)}")
    others: dict[str, Any] = {"X25519": x25519.X25519PrivateKey, "X448": x448.X448PrivateKey}
    return others[curve].generate() if curve in others else ec.generate_private_key(jwk_form.curve(curve))


def _implied(members: Mapping[str, Any], algorithms: tuple[str, ...]) -> str:
    """The algorithm of a JWK that names none: what the caller expects of its kind, or its curve's only one."""
    kty, crv = members.get("kty"), members.get("crv")
    rows: list[Row] = [_row(name, crv) for name in algorithms]
    if not algorithms and kty in ("EC", "OKP"):
        rows = list(ALGORITHMS.values())
    fitting = {row.name for row in rows if row.takes(kty, crv)}
    if len(fitting) != 1:
        raise InvalidKey(
            f"the JWK names no alg, and nothing says which one a {shown(crv or kty)} key is for; pass alg="
        )
    return fitting.pop()
