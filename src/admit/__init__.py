"""Admit: JSON Web Tokens for Python, whole. It issues, verifies, refreshes, rotates and revokes them."""

from importlib import import_module
from typing import TYPE_CHECKING

from admit import errors
from admit.errors import AdmitError, ConfigurationError, InvalidToken, Unavailable
from admit.jose.keys import Key
from admit.jose.keyset import KeySet
from admit.tokens import presets
from admit.tokens.arguments import Unchecked
from admit.tokens.claims import Claims
from admit.tokens.client_assertion import client_assertion
from admit.tokens.cookies import Cookies
from admit.tokens.kinds import ACCESS, PLAIN, Kind
from admit.tokens.peek import Peeked, peek
from admit.tokens.several import Verifiers
from admit.tokens.signer import Signer, SigningBackend
from admit.tokens.verifier import KeySource, Revocations, Verifier

if TYPE_CHECKING:
    from admit.remote.issuer import RemoteIssuer
    from admit.remote.status_list import StatusLists
    from admit.service.aio import AsyncTokenService
    from admit.service.facade import TokenService

__version__ = "0.1.0"

# Loaded on first use: they need an extra (client, service), and verifying must not pay for them.
_LAZY = {
    "AsyncTokenService": "admit.service.aio",
    "RemoteIssuer": "admit.remote.issuer",
    "StatusLists": "admit.remote.status_list",
    "TokenService": "admit.service.facade",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'admit' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


__all__ = [
    "ACCESS",
    "PLAIN",
    "AdmitError",
    "AsyncTokenService",
    "Claims",
    "ConfigurationError",
    "Cookies",
    "InvalidToken",
    "Key",
    "KeySet",
    "KeySource",
    "Kind",
    "Peeked",
    "RemoteIssuer",
    "Revocations",
    "Signer",
    "SigningBackend",
    "StatusLists",
    "TokenService",
    "Unavailable",
    "Unchecked",
    "Verifier",
    "Verifiers",
    "client_assertion",
    "errors",
    "peek",
    "presets",
]
