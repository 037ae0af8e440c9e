"""What an inspection of a token looks at, and what it finds. A rule is data: an id, how grave it is, why, how to mend it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from admit.jose.algorithms import ALGORITHMS

Severity = Literal["error", "warning", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")
"""The gravest first."""


class Subject(msgspec.Struct, frozen=True):
    """An unverified token and what could be read of it. Anybody could have written it."""

    token: str
    header: dict[str, Any]
    claims: dict[str, Any]
    signature: int
    """Bytes of the signature."""
    problems: tuple[str, ...]
    """Why a strict reader would refuse it, in words."""

    @property
    def encrypted(self) -> bool:
        """Whether it is a JWE, whose claims cannot be read here (RFC 7516 9: five parts, and enc in the header)."""
        return self.token.count(".") == 4 and ("enc" in self.header or not self.header)

    @property
    def sealed(self) -> bool:
        """Whether it is a JWE, or one that was cut: enc is there, and alg is no signature's (RFC 7516 9)."""
        cut = self.token.count(".") < 4 and "enc" in self.header and self.alg not in ALGORITHMS
        return self.encrypted or cut

    @property
    def alg(self) -> str:
        """The header's alg; "" where there is none that is a string."""
        alg = self.header.get("alg")
        return alg if isinstance(alg, str) else ""


Find = Callable[[Subject], str | None]
"""What is wrong, in words that quote no claim's value; None where nothing is."""


class Rule(msgspec.Struct, frozen=True):
    """One thing that a token should not do. `reason` and `mending` are sentences for people."""

    id: str
    severity: Severity
    reason: str
    mending: str
    find: Find


class Finding(msgspec.Struct, frozen=True):
    """A rule that a token breaks, and how."""

    rule: Rule
    message: str
