"""What the command line expects of tokens, and the verdict on each: accepted, or all that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from admit.cli.exits import Exit, exit_code
from admit.cli.reading import read
from admit.cli.times import relative, span
from admit.cli.trust import trust_in
from admit.errors import (
    ExpiredToken,
    ImmatureToken,
    InvalidToken,
    MalformedToken,
    OverlongToken,
    WrongType,
    shown,
)
from admit.jose import header as headers
from admit.jose.encoding import b64url_decode, json_object
from admit.jose.jws import split
from admit.tokens import presets
from admit.tokens.arguments import Unchecked
from admit.tokens.kinds import ACCESS, PLAIN, Kind
from admit.tokens.verdict import failures
from admit.tokens.verifier import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from admit.cli.keyfile import KeyOptions
    from admit.cli.trust import Trust
    from admit.jose.header import Header
    from admit.tokens.claims import Claims

KINDS: Final = {kind.name: kind for kind in (PLAIN, ACCESS, *presets.ALL)}
_KEPT: Final = 64  # verifiers: of a log's tokens, few differ in kid, alg and typ
_ENCRYPTED: Final = "the token is encrypted: jwt decrypt opens it, and what is inside can be verified"


@dataclass(frozen=True, slots=True)
class Expected:
    """What the options said. Empty issuers, audiences and no kind are `unchecked`, or were refused before."""

    keys: KeyOptions
    jwks: str | None
    discover: bool
    issuers: tuple[str, ...]
    audiences: tuple[str, ...]
    kind: str | None
    unchecked: bool
    leeway: timedelta
    max_lifetime: Unchecked[timedelta] | None

    @property
    def left_out(self) -> list[str]:
        """What is not checked."""
        said = {"issuer": self.issuers, "audience": self.audiences, "kind": self.kind}
        return [name for name, given in said.items() if self.unchecked and not given]


class Verdict(NamedTuple):
    """What became of one token."""

    header: Header | None
    accepted: Claims[None] | None
    failures: tuple[InvalidToken, ...]
    messages: tuple[str, ...]

    @property
    def code(self) -> Exit:
        """The exit code: that of the first failure, in the order of verification."""
        return exit_code(self.failures[0]) if self.failures else Exit.OK

    def said(self, now: float) -> str:
        """The verdict in a line."""
        if self.accepted is None or self.header is None:
            return f"REFUSED: {'; '.join(self.messages)}"
        kid, alg = self.accepted.kid, self.header.alg
        return f"valid: signed by key {kid} ({alg}), expires {relative(self.accepted.exp, now)}"

    @property
    def reasons(self) -> list[dict[str, str]]:
        """The failures, as JSON."""
        pairs = zip(self.failures, self.messages, strict=True)
        return [{"code": error.code, "message": message} for error, message in pairs]


class Judge:
    """Judges tokens by what is expected, at one time. Keys are read, fetched or asked for once, at the first token that has
    a header.
    """

    def __init__(self, expected: Expected, now: float) -> None:
        self.expected, self.now = expected, now
        self._verifier = lru_cache(_KEPT)(self._made)

    def verdict(self, token: str) -> Verdict:
        """Raises Stop and Unavailable where keys or revocations cannot be had: then nothing is judged."""
        header: Header | None = None
        try:
            if token.count(".") != 2:
                subject = read(token)
                raise MalformedToken(_ENCRYPTED if subject.encrypted else subject.problems[0])
            header = headers.parse(split(token)[1])
            verifier, trust = self._verifier(header.alg, header.kid, header.typ)
        except InvalidToken as error:
            wrong: tuple[InvalidToken, ...] = (error,)
        else:
            try:
                return Verdict(header, verifier.verify(token), (), ())
            except InvalidToken:
                wrong = failures(verifier, token, trust.keys, self.now)
        return Verdict(header, None, wrong, tuple(self._words(error, token) for error in wrong))

    @cached_property
    def _trust(self) -> Callable[[str, str | None], Trust]:
        expected = self.expected
        return trust_in(expected.keys, expected.jwks, expected.discover, expected.issuers)

    def _made(self, alg: str, kid: str | None, typ: str | None) -> tuple[Verifier[None], Trust]:
        expected, trust = self.expected, self._trust(alg, kid)
        verifier = Verifier(
            trust.keys,
            issuer=expected.issuers or Unchecked(),
            audience=expected.audiences or Unchecked(),
            kind=self._kind(typ),
            leeway=expected.leeway,
            max_lifetime=expected.max_lifetime,
            revocations=trust.revocations,
            clock=lambda: self.now,
        )
        return verifier, trust

    def _kind(self, typ: str | None) -> Kind:
        if self.expected.kind is not None or not self.expected.unchecked:
            return KINDS[self.expected.kind or PLAIN.name]
        return Kind(name="any", typ=typ or "JWT", other_types=frozenset((typ,)))

    def _words(self, error: InvalidToken, token: str) -> str:
        """What failed, as one says it at a terminal. Only failures after the signature speak of claims."""
        if isinstance(error, WrongType):
            kind = self.expected.kind or PLAIN.name
            header = headers.parse(split(token)[1])
            typ = header.members.get("typ")
            expected = KINDS[kind].typ
            told = f"typ is {shown(typ)}, and --kind {kind} expects {'no typ' if expected is None else repr(expected)}"
            others = [each.name for each in (PLAIN, ACCESS) if each.accepts(header.typ)]
            return f"{told} (give --kind {others[0]})" if others and KINDS[kind] in (PLAIN, ACCESS) else told
        if not isinstance(error, ExpiredToken | ImmatureToken | OverlongToken):
            return str(error)
        claims = json_object(b64url_decode(split(token)[2]))
        exp, iat, nbf = (claims.get(name, self.now) for name in ("exp", "iat", "nbf"))
        if isinstance(error, ExpiredToken):
            return f"expired {relative(exp, self.now)}"
        if isinstance(error, OverlongToken):
            return f"it lives {span(exp - iat)}, longer than is accepted (see --max-lifetime)"
        name, at = ("iat", iat) if iat >= nbf else ("nbf", nbf)
        return f"not valid yet: {name} is {relative(at, self.now)}; do the clocks agree?"
