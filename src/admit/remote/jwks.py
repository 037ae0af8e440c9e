"""JWKSClient: the keys of one issuer, fetched over HTTP, kept fresh in the background, never lost to a failed fetch."""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from admit import clock
from admit.errors import (
    ConfigurationError,
    InvalidKey,
    KeysUnavailable,
    MalformedToken,
    ServiceUnreachable,
    Unavailable,
    UnsupportedAlgorithm,
    shown,
)
from admit.jose.algorithms import algorithm
from admit.jose.encoding import json_object
from admit.jose.jwk import members_of_set
from admit.jose.keys import Key
from admit.jose.keyset import KeySet, check_algorithms
from admit.process_lock import ProcessLock
from admit.remote.background import Background, Ticket
from admit.remote.fetch import TIMEOUT, Answer, Fetcher, checked_url
from admit.tokens.arguments import duration, must_be_a_clock, names
from admit.tokens.waiting import WouldWait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from admit.clock import Clock

ALGORITHMS: Final = ("ES256", "RS256", "Ed25519", "ES384", "ES512")
"""What is accepted unless said otherwise: one for each key type and curve."""
COOLDOWN: Final = 30.0
"""Seconds between two fetches that unknown kids may cause, whatever their number."""
STALE_IF_ERROR: Final = timedelta(hours=24)

_DEFAULT_AGE, _MIN_AGE, _MAX_AGE = 600.0, 60.0, 86_400.0  # seconds
_MAX_ABSENT: Final = 100
_ABSENT_FOR: Final = 120.0  # seconds: a kid that was looked for is not what starts the next looks
_PRIVATE: Final = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"))  # RFC 7518 6, 8037 2, 9964
_MAX_AGE_DIRECTIVE: Final = re.compile(r'(?:^|,)\s*max-age\s*=\s*"?(\d{1,10})"?\s*(?:,|$)', re.IGNORECASE)

_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

log = logging.getLogger("admit.remote")


@dataclass(frozen=True, slots=True)
class _Held:
    """A fetched set and its times, in seconds of the client's monotonic clock."""

    keys: KeySet
    fetched: float
    expires: float
    refresh: float
    """When the background fetches again: ahead of `expires`, spread so that many processes do not come at once."""
    changes: int
    """How many changes the issuer had told of before."""


class JWKSClient:
    """The keys of a JWK Set on the web, as a KeySource for Verifier (RFC 7517 5). No I/O before the first use.

    url: https, or a function that finds it out in the background. algorithms: at most one for each key type and curve,
    never HMAC. insecure_hosts: exact host names that may be spoken to in plain http; loopback always may.
    stale_if_error: how long after their own expiry keys are still believed while fetching fails. timeout: seconds for
    a whole fetch. issuer: keys that the set says are another issuer's are passed over.
    fetcher: with limits or trust of its own. now: a monotonic clock, in seconds.

    A request waits for a fetch only when there are no keys, when they expired unrefreshed, or for an unknown kid, and
    those cause at most one fetch in 30 s. Raises KeysUnavailable where nothing can be judged.
    """

    def __init__(
        self,
        url: str | Callable[[], str],
        *,
        algorithms: Iterable[str] = ALGORITHMS,
        insecure_hosts: Iterable[str] = (),
        stale_if_error: timedelta = STALE_IF_ERROR,
        timeout: float = TIMEOUT,
        issuer: str | None = None,
        fetcher: Fetcher | None = None,
        now: Clock = clock.monotonic,
    ) -> None:
        self._algorithms = checked_algorithms(algorithms)
        self._fetcher = fetcher or Fetcher(insecure_hosts=insecure_hosts, timeout=timeout)
        if isinstance(url, str):
            fixed = str(checked_url(url, self._fetcher.insecure_hosts))
            self._url: Callable[[], str] = lambda: fixed
        else:
            self._url = url
        must_be_a_clock(now, "now", "seconds of a monotonic clock")
        self._stale, self._now = duration(stale_if_error, "stale_if_error").total_seconds(), now
        self._issuer = issuer
        self._held: _Held | None = None
        self._lock = ProcessLock()
        self._next_look, self._changes = 0.0, 0
        self._absent: OrderedDict[str, float] = OrderedDict()
        self._look: Ticket | None = None
        self._background = Background(self._refresh, "admit-jwks", now)
        self._patience = self._fetcher.timeout * 2 + 1  # two documents: the metadata and the keys

    def current(self) -> KeySet:
        """The keys in force, without I/O while they are fresh. Raises KeysUnavailable where none can be had."""
        held = self._held
        if held is None:
            return self._waited()
        now = self._now()
        if held.fetched <= now < held.refresh:
            return held.keys
        with suppress(Unavailable):  # it was closed: the keys only age
            self._background.wake()  # its thread may have died with a fork
        # While fetching fails the old keys count anyway: an issuer that hangs must not cost every request its time.
        until = held.expires if self._background.error is None else held.expires + self._stale
        if held.fetched <= now < until:
            return held.keys
        # Expired, or the clock went back: a key removed meanwhile must not verify, so fetch first; if that fails, the
        # old keys for a while.
        try:
            return self._waited()
        except WouldWait:
            raise
        except Unavailable as error:
            if now < held.expires + self._stale:
                return held.keys
            raise KeysUnavailable(f"the keys are too old to be believed: {error}", error.retry_after) from None

    def missing(self, kid: str | None) -> KeySet:
        """The keys after a look for a kid that is not among them; at most one look in 30 s, for all callers together.

        Raises KeysUnavailable where the look failed: a kid that could not be looked up is not judged.
        """
        keys, now, name = self.current(), self._now(), kid or ""
        if kid is not None and kid in keys:
            return keys
        with self._lock:
            look = self._look
            if look is None or look.over:
                if now < self._absent.get(name, now):
                    return self.current()
                if now < self._next_look:
                    with self._explained():
                        self._background.settled()
                    return self.current()
                look = self._look = self._begun()
                self._next_look = now + COOLDOWN
        keys = self._joined(look)
        if name not in keys:
            with self._lock:
                if self._held is None or self._held.changes < self._changes:
                    self._next_look = 0.0  # the look began before the last change: it says nothing of what came then
                    return keys
                self._absent[name] = now + _ABSENT_FOR
                if len(self._absent) > _MAX_ABSENT:
                    self._absent.popitem(last=False)
        return keys

    def changed(self) -> None:
        """The issuer itself says that its keys have changed: the next unknown kid is looked for, whatever was before."""
        with self._lock:
            self._changes += 1
            self._next_look = 0.0
            self._absent.clear()

    def refresh(self) -> KeySet:
        """Fetch now, whatever the age of the keys; joins a fetch under way. Raises KeysUnavailable."""
        return self._joined(self._begun())

    def close(self) -> None:
        """End the background thread; the keys age from now on as if the issuer were down."""
        self._background.close()

    def open(self) -> None:
        """Undo `close`."""
        self._background.open()

    def _fresh(self) -> bool:
        held = self._held
        return held is not None and held.fetched <= self._now() < held.expires

    def _waited(self) -> KeySet:
        with self._explained():
            self._background.run(self._patience, self._fresh)
        return self._found()

    def _begun(self) -> Ticket:
        with self._explained():
            return self._background.begin()

    def _joined(self, ticket: Ticket) -> KeySet:
        with self._explained():
            self._background.join(ticket, self._patience)
        return self._found()

    def _found(self) -> KeySet:
        if self._held is None:
            raise KeysUnavailable("the keys could not be fetched")
        return self._held.keys

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except WouldWait:
            raise
        except Unavailable as error:
            raise KeysUnavailable(f"{error}; {self._age()}", error.retry_after) from None

    @property
    def status(self) -> str:
        """When the keys were last fetched, and what fails since then, in words for a log."""
        error = self._background.error
        return self._age() if error is None else f"{self._age()}, and fetching fails since: {error}"

    def _age(self) -> str:
        held = self._held
        return (
            "keys were never fetched" if held is None else f"keys last fetched {self._now() - held.fetched:.0f} s ago"
        )

    def _refresh(self) -> float:
        begun, changes = self._now(), self._changes
        url = self._url()
        answer = self._fetcher.get(url)
        try:
            keys = read_jwks(answer.body, self._algorithms, self._issuer)
        except InvalidKey as error:
            raise ServiceUnreachable(f"{shown(url, 200)} is not a usable JWK Set: {error}") from None
        held = self._held
        if held is not None and _content(held.keys) == _content(keys):
            keys = held.keys  # the same object: verifiers keep what they prepared
        else:
            for problem in keys.problems:
                log.warning("JWK Set of %s: %s", shown(url, 200), problem)
            with self._lock:
                self._absent.clear()
        lifetime = _lifetime(answer)
        refresh = begun + lifetime * (0.75 + 0.15 * clock.jitter())
        self._held = _Held(keys, begun, begun + lifetime, refresh, changes)
        return max(refresh - self._now(), 0.0)


def checked_algorithms(algorithms: Iterable[str]) -> tuple[str, ...]:
    """The names, if they are for key pairs: a secret in a published set is known to everybody."""
    found = names(algorithms, "algorithms", "['ES256', 'RS256']")
    if not found:
        raise ConfigurationError("algorithms must not be empty: name at least one, such as ['RS256']")
    for name in found:
        if name != "EdDSA" and algorithm(name).symmetric:
            raise UnsupportedAlgorithm(
                f"{shown(name)} is for shared secrets, and a remote issuer publishes public keys"
            )
    check_algorithms(found)
    return found


def read_jwks(body: bytes, algorithms: tuple[str, ...], issuer: str | None = None) -> KeySet:
    """The public keys of a JWK Set. Raises InvalidKey where none is usable.

    issuer: whose keys are wanted; a key that the set says is another issuer's is dropped and reported.
    A private key in it is dropped and reported, together with its public half: everybody can sign with that pair now.
    """
    try:
        members = members_of_set(json_object(body))
    except MalformedToken as error:
        raise InvalidKey(str(error)) from None
    public: list[Mapping[str, Any]] = []
    problems: list[str] = []
    leaked: set[str] = set()
    for index, member in enumerate(members):
        if not isinstance(member, dict):
            problems.append(f"entry {index} is not a JSON object")
        elif issuer is not None and not _is_of(issuer, member.get("issuer", issuer)):
            problems.append(f"entry {index} belongs to another issuer")
        elif _PRIVATE.isdisjoint(member):
            public.append(member)
        else:
            problems.append(f"entry {index} publishes a secret or a private key, which is worthless from now on")
            try:
                # Without its private members: an RSA key of 8192 bits without primes costs 0.8 s to take apart.
                bare = {name: value for name, value in member.items() if name not in _PRIVATE}
                leaked.add(Key.from_jwk(bare, algorithms=algorithms).thumbprint())
            except (InvalidKey, UnsupportedAlgorithm):
                continue
    if problems and not public:
        raise InvalidKey("the JWK Set holds no usable key: " + "; ".join(problems[:5]))
    usable = KeySet.from_jwks({"keys": public}, algorithms=algorithms)
    problems += usable.problems
    return KeySet([key for key in usable if key.thumbprint() not in leaked], problems=problems)


def _is_of(issuer: str, claimed: object) -> bool:
    """Whether a key is this issuer's. Microsoft Entra says in each key whose it is, `{tenantid}` standing for any tenant."""
    if not isinstance(claimed, str):
        return False
    before, template, after = claimed.partition("{tenantid}")
    if not template:
        return claimed == issuer
    return (
        issuer.startswith(before)
        and issuer.endswith(after)
        and bool(_GUID.fullmatch(issuer[len(before) : len(issuer) - len(after)]))
    )


def _content(keys: KeySet) -> set[tuple[Key, frozenset[str] | None]]:
    return {(key, key.key_ops) for key in keys}


def _lifetime(answer: Answer) -> float:
    """Seconds: Cache-Control's max-age less the Age, within a minute and a day (RFC 9111 4.2)."""
    control = answer.headers.get("cache-control", "")
    found = _MAX_AGE_DIRECTIVE.search(control)
    if re.search(r"\bno-(store|cache)\b", control, re.IGNORECASE):
        return _MIN_AGE
    if found is None:
        return _DEFAULT_AGE
    age = answer.headers.get("age", "0")
    return min(max(float(found[1]) - (float(age) if re.fullmatch(r"\d{1,10}", age) else 0.0), _MIN_AGE), _MAX_AGE)
