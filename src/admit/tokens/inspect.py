"""Inspecting a token that somebody else may have made: every rule, in order. Nothing here verifies."""

from __future__ import annotations

from typing import Final

from admit.tokens import inspect_claims, inspect_header
from admit.tokens.finding import Finding, Rule, Subject

GUESSABLE: Final = Rule(
    "secret-guessable",
    "error",
    "The HMAC secret is a common one, or made of words in the token: whoever tries a list finds it, and signs what he likes"
    " (RFC 8725 3.5).",
    "Make a random secret, `jwt key generate --alg HS256`, or sign with a key pair; refuse every token of the old one.",
    lambda subject: None,  # noqa: ARG005 - costs thousands of MACs: see admit.tokens.guessing
)
RULES: Final[tuple[Rule, ...]] = (*inspect_header.RULES, GUESSABLE, *inspect_claims.RULES)
"""Every rule; the ids are stable."""


def inspect(subject: Subject, ignored: frozenset[str] = frozenset()) -> list[Finding]:
    """What is wrong with a token, in the order of the rules. ignored: ids of rules that are not asked."""
    found: list[Finding] = []
    for rule in RULES:
        message = None if rule.id in ignored else rule.find(subject)
        if message is not None:
            found.append(Finding(rule, message))
    return found
