"""What a type checker infers from the public surface: mypy reads this file, and the test beside it runs it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypedDict, assert_type

import msgspec

from admit import PLAIN, Claims, Key, KeySet, Peeked, Signer, Unchecked, Verifier, Verifiers, peek

NOW = 1_800_000_000.0


@dataclass(frozen=True)
class Mine:
    tenant: str
    roles: frozenset[str] = frozenset()


class Yours(msgspec.Struct, frozen=True):
    tenant: str


class Theirs(TypedDict):
    tenant: str


def now() -> float:
    return NOW


def main() -> None:
    key = Key.generate("HS256")
    keys = KeySet([key])
    signer = Signer(key, issuer="i", audience="a", kind=PLAIN, lifetime=timedelta(minutes=5), clock=now)
    token = assert_type(signer.sign(sub="alice", claims={"tenant": "acme", "roles": ["r"]}), str)

    bare = Verifier(keys, issuer="i", audience="a", kind=PLAIN, clock=now)
    assert_type(bare, Verifier[None])
    assert_type(bare.verify(token), Claims[None])
    assert assert_type(bare.verify(token).extra, None) is None

    mine = Verifier(keys, issuer=["i", "j"], audience=["a"], kind=PLAIN, extra=Mine, clock=now, cache=8)
    assert_type(mine, Verifier[Mine])
    claims = assert_type(mine.verify(token), Claims[Mine])
    several = assert_type(Verifiers([mine]), Verifiers[Mine])
    assert assert_type(several.verify(token), Claims[Mine]).extra == claims.extra
    assert assert_type(claims.extra, Mine) == Mine("acme", frozenset({"r"}))
    assert assert_type(claims.extra.tenant, str) == "acme"
    assert assert_type(claims.extra.roles, frozenset[str]) == {"r"}

    yours = Verifier(keys, issuer=Unchecked(), audience=Unchecked(), kind=PLAIN, extra=Yours, clock=now)
    assert assert_type(yours.verify(token.encode()).extra, Yours) == Yours("acme")

    theirs = Verifier(keys, issuer="i", audience="a", kind=PLAIN, extra=Theirs, clock=now)
    assert assert_type(theirs.verify(token).extra, Theirs)["tenant"] == "acme"

    assert_type(claims.sub, str)
    assert_type(claims.iss, str | None)
    assert_type(claims.aud, tuple[str, ...])
    assert_type(claims.scopes, frozenset[str])
    assert_type(claims.exp, float)
    assert_type(claims.iat, float | None)
    assert_type(claims.raw, dict[str, Any])
    assert_type(peek(token), Peeked)
    assert_type(key.kid, str)
    assert_type(keys.get("x"), Key | None)
