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

# Loaded on first use: they need an extra, and verifying must not pay for them. name -> (module, extra)
_LAZY = {
    "AsyncTokenService": ("admit.service.aio", "service"),
    "RemoteIssuer": ("admit.remote.issuer", "client"),
    "StatusLists": ("admit.remote.status_list", "client"),
    "TokenService": ("admit.service.facade", "service"),
}
# What other libraries call it.
_INSTEAD = {
    "decode": "Verifier(keys, issuer=..., audience=...).verify(token)",
    "encode": "Signer(key, issuer=..., audience=...).sign(sub=...)",
    "get_unverified_header": "admit.peek(token).header",
    "get_unverified_claims": "admit.peek(token).claims",
    "PyJWKClient": "RemoteIssuer(issuer, revocations=...).verifier(audience=...)",
    "PyJWTError": "admit.AdmitError",
    "InvalidTokenError": "admit.InvalidToken",
    "DecodeError": "admit.errors.MalformedToken",
    "ExpiredSignatureError": "admit.errors.ExpiredToken",
    "InvalidAudienceError": "admit.errors.WrongAudience",
    "InvalidIssuerError": "admit.errors.WrongIssuer",
    "InvalidSignatureError": "admit.errors.BadSignature",
}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        module, extra = _LAZY[name]
        try:
            return getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            lacking = f"admit.{name} needs {error.name}: pip install 'admit[{extra}]'"
            raise ModuleNotFoundError(lacking, name=error.name) from None
    instead = f"admit.errors.{name}" if isinstance(getattr(errors, name, None), type) else _INSTEAD.get(name)
    raise AttributeError(f"module 'admit' has no attribute {name!r}" + (f": use {instead}" if instead else ""))


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
