"""What should not be in a token. A payload can be read by anyone who holds it: secrets are refused at issue (RFC 7519 12)."""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from admit.errors import RefusedClaims, shown
from admit.jose.encoding import MAX_DEPTH, MAX_INTEGER
from admit.jose.jwk import PRIVATE_MEMBERS

# Exact names after folding case and separators: `password` and `passWord`, but not `password_changed_at`.
_SECRET_NAMES: Final = frozenset(
    (
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "secret",
        "clientsecret",
        "secretkey",
        "secretaccesskey",
        "apikey",
        "apisecret",
        "privatekey",
        "accesstoken",
        "refreshtoken",
        "idtoken",
        "bearertoken",
        "sessiontoken",
        "authtoken",
        "cardnumber",
        "creditcardnumber",
        "cvv",
        "cvc",
        "pin",
        "otp",
        "totpsecret",
        "passwordhash",
        "hashedpassword",
        "recoverycodes",
    )
)
_SEPARATORS: Final = re.compile(r"[-_. ]")
_LEVELS: Final = range(MAX_DEPTH - 1)
_INTEGER_BITS: Final = (MAX_INTEGER - 1).bit_length()
_PRIVATE_PEM: Final = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY")
_OUR_SECRET: Final = re.compile(r"admit_(?:rt|cs)_[A-Za-z0-9_-]{43}")
"""A refresh token, or a client's secret: 32 bytes at least, in base64url."""


def refuse_secrets(claims: Mapping[str, object], allowed: frozenset[str] = frozenset()) -> None:
    """Raise RefusedClaims where claims, at any depth, hold a secret by name or a private key by structure, or what strict
    JSON cannot say. `allowed` names claims that are honest all the same, exactly as written."""
    _refuse_names(tuple(claims), allowed)
    level: Iterable[object] = claims.values()
    for _ in _LEVELS:
        below: list[object] = []
        for value in level:  # the usual types first, by one look; everything else is taken apart below
            kind = type(value)
            if kind is str:
                if "-----BEGIN" in value or "admit_" in value:  # type: ignore[operator]
                    _look_into(value, below, allowed)
            elif kind is int:
                if value.bit_length() > _INTEGER_BITS:  # type: ignore[attr-defined]
                    _look_into(value, below, allowed)
            elif kind is list:
                below += value  # type: ignore[arg-type]
            elif kind is not bool and value is not None:
                _look_into(value, below, allowed)
        if not below:
            return
        level = below
    raise RefusedClaims(f"claims nest deeper than {MAX_DEPTH} levels")


def _look_into(value: object, below: list[object], allowed: frozenset[str]) -> None:
    if isinstance(value, str):
        _refuse_text(value)
    elif isinstance(value, int):
        if value.bit_length() > _INTEGER_BITS:
            raise RefusedClaims("a claim holds an integer of more than 64 bits; write it as a string")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise RefusedClaims("a claim holds NaN or an infinity, which JSON cannot say")
    elif isinstance(value, Mapping):
        _refuse_names(tuple(value), allowed)
        if "kty" in value and PRIVATE_MEMBERS & value.keys():
            raise RefusedClaims("a claim holds a private JWK; put the public members only")
        below.extend(value.values())
    elif isinstance(value, list | tuple | set | frozenset):
        below.extend(value)
    else:
        raise RefusedClaims(
            f"a claim holds a {type(value).__name__}, which cannot be looked into; give JSON values, or the whole as"
            " the Signer's extra type"
        )


def _refuse_text(text: str) -> None:
    if _PRIVATE_PEM.search(text):
        raise RefusedClaims("a claim holds a private key in PEM; a payload can be read by anyone")
    if _OUR_SECRET.search(text):
        raise RefusedClaims("a claim holds a refresh token or a client's secret; a payload can be read by anyone")


def refuse_secret_fields(extra: Any, allowed: frozenset[str] = frozenset()) -> None:
    """The same for a claims type, when the Signer is built: so that no user's data can break that user's login."""
    seen: set[Any] = set()
    waiting: list[Any] = [extra]
    while waiting:
        kind = waiting.pop()
        waiting.extend(typing.get_args(kind))
        if not isinstance(kind, type) or kind in seen:
            continue
        seen.add(kind)
        if issubclass(kind, msgspec.Struct):
            names: Iterable[str] = kind.__struct_encode_fields__
        elif dataclasses.is_dataclass(kind) or typing.is_typeddict(kind):
            names = typing.get_type_hints(kind)
        else:
            continue
        _refuse_names(tuple(names), allowed)
        waiting.extend(typing.get_type_hints(kind).values())


@lru_cache(
    maxsize=256
)  # a program has few sets of names, and folding them is most of the lint's price; a refusal is not kept
def _refuse_names(names: tuple[object, ...], allowed: frozenset[str]) -> None:
    for name in names:
        if not isinstance(name, str):
            raise RefusedClaims("a claim's name is not a string")
        _refuse_text(name)
        if name not in allowed and (name in _SECRET_NAMES or _folded(name) in _SECRET_NAMES):
            raise RefusedClaims(
                f"the claim {shown(name)} looks like a secret, and anyone can read a payload; leave it out, encrypt it, or, if it"
                " is none, name it in allow_claims"
            )


def _folded(name: str) -> str:
    return _SEPARATORS.sub("", name).lower()
