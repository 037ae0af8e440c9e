"""An algorithm as the command line names it; a name that is none is answered with the one that is nearest."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

import click

_FAMILIES: Final = {
    "RSA": "RS256",
    "RSASSA": "RS256",
    "EC": "ES256",
    "ECDSA": "ES256",
    "P-256": "ES256",
    "HMAC": "HS256",
    "OKP": "Ed25519",
    "ECDH": "ECDH-ES",
    "AES": "A256KW",
}
"""What a family of algorithms, a type of key or a curve is called -> its usual algorithm."""


class AlgChoice(click.Choice[str]):
    """One of some algorithms."""

    def get_invalid_choice_message(self, value: object, ctx: click.Context | None) -> str:
        """The nearest one, or all of them where none is near."""
        by_upper = {name.upper(): name for name in self.choices} | {
            family: name for family, name in _FAMILIES.items() if name in self.choices
        }
        close = get_close_matches(str(value)[:32].upper(), by_upper, 1, 0.8)
        if not close:
            return super().get_invalid_choice_message(value, ctx)
        return f"no algorithm is called so; did you mean {by_upper[close[0]]!r}?"
