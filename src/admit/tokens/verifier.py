"""Verifier: token -> claims, in numbered steps (RFC 7519 7.2, RFC 8725, RFC 9068 4). The product's most traveled path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar, overload
from zlib import crc32

import msgspec

from admit.clock import Clock, system_clock
from admit.errors import (
    ConfigurationError,
    InvalidClaim,
    InvalidToken,
    MalformedToken,
    RevocationsUnavailable,
    UnknownKey,
    WrongType,
    shown,
)
from admit.jose import header as headers
from admit.jose.algorithms import Check
from admit.jose.encoding import MAX_TOKEN, b64url_decode, json_object, must_be_bytes_allowed
from admit.jose.jws import checker, split
from admit.jose.keyset import KeySet
from admit.tokens import expectations, rules
from admit.tokens.arguments import (
    Unchecked,
    must_be_a_clock,
    must_be_a_kind,
    must_be_a_type,
    strings,
)
from admit.tokens.cache import TokenCache, require_immutable
from admit.tokens.claims import Claims, read_registered
from admit.tokens.kinds import ACCESS, Kind
from admit.tokens.revocation_set import NO_GLANCE, PAIRS, Glance, RevocationSet

E = TypeVar("E")

_NOTHING: dict[str, Any] = {}
_MAX_MEMO = 256  # header spellings of one key set: a key has one, issuers with odd headers a few


class KeySource(Protocol):
    """Where a verifier's keys come from: a KeySet, or the keys of a remote issuer."""

    def current(self) -> KeySet:
        """The keys in force. Called for every token: cheap, no I/O when keys are warm; may raise KeysUnavailable."""

    def missing(self, kid: str | None) -> KeySet:
        """The keys after a look for one that is not among the current ones; bounded by the source itself."""


class Revocations(Protocol):
    """What was cut off before its expiry.

    One that can ask about a single token has `ask(token, claims)`, too: called where `check` raised
    RevocationsUnavailable, it returns None where the token is good, or raises. One that can judge at less cost by what a
    verifier knows already has `judge(claims, now, kept)`: it is called in place of `check`, with the system's time in seconds
    since 1970, and whether these very claims passed before and were kept. Where that is a RevocationSet's method, the
    verifier sees by the set's `glance` that most tokens pass, and calls nobody.
    """

    def check(self, claims: Claims[Any], /) -> None:
        """Raise RevokedToken, or RevocationsUnavailable where the answer would be too old to be believed."""


@dataclass(slots=True, eq=False)
class _Unseen:
    """Revocations of which nothing shows at a glance."""

    judge: Callable[[Claims[Any], float, bool], object]
    glance: Glance = NO_GLANCE


@dataclass(slots=True, eq=False)
class _Snapshot(Generic[E]):
    """Keys, header memo and cache live and die together, so that nothing outlives a removed key."""

    keys: KeySet
    memo: dict[bytes, tuple[Check, str]]
    cache: TokenCache[E] | None


class Verifier(Generic[E]):
    """Verifies the tokens of one issuer for one audience. Immutable in its expectations; safe to share between threads.

    keys: a KeySet, or another KeySource. issuer, audience: one or several accepted strings, never none of them.
    kind: what kind of token (RFC 9068 access tokens by default). extra: a type that msgspec converts to; the claims are
    given as it in `claims.extra`. required: further claims that must be there. revocations: what was cut off.
    leeway: how long after exp a token still passes (at most 60 s). skew: by how much nbf and iat may lie in the future.
    max_lifetime: the longest exp - iat, in place of the kind's own; over 24 h only as Unchecked.
    cache: how many verified tokens to remember; 0 for none.
    max_token: bytes.

    Raises ConfigurationError where the arguments would leave something unchecked. RFC 7519 7.2.
    """

    @overload
    def __init__(
        self: Verifier[None],
        keys: KeySource,
        *,
        issuer: str | Sequence[str] | Unchecked[str],
        audience: str | Sequence[str] | Unchecked[str],
        kind: Kind = ...,
        extra: None = None,
        required: Iterable[str] = ...,
        revocations: Revocations | None = ...,
        leeway: timedelta | Unchecked[timedelta] = ...,
        skew: timedelta = ...,
        max_lifetime: timedelta | Unchecked[timedelta] | None = ...,
        cache: int = ...,
        max_token: int = ...,
        clock: Clock = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        keys: KeySource,
        *,
        issuer: str | Sequence[str] | Unchecked[str],
        audience: str | Sequence[str] | Unchecked[str],
        kind: Kind = ...,
        extra: type[E],
        required: Iterable[str] = ...,
        revocations: Revocations | None = ...,
        leeway: timedelta | Unchecked[timedelta] = ...,
        skew: timedelta = ...,
        max_lifetime: timedelta | Unchecked[timedelta] | None = ...,
        cache: int = ...,
        max_token: int = ...,
        clock: Clock = ...,
    ) -> None: ...
    def __init__(
        self,
        keys: KeySource,
        *,
        issuer: str | Sequence[str] | Unchecked[str],
        audience: str | Sequence[str] | Unchecked[str],
        kind: Kind = ACCESS,
        extra: type[E] | None = None,
        required: Iterable[str] = (),
        revocations: Revocations | None = None,
        leeway: timedelta | Unchecked[timedelta] = timedelta(),
        skew: timedelta = timedelta(seconds=rules.SKEW),
        max_lifetime: timedelta | Unchecked[timedelta] | None = None,
        cache: int = 0,
        max_token: int = MAX_TOKEN,
        clock: Clock = system_clock,
    ) -> None:
        if not callable(getattr(keys, "current", None)) or not callable(getattr(keys, "missing", None)):
            raise ConfigurationError(f"keys is a KeySet or another KeySource, not {type(keys).__name__}")
        if type(cache) is not int or cache < 0:
            raise ConfigurationError(f"cache is a whole number of tokens, 0 for none, not {shown(cache)}")
        must_be_bytes_allowed(max_token, "max_token")
        must_be_a_kind(kind)
        must_be_a_type(extra)
        if revocations is not None and not callable(getattr(revocations, "check", None)):
            raise ConfigurationError(
                f"revocations has a method check(claims), and {type(revocations).__name__} has none"
            )
        must_be_a_clock(clock)
        if isinstance(keys, KeySet):
            expectations.check_keys(keys, kind)
        self.kind = kind
        self.issuers: frozenset[str] = (
            frozenset() if isinstance(issuer, Unchecked) else kind.issuers(strings(issuer, "issuer"))
        )
        """The issuers expected, in each of their spellings; none where that is Unchecked."""
        self._times = expectations.times(kind, leeway, skew, max_lifetime)
        self.rules = tuple(expectations.prepared(kind, self.issuers, audience, self._times, required))
        """The prepared rules, in order; each raises what it finds wrong."""
        self._source, self._clock, self.max_token = keys, clock, max_token
        self._extra = extra
        self._registered = kind.registered if kind.names else None
        self._revoked = None if revocations is None else _judges(revocations, clock)
        self._ask: Callable[[str, Claims[Any]], object] | None = getattr(revocations, "ask", None)
        if cache:
            require_immutable(extra) if extra is not None else None
        self._cache_size = cache
        self._snapshot: _Snapshot[E] | None = None

    @property
    def clock(self) -> Clock:
        """What it judges times by."""
        return self._clock

    def verify(self, token: str | bytes) -> Claims[E]:
        """The claims of a token that passes every check, or an InvalidToken that says which failed.

        Also raises KeysUnavailable and RevocationsUnavailable, where nothing could be judged. The caller still owes: the
        scopes or roles that the operation needs.
        """
        keys = self._source.current()
        snapshot = self._snapshot
        if snapshot is None or snapshot.keys is not keys:
            snapshot = self._renewed(keys)

        # 0. Seen before: its times and its revocation are judged again, nothing else can have changed.
        cache = snapshot.cache
        if cache is not None and type(token) is str:
            known = cache.get(token)
            if known is not None:
                now = self._clock()
                try:
                    self._times(known.registered, _NOTHING, now)
                except InvalidToken:
                    cache.drop(token)
                    raise
                revoked = self._revoked
                if revoked is not None:
                    try:
                        answered = revoked.judge(known, now, True)
                    except RevocationsUnavailable:
                        answered = self._asked(token, known)
                    if answered is not None:
                        raise _answered()
                return known

        # 1. Size, alphabet, three parts.
        signing_input, head, body, signature = split(token, self.max_token)

        # 2. The header: strict, its typ this kind's; its kid chooses the key, and the key its one algorithm.
        memo = snapshot.memo.get(head)
        if memo is None:
            snapshot, check, kid = self._prepare(snapshot, head)
        else:
            check, kid = memo

        # 3. The signature. Before this nothing is believed; only now may the header be remembered.
        check(signing_input, signature)
        if memo is None and len(snapshot.memo) < _MAX_MEMO:
            snapshot.memo[head] = (check, kid)

        # 4. The payload: canonical base64url, strict JSON, registered claims of the right types.
        payload = b64url_decode(body)
        raw = json_object(payload)
        registered = read_registered(raw if self._registered is None else self._registered(raw))

        # 5. The rules: issuer, audience, times, required and forbidden claims.
        now = self._clock()
        for rule in self.rules:
            rule(registered, raw, now)

        # 6. The caller's own type.
        extra: Any = None if self._extra is None else self._convert(raw, self._extra)
        claims = Claims(registered, extra, kid, payload)

        # 7. Revocation, last: it is the only answer that can change while the token lives. A glance shows for most that neither
        # their session nor their key was cut off, nor anything else; all others are judged.
        revoked = self._revoked
        if revoked is not None:
            since, until, marks, found, kids = revoked.glance
            if (
                not since <= now < until
                or (kids is not None and kid not in kids)
                or (
                    (sid := registered.sid)
                    and (bits := marks[(checksum := crc32(sid.encode())) >> 14])
                    and bits & (two := PAIRS[checksum & 31]) == two
                    and found("sid", sid, checksum) is not None
                )
            ):
                try:
                    answered = revoked.judge(claims, now, False)
                except RevocationsUnavailable:
                    answered = self._asked(token, claims)
                if answered is not None:
                    raise _answered()

        if snapshot.cache is not None and type(token) is str:
            snapshot.cache.put(token, claims)
        return claims

    def recheck(self, claims: Claims[Any], token: str | bytes | None = None) -> None:
        """Raise what `verify` would raise by now for the token of these claims, which this verifier returned earlier.

        For connections that outlive a request: it expired, its key is gone, or it was revoked. Given the token, too, its
        issuer is asked about it where revocations are so old that `verify` would ask. Raises InvalidToken, KeysUnavailable,
        RevocationsUnavailable.
        """
        if all(key.kid != claims.kid for key in self._source.current()):
            raise UnknownKey("the key that signed the token is gone")
        now = self._clock()
        self._times(claims.registered, _NOTHING, now)
        if self._revoked is None:
            return
        try:
            answered = self._revoked.judge(claims, now, False)
        except RevocationsUnavailable:
            if token is None:
                raise
            answered = self._asked(token, claims)
        if answered is not None:
            raise _answered()

    @property
    def key_types(self) -> frozenset[str]:
        """The kty of the keys in force (RFC 7517 4.1). Raises KeysUnavailable."""
        return frozenset(key.algorithm.kty for key in self._source.current())

    @property
    def cache(self) -> TokenCache[E] | None:
        """The cache of verified tokens under the current keys, for its counters; None without one."""
        return None if self._snapshot is None else self._snapshot.cache

    def _asked(self, token: str | bytes, claims: Claims[Any]) -> object:
        """In an `except` clause: whoever can be asked about a single token is."""
        if self._ask is None:
            raise
        return self._ask(token if isinstance(token, str) else token.decode("ascii"), claims)

    def _renewed(self, keys: KeySet) -> _Snapshot[E]:
        snapshot: _Snapshot[E] = _Snapshot(keys, {}, TokenCache(self._cache_size) if self._cache_size else None)
        self._snapshot = snapshot
        return snapshot

    def _prepare(self, snapshot: _Snapshot[E], head: bytes) -> tuple[_Snapshot[E], Check, str]:
        header = headers.parse(head)
        if not self.kind.accepts(header.typ):
            raise WrongType(expectations.other_type(self.kind, header.typ))
        if headers.normal_type(header.members.get("cty", "")) == "jwt":
            raise MalformedToken("cty says that a JWT is inside, where the claims should be (RFC 7519 7.2)")
        try:
            key = snapshot.keys.find(header.alg, header.kid)
        except UnknownKey:
            keys = self._source.missing(header.kid)
            if keys is not snapshot.keys:
                snapshot = self._renewed(keys)
            try:
                key = keys.find(header.alg, header.kid)
            except UnknownKey as error:
                status = getattr(self._source, "status", None)
                raise UnknownKey(f"{error}; {status}" if status else str(error)) from None
        if self.kind.algorithms and key.algorithm.name not in self.kind.algorithms:
            raise MalformedToken(
                f"the token is signed with {key.algorithm.name}, and kind {self.kind.name!r} only ever with"
                f" {' or '.join(sorted(self.kind.algorithms))}"
            )
        return snapshot, checker(key), key.kid

    def _convert(self, raw: dict[str, Any], extra: type[E]) -> E:
        try:
            return msgspec.convert(raw, extra)
        except InvalidToken:
            raise
        except Exception as error:  # noqa: BLE001 - a user type's own validation may raise anything; all of it refuses
            _, _, path = str(error).rpartition(" - at ") if isinstance(error, msgspec.ValidationError) else ("", "", "")
            where = f" at {shown(path)}" if path else f" ({type(error).__name__})"
        # Outside the handler: the error there may quote a claim, and would travel along as the context of this one.
        raise InvalidClaim(f"the claims do not fit {getattr(extra, '__name__', 'extra')}{where}")


def _judges(revocations: Revocations, clock: Clock) -> RevocationSet | _Unseen:
    judge: Callable[[Claims[Any], float, bool], object] | None = getattr(revocations, "judge", None)
    check: Callable[[Claims[Any]], object] = revocations.check
    if judge is None:
        return _Unseen(lambda claims, _now, _kept: check(claims))
    if clock is not system_clock:  # one that stands still must not keep old news young
        return _Unseen(lambda claims, _now, kept: judge(claims, system_clock(), kept))
    entries = getattr(judge, "__self__", None)
    return entries if isinstance(entries, RevocationSet) else _Unseen(judge)


def _answered() -> RevocationsUnavailable:
    """A check raises or says nothing; one that answers True or False was written for another interface, and is not believed."""
    return RevocationsUnavailable("Revocations.check answered instead of raising RevokedToken or returning None")
