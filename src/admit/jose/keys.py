"""Key and KeySet: a key is bound to one algorithm, so no token's header can choose another (RFC 7517, RFC 8725 3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from hmac import compare_digest
from itertools import islice
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa

from admit import clock
from admit.errors import InvalidKey, MalformedToken, UnknownKey, UnsupportedAlgorithm, shown
from admit.jose import jwk as jwk_form
from admit.jose import pem as pem_form
from admit.jose.algorithms import ALGORITHMS, Algorithm, Check, Sign, algorithm
from admit.jose.strength import RSA_BITS, refuse_weak

MAX_KID: Final = 256  # thumbprints have 43 characters, a certificate's URL rarely over 200


class Key:
    """One key for one algorithm. Immutable; its repr never shows secrets.

    Made by `generate`, `from_secret`, `from_jwk`, `from_pem` or `from_der`; every one of them refuses weak or malformed
    keys with InvalidKey and foreign algorithms with UnsupportedAlgorithm.
    """

    __slots__ = ("__dict__", "_material", "alg", "algorithm", "key_ops", "kid")
    alg: str
    """The name a header carries: the algorithm's own, or the alias `EdDSA` where that was asked for."""
    algorithm: Algorithm
    kid: str
    _material: jwk_form.Material
    key_ops: frozenset[str] | None
    """What the key may be used for (RFC 7517 4.3); None: not limited."""

    def __init__(
        self, material: jwk_form.Material, row: Algorithm, alg: str, kid: str | None, key_ops: frozenset[str] | None
    ) -> None:
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

    @classmethod
    def generate(cls, alg: str, *, kid: str | None = None, bits: int = 2048) -> Key:
        """A fresh private key (or secret). `bits` is the modulus size, for RSA only. RFC 7518 3.1, RFC 9864."""
        row = _row(alg, None)
        private: Any
        if row.symmetric:
            private = clock.random_bytes(row.minimum_bits // 8)
            return cls((private, private), row, alg, kid, None)
        if row.kty == "RSA":
            if type(bits) is not int or bits not in RSA_BITS:
                raise InvalidKey(f"an RSA key has 2048 to 8192 bits, not {shown(bits)}")
            private = rsa.generate_private_key(65537, bits)
        elif row.kty == "EC":
            private = ec.generate_private_key(jwk_form.curve(row.crv or ""))
        else:
            private = row.private_type.generate()  # type: ignore[union-attr]
        return cls((private, private.public_key()), row, alg, kid, None)

    @classmethod
    def from_secret(cls, secret: bytes, alg: str, *, kid: str | None = None) -> Key:
        """A shared secret for HMAC, at least as long as the hash (RFC 7518 3.2). Its kid is random unless given."""
        row = algorithm(alg)
        if not row.symmetric:
            raise InvalidKey(f"{row.name} takes a key pair, not a secret; use Key.from_pem or Key.from_jwk")
        if not isinstance(secret, bytes):
            raise InvalidKey("a secret is bytes; encode text yourself, so that nobody has to guess how")
        return cls((secret, secret), row, row.name, kid, None)

    @classmethod
    def from_pem(cls, data: bytes | str, alg: str, *, password: bytes | None = None, kid: str | None = None) -> Key:
        """A key from PEM: PKCS#8, PKCS#1, SEC1, SPKI or an X.509 certificate (whose trust is the caller's affair)."""
        text = data.encode("ascii", "replace") if isinstance(data, str) else data
        return cls._from_material(pem_form.read(text, password), alg, kid)

    @classmethod
    def from_der(cls, data: bytes, alg: str, *, password: bytes | None = None, kid: str | None = None) -> Key:
        """A key from DER: PKCS#8, PKCS#1, SEC1, SPKI or an X.509 certificate."""
        return cls._from_material(pem_form.read_der(data, password), alg, kid)

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
        here, by `alg` or by the one of `algorithms` that fits. `use`, `key_ops` and `crv` are enforced.
        """
        members = jwk_form.members(jwk)
        for name in ("alg", "kid"):
            if name in members and not isinstance(members[name], str):
                raise InvalidKey(f"the JWK's {name} is not a string")
        own: str | None = members.get("alg")
        if own is not None and alg is not None and _row(own, members.get("crv")) is not _row(alg, members.get("crv")):
            raise InvalidKey(f"the JWK is for {shown(own)}, and {shown(alg)} was asked for")
        name = own if own is not None else alg if alg is not None else _implied(members, tuple(algorithms))
        row = _row(name, members.get("crv"))
        if row.kty != members.get("kty") or (row.crv is not None and row.crv != members.get("crv")):
            found = shown(members.get("crv") or members.get("kty"))
            raise InvalidKey(f"{row.name} takes a key of type {row.crv or row.kty}, this JWK's is {found}")
        if "use" in members and members["use"] != "sig":  # null is not absence
            raise InvalidKey(f"the JWK's use is {shown(members['use'])}, and {row.name} signs ('sig')")
        ops = members.get("key_ops")
        if "key_ops" in members:
            if not isinstance(ops, list | tuple) or not all(isinstance(op, str) for op in ops) or not ops:
                raise InvalidKey("the JWK's key_ops is not a list of strings")
            if len(set(ops)) != len(ops) or not {"sign", "verify"} & set(ops):
                raise InvalidKey("the JWK's key_ops repeats itself or allows neither sign nor verify (RFC 7517 4.3)")
        return cls(jwk_form.read(members), row, name, members.get("kid"), None if ops is None else frozenset(ops))

    @property
    def private(self) -> bool:
        """Whether this key holds a private half or a secret."""
        return self._material[0] is not None

    def public(self) -> Key:
        """The public half, with the same kid. Raises InvalidKey for a secret, which has none."""
        if self.algorithm.symmetric:
            raise InvalidKey("a shared secret has no public half: whoever verifies with it can also sign")
        ops = None if self.key_ops is None else frozenset(("verify",))
        return Key((None, self._material[1]), self.algorithm, self.alg, self.kid, ops)

    def to_jwk(self, *, private: bool = False) -> dict[str, Any]:
        """The JWK: the public members, unless `private=True`. Raises InvalidKey for a half this key does not have."""
        members: dict[str, Any] = dict(jwk_form.write(self._material, private=private))
        members |= {"alg": self.alg, "kid": self.kid, "use": "sig"}
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
        if not self.private or (self.key_ops is not None and "sign" not in self.key_ops):
            raise InvalidKey(f"key {shown(self.kid)} cannot sign: it is public, or its key_ops forbid it")
        return self.algorithm.make_signer(self.algorithm, self._material[0])

    @cached_property
    def check(self) -> Check:
        """The prepared checker: (signing input, signature in base64url) -> None, or BadSignature."""
        if self.key_ops is not None and "verify" not in self.key_ops:
            raise InvalidKey(f"key {shown(self.kid)} may not verify: its key_ops forbid it")
        return self.algorithm.make_checker(self.algorithm, self._material[1])

    def answers_to(self, alg: str) -> bool:
        """Whether a header's `alg` is this key's algorithm or its alias; case matters."""
        return alg == self.algorithm.name or alg in self.algorithm.aliases

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


class KeySet:
    """The keys of one issuer, by kid. Never empty; secrets and key pairs never share a set (CVE-2022-29217 and kin)."""

    __slots__ = ("_by_kid", "problems")

    def __init__(self, keys: Iterable[Key], *, problems: Iterable[str] = ()) -> None:
        self._by_kid: dict[str, Key] = {}
        for key in keys:
            if not isinstance(key, Key):
                raise InvalidKey(f"a KeySet holds Key objects, not {type(key).__name__}")
            if self._by_kid.setdefault(key.kid, key) != key:
                raise InvalidKey(f"two different keys claim the kid {shown(key.kid)}")
        if not self._by_kid:
            raise InvalidKey("a KeySet needs at least one usable key; an empty one would mean nothing is checked")
        if len({key.algorithm.symmetric for key in self}) > 1:
            raise InvalidKey("a KeySet cannot mix shared secrets with key pairs: a public key could pass for a secret")
        self.problems: tuple[str, ...] = tuple(problems)
        """What from_jwks passed over, and why, in words."""

    @classmethod
    def from_jwks(cls, jwks: Mapping[str, Any] | str | bytes, *, algorithms: Iterable[str] = ()) -> KeySet:
        """The usable keys of a JWK Set (RFC 7517 5); what could not be used is in `.problems`.

        `algorithms` says what is accepted, at most one for a key type and curve; a JWK without `alg` takes its one from
        there. Keys that conflict over a kid are all passed over. Raises InvalidKey where nothing usable is left.
        """
        allowed = tuple(algorithms)
        check_algorithms(allowed)
        members = jwk_form.members(jwks).get("keys")
        if not isinstance(members, list):
            raise InvalidKey("a JWK Set is an object whose member keys is a list")
        keys: dict[str, Key] = {}
        problems: list[str] = []
        conflicts: set[str] = set()
        for index, member in enumerate(members):
            try:
                # A member that is text is no JWK: from_jwk would read JSON inside JSON.
                key = Key.from_jwk(member if isinstance(member, Mapping) else {}, algorithms=allowed)
                if allowed and not any(key.answers_to(name) for name in allowed):
                    raise UnsupportedAlgorithm(f"its algorithm {key.alg} is not among those expected")
            except (InvalidKey, UnsupportedAlgorithm) as error:
                problems.append(f"key {index}: {error}")
                if _claims_to_sign(member, error):
                    conflicts.add(member["kid"])
                continue
            if keys.setdefault(key.kid, key) != key:
                conflicts.add(key.kid)
        problems += [f"kid {shown(kid)} is claimed by different keys" for kid in sorted(conflicts & keys.keys())]
        usable = [key for kid, key in keys.items() if kid not in conflicts]
        if not usable:
            raise InvalidKey("the JWK Set holds no usable key: " + ("; ".join(problems[:5]) or "it is empty"))
        return cls(usable, problems=problems)

    def find(self, alg: str, kid: str | None) -> Key:
        """The one key for a token's alg and kid. Raises UnknownKey, and MalformedToken where alg is another."""
        if kid is None:
            fitting = [key for key in self if key.answers_to(alg)]
            if len(fitting) != 1:
                raise UnknownKey(f"the token names no kid, and {len(fitting)} keys of this issuer are for {shown(alg)}")
            return fitting[0]
        key = self._by_kid.get(kid)
        if key is None:
            known = ", ".join(shown(key.kid) for key in islice(self, 4)) + (", ..." if len(self) > 4 else "")
            raise UnknownKey(f"no key of this issuer has the kid {shown(kid)}, but {known}")
        if not key.answers_to(alg):
            raise MalformedToken(f"the header says {shown(alg)}, and the key it names is for {key.algorithm.name} only")
        return key

    def get(self, kid: str) -> Key | None:
        """The key of that kid, or None."""
        return self._by_kid.get(kid)

    def current(self) -> KeySet:
        """Itself: a fixed set is the simplest source of keys."""
        return self

    def missing(self, kid: str | None) -> KeySet:  # noqa: ARG002
        """Itself: a fixed set has nowhere to look a kid up."""
        return self

    def public(self) -> KeySet:
        """The same keys without their private halves. Raises InvalidKey where they are secrets."""
        return KeySet([key.public() for key in self])

    def to_jwks(self) -> dict[str, Any]:
        """The JWK Set to publish: public members only. Raises InvalidKey for secrets."""
        return {"keys": [key.to_jwk() for key in self]}

    def __iter__(self) -> Iterator[Key]:
        return iter(self._by_kid.values())

    def __len__(self) -> int:
        return len(self._by_kid)

    def __contains__(self, kid: object) -> bool:
        return kid in self._by_kid

    def __repr__(self) -> str:
        return f"<KeySet of {len(self)}: {', '.join(f'{key.alg} {shown(key.kid)}' for key in self)}>"


def _claims_to_sign(member: Any, error: Exception) -> bool:
    """Whether a broken JWK claims its kid all the same: then nobody can say which key the issuer meant by it."""
    signs = isinstance(member, Mapping) and "alg" in member and member.get("use", "sig") == "sig"
    return signs and isinstance(error, InvalidKey) and isinstance(member.get("kid"), str)


def _row(alg: str, crv: object) -> Algorithm:
    if alg == "EdDSA":
        return ALGORITHMS["Ed448" if crv == "Ed448" else "Ed25519"]
    return algorithm(alg)


def _implied(members: Mapping[str, Any], algorithms: tuple[str, ...]) -> str:
    """The algorithm of a JWK that names none: what the caller expects of its kind, or its curve's only one."""
    kty, crv = members.get("kty"), members.get("crv")
    rows = [_row(name, crv) for name in algorithms]
    if not algorithms and kty in ("EC", "OKP"):
        rows = list(ALGORITHMS.values())
    fitting = {row.name for row in rows if row.kty == kty and row.crv in (None, crv)}
    if len(fitting) != 1:
        raise InvalidKey(
            f"the JWK names no alg, and nothing says which one a {shown(crv or kty)} key is for; pass alg="
        )
    return fitting.pop()


def check_algorithms(algorithms: tuple[str, ...]) -> None:
    """Raise UnsupportedAlgorithm for a name that is none, or two for one key type and curve."""
    seen: set[tuple[str, str | None]] = set()
    for name in algorithms:
        rows = [ALGORITHMS["Ed25519"], ALGORITHMS["Ed448"]] if name == "EdDSA" else [algorithm(name)]
        for row in rows:
            slot = (row.kty, row.name if row.kty == "AKP" else row.crv)
            if slot in seen:
                raise UnsupportedAlgorithm(
                    f"two algorithms for one key type and curve: {shown(name)} repeats {slot[0]}"
                )
            seen.add(slot)
