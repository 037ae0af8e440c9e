"""KeySet: the keys of one issuer, by kid (RFC 7517 5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Literal

from admit.errors import ConfigurationError, InvalidKey, MalformedToken, UnknownKey, UnsupportedAlgorithm, shown
from admit.jose import jwk as jwk_form
from admit.jose.algorithms import ALGORITHMS, algorithm
from admit.jose.key_management import KEY_MANAGEMENT, key_management
from admit.jose.keys import Key

Use = Literal["sig", "enc"]
"""What the keys of a set are for (RFC 7517 4.2): signatures or encryption."""


class KeySet:
    """The keys of one issuer, by kid. Never empty; secrets and key pairs never share a set (CVE-2022-29217 and kin)."""

    __slots__ = ("_by_kid", "problems")

    def __init__(self, keys: Iterable[Key], *, problems: Iterable[str] = ()) -> None:
        self._by_kid: dict[str, Key] = {}
        if not isinstance(keys, Iterable):
            raise InvalidKey(f"a KeySet holds Key objects, and {type(keys).__name__} is no collection of them")
        for key in keys:
            if not isinstance(key, Key):
                raise InvalidKey(f"a KeySet holds Key objects, not {type(key).__name__}")
            if self._by_kid.setdefault(key.kid, key) != key:
                raise InvalidKey(f"two different keys claim the kid {shown(key.kid)}")
        if not self._by_kid:
            raise InvalidKey("a KeySet needs at least one usable key; an empty one would mean nothing is checked")
        if len({key.algorithm.symmetric for key in self}) > 1:
            raise InvalidKey("a KeySet cannot mix shared secrets with key pairs: a public key could pass for a secret")
        if len({key.algorithm.use for key in self}) > 1:
            raise InvalidKey("a KeySet is for signatures or for encryption, not for both (RFC 7517 4.2)")
        self.problems: tuple[str, ...] = tuple(problems)
        """What from_jwks passed over, and why, in words."""

    @classmethod
    def from_jwks(
        cls, jwks: Mapping[str, Any] | str | bytes, *, algorithms: Iterable[str] = (), use: Use = "sig"
    ) -> KeySet:
        """The usable keys of a JWK Set (RFC 7517 5); what could not be used is in `.problems`.

        `algorithms` says what is accepted, at most one for a key type and curve; a JWK without `alg` takes its one from
        there. `use`: which of its keys; a set never holds both sorts. Keys that conflict over a kid are all passed over.
        Raises InvalidKey where nothing usable is left.
        """
        if not isinstance(algorithms, Iterable):
            raise ConfigurationError("algorithms is a collection of names, such as ['ES256']")
        allowed = tuple(algorithms)
        check_algorithms(allowed, use)
        members = jwk_form.members_of_set(jwk_form.members(jwks))
        keys: dict[str, Key] = {}
        problems: list[str] = []
        conflicts: set[str] = set()
        for index, member in enumerate(members):
            try:
                # A member that is text is no JWK: from_jwk would read JSON inside JSON.
                key = Key.from_jwk(member if isinstance(member, Mapping) else {}, algorithms=allowed)
                if key.algorithm.use != use:
                    raise UnsupportedAlgorithm(f"its algorithm {key.alg} is not for {use!r}")
                if allowed and not any(key.alg == name or key.answers_to(name) for name in allowed):
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
            raise UnknownKey(f"no key of this issuer has the kid {shown(kid)} (it has {known})")
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


def find(keys: KeySet | Key, alg: str, kid: str | None) -> Key:
    """The one key for a token's alg and kid, among several or where only one is given. Raises as `KeySet.find` does."""
    if isinstance(keys, KeySet):
        return keys.find(alg, kid)
    if not isinstance(keys, Key):
        raise InvalidKey(f"keys come as a Key or a KeySet, not as {type(keys).__name__}")
    if kid in (None, keys.kid) and keys.answers_to(alg):
        return keys
    return KeySet([keys]).find(alg, kid)  # which says what is wrong


def sources(keys: KeySet | Key | Iterable[KeySet | Key]) -> tuple[KeySet | Key, ...]:
    """One source of keys, or several, as several. Raises InvalidKey for what is none."""
    several = (keys,) if isinstance(keys, KeySet | Key) else tuple(keys) if isinstance(keys, Iterable) else (keys,)
    for source in several:
        if not isinstance(source, KeySet | Key):
            raise InvalidKey(f"keys come as a Key or a KeySet, or as several, not as {type(source).__name__}")
    return several


def _claims_to_sign(member: Any, error: Exception) -> bool:
    """Whether a broken JWK claims its kid all the same: then nobody can say which key the issuer meant by it."""
    signs = isinstance(member, Mapping) and "alg" in member and member.get("use", "sig") == "sig"
    signs = signs and not (isinstance(member["alg"], str) and member["alg"] in KEY_MANAGEMENT)
    return signs and isinstance(error, InvalidKey) and isinstance(member.get("kid"), str)


def check_algorithms(algorithms: tuple[str, ...], use: Use = "sig") -> None:
    """Raise UnsupportedAlgorithm for a name that is none of that use, or two for one key type and curve."""
    seen: set[tuple[str, str | None]] = set()
    for name in algorithms:
        for slot in _slots(name, use):
            if slot in seen:
                raise UnsupportedAlgorithm(
                    f"two algorithms for one key type and curve: {shown(name)} repeats {slot[0]}"
                )
            seen.add(slot)


def _slots(name: str, use: Use) -> list[tuple[str, str | None]]:
    """The kinds of key that an algorithm lays claim to."""
    if use == "enc":
        managed = key_management(name)
        return [(managed.kty, crv) for crv in sorted(managed.crvs)] or [(managed.kty, str(managed.size or None))]
    rows = [ALGORITHMS["Ed25519"], ALGORITHMS["Ed448"]] if name == "EdDSA" else [algorithm(name)]
    return [(row.kty, row.name if row.kty == "AKP" else row.crv) for row in rows]
