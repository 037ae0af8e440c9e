"""What whoever receives a token must check, in the order of verification (RFC 7519 7.2, RFC 8725, RFC 9068 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admit.errors import shown
from admit.jose.algorithms import ALGORITHMS

if TYPE_CHECKING:
    from admit.tokens.finding import Subject


def must_check(subject: Subject) -> list[str]:
    """Sentences; what the token itself says stands in them only as what is to be compared."""
    if subject.sealed:
        return [
            "That it opens with its own key, and with the alg and enc that it accepts from this sender.",
            "That a signed token is inside (cty JWT): whoever has the public key can encrypt, so that shows nobody's hand.",
            "Of the token inside, all that is checked of any signed one.",
        ]
    if not subject.header:
        return ["Nothing more: its header cannot be read, so it must be refused where a JWT is expected."]
    return [*_signature(subject), *_meaning(subject)]


def _signature(subject: Subject) -> list[str]:
    header, claims = subject.header, subject.claims
    if subject.alg.lower() == "none" or not subject.signature:
        lacking = "it is not signed" if subject.alg.lower() == "none" else "it has no signature"
        return [f"Nothing more: {lacking}, and must be refused."]
    issuer = shown(claims["iss"], 100) if isinstance(claims.get("iss"), str) else "the issuer it trusts"
    kid = f", the one called {shown(header['kid'], 80)}" if isinstance(header.get("kid"), str) else ""
    known = any(row.answers_to(subject.alg) for row in ALGORITHMS.values())
    alg = f", and only if that key is for {subject.alg}" if known else ""
    typ = header.get("typ")
    return [
        f"The signature, with a key that it already holds of {issuer}{kid}{alg}. Until then nothing it says is anybody's word.",
        f"That typ is the one it expects{f', here {shown(typ)}' if isinstance(typ, str) else '; here there is none'}.",
    ]


def _meaning(subject: Subject) -> list[str]:
    claims = subject.claims
    lines = [
        f"That {name} {rule}" + ("." if name in claims else "; here there is none, so it must be refused.")
        for name, rule in (
            ("iss", "is exactly the issuer it expects, character by character"),
            ("aud", "names itself"),
            ("exp", "lies ahead"),
        )
    ]
    began = [name for name in ("nbf", "iat") if name in claims]
    if began:
        lines.append(f"That {' and '.join(began)} {'lies' if len(began) == 1 else 'lie'} behind, give or take seconds.")
    if "cnf" in claims:
        lines.append("That whoever presents it proves to hold the key in cnf.")
    if "nonce" in claims:
        lines.append("That nonce is the value it sent itself.")
    named = [name for name in ("jti", "sid", "sub") if name in claims]
    if named:
        lines.append(f"That nothing was revoked meanwhile: {', '.join(named)}, or the key.")
    scope = "scope allows" if "scope" in claims else "the subject is allowed"
    lines.append(f"That {scope} what is asked for.")
    return lines
