"""Admit: JSON Web Tokens for Python, whole. It issues, verifies, refreshes, rotates and revokes them."""

from admit import errors
from admit.errors import AdmitError, ConfigurationError, InvalidToken, Unavailable
from admit.jose.keys import Key, KeySet
from admit.tokens.claims import Claims
from admit.tokens.kinds import ACCESS, PLAIN, Kind
from admit.tokens.peek import Peeked, peek
from admit.tokens.signer import Signer, SigningBackend
from admit.tokens.verifier import KeySource, Revocations, Unchecked, Verifier

__version__ = "0.1.0"

__all__ = [
    "ACCESS",
    "PLAIN",
    "AdmitError",
    "Claims",
    "ConfigurationError",
    "InvalidToken",
    "Key",
    "KeySet",
    "KeySource",
    "Kind",
    "Peeked",
    "Revocations",
    "Signer",
    "SigningBackend",
    "Unavailable",
    "Unchecked",
    "Verifier",
    "errors",
    "peek",
]
