"""The exception tree as drawn, its codes, and the public names."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from operator import attrgetter

import pytest

import admit
from admit import errors
from admit.errors import AdmitError

# Users match on these: a code that changes breaks them.
CODES = {
    "AdmitError": "admit_error",
    "ConfigurationError": "configuration",
    "InvalidKey": "invalid_key",
    "UnsupportedAlgorithm": "unsupported_algorithm",
    "RefusedClaims": "refused_claims",
    "InvalidToken": "invalid_token",
    "MalformedToken": "malformed_token",
    "UnknownKey": "unknown_key",
    "BadSignature": "bad_signature",
    "WrongType": "wrong_type",
    "ExpiredToken": "expired_token",
    "ImmatureToken": "immature_token",
    "OverlongToken": "overlong_token",
    "WrongIssuer": "wrong_issuer",
    "WrongAudience": "wrong_audience",
    "InvalidClaim": "invalid_claim",
    "RevokedToken": "revoked_token",
    "DecryptionFailed": "decryption_failed",
    "InsufficientScope": "insufficient_scope",
    "StaleAuthentication": "insufficient_user_authentication",
    "ForeignOrigin": "foreign_origin",
    "OAuthError": "invalid_request",
    "InvalidRequest": "invalid_request",
    "InvalidClient": "invalid_client",
    "InvalidGrant": "invalid_grant",
    "UnauthorizedClient": "unauthorized_client",
    "UnsupportedGrantType": "unsupported_grant_type",
    "InvalidScope": "invalid_scope",
    "InvalidTarget": "invalid_target",
    "TooManyRequests": "temporarily_unavailable",
    "MfaRequired": "mfa_required",
    "Unavailable": "temporarily_unavailable",
    "KeysUnavailable": "keys_unavailable",
    "RevocationsUnavailable": "revocations_unavailable",
    "StorageUnavailable": "storage_unavailable",
    "Overloaded": "overloaded",
    "ServiceUnreachable": "service_unreachable",
}
PUBLIC = {
    *(
        "ACCESS",
        "PLAIN",
        "AdmitError",
        "AsyncTokenService",
        "RemoteIssuer",
        "TokenService",
        "Claims",
        "ConfigurationError",
        "Cookies",
        "InvalidToken",
        "Key",
        "KeySet",
        "KeySource",
    ),
    *(
        "Kind",
        "Peeked",
        "Revocations",
        "Signer",
        "SigningBackend",
        "Unavailable",
        "Unchecked",
        "Verifier",
        "Verifiers",
        "errors",
    ),
    *("StatusLists", "client_assertion"),
    "peek",
    "presets",
}
CLASSES = [one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, AdmitError)]


def drawn() -> dict[str, str]:
    """Each class of the drawing and the class it hangs on."""
    assert errors.__doc__ is not None
    parents: dict[str, str] = {}
    branch: dict[int, str] = {}
    for line in errors.__doc__.splitlines():
        found = re.match(r"^    ([|` -]*)([A-Z]\w+)", line)
        if found is None:
            continue
        depth = len(found[1]) // 4
        names = re.findall(r"[A-Z]\w+", line) if re.fullmatch(r"[|` -]*(?:[A-Z]\w+ *)+", line) else [found[2]]
        for name in names:
            branch[depth] = name
            if depth:
                parents[name] = branch[depth - 1]
    return parents


def test_the_drawing_is_the_tree() -> None:
    real = {one.__name__: next(b.__name__ for b in one.__bases__ if issubclass(b, AdmitError)) for one in CLASSES[1:]}
    assert drawn() == real


def test_codes_are_stable() -> None:
    assert {one.__name__: one.code for one in CLASSES} == CODES


def test_every_leaf_has_a_code_of_its_own() -> None:
    leaves = [one for one in CLASSES if not one.__subclasses__()]
    assert len({one.code for one in leaves}) == len(leaves)


@pytest.mark.parametrize("one", CLASSES)
def test_what_a_client_sees_is_a_constant_of_its_own_class(one: type[AdmitError]) -> None:
    error = one("the developer's text")
    assert str(error) == "the developer's text"
    assert error.public == one.public
    assert "developer" not in error.public
    assert one.__doc__


def test_the_public_surface_is_as_pinned() -> None:
    assert set(admit.__all__) == PUBLIC
    assert admit.__all__ == sorted(admit.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))
    for name in admit.__all__:
        assert hasattr(admit, name)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("decode", "Verifier(keys, issuer=..., audience=...).verify(token)"),
        ("encode", "Signer(key, issuer=..., audience=...).sign(sub=...)"),
        ("get_unverified_header", "admit.peek(token).header"),
        ("PyJWKClient", "RemoteIssuer("),
        ("ExpiredSignatureError", "admit.errors.ExpiredToken"),
        ("RevokedToken", "admit.errors.RevokedToken"),
    ],
)
def test_a_name_of_another_library_or_place_is_answered_with_ours(name: str, instead: str) -> None:
    with pytest.raises(AttributeError, match=re.escape(f"no attribute '{name}': use {instead}")):
        getattr(admit, name)
    assert not hasattr(admit, name)


def test_what_is_offered_instead_is_there() -> None:
    for instead in admit._INSTEAD.values():
        named = re.match(r"(?:admit\.)?([\w.]+)", instead)
        assert named
        attrgetter(named[1])(admit)


@pytest.mark.parametrize("name", ["nonsense", "annotations", "ClassVar", "_private"])
def test_any_other_name_is_simply_not_there(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"no attribute '{name}'$"):
        getattr(admit, name)


@pytest.mark.parametrize(
    ("name", "missing", "extra"),
    [
        ("RemoteIssuer", "anyio", "client"),
        ("StatusLists", "httpx2", "client"),
        ("TokenService", "sqlalchemy", "service"),
        ("AsyncTokenService", "anyio", "service"),
    ],
)
def test_without_its_extra_a_name_says_which_one_it_needs(name: str, missing: str, extra: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None\nfrom admit import {name}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ModuleNotFoundError: admit.{name} needs {missing}")
    assert last.endswith(f": pip install 'admit[{extra}]'")


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "é", "\ud800", "x" * 100_000, b"\xff" * 500, "'\""])
def test_a_shown_value_cannot_forge_a_line_of_the_log(text: str | bytes) -> None:
    written = errors.shown(text)
    assert written.isascii()
    assert written.isprintable()
    assert len(written) <= 64


def test_a_value_that_cannot_be_written_is_shown_as_its_type() -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise KeyError("hush")

    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    for value in (Hostile(), nested, 10**5000):
        assert errors.shown(value) == f"<{type(value).__name__}>"
