"""What others read of the service: authorization server metadata (RFC 8414) and the two key sets (RFC 7517 5)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from admit.errors import ConfigurationError, shown
from admit.jose.algorithms import ALGORITHMS
from admit.server.errors import answer
from admit.server.proxy import is_loopback
from admit.server.token import GRANTS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from admit.server.endpoint import Context

METADATA: Final = "/.well-known/oauth-authorization-server"
"""Where the metadata is, below an issuer without a path (RFC 8414 3)."""
CACHED = {"Cache-Control": "public, max-age=300"}
"""Seconds a document may be reused."""

_METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
_ALGORITHMS = [row.name for row in ALGORITHMS.values() if not row.symmetric]
"""What client assertions are signed with; a registered key has one of them, and only that."""
_PATH: Final = re.compile(r"[A-Za-z0-9/._~!$&'()*+,;=:@%-]*")  # of a URL (RFC 3986 3.3)


def check_issuer(issuer: str) -> None:
    """Raises ConfigurationError for an issuer that is no https URL; http only on loopback (RFC 8414 2)."""
    try:
        parts = urlsplit(issuer)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or "@" in parts.netloc or port == 0 or parts.query or parts.fragment:
        raise ConfigurationError(f"the issuer {shown(issuer)} is not a URL without query and fragment")
    if not _PATH.fullmatch(parts.path):
        raise ConfigurationError(f"the path of the issuer {shown(issuer)} holds what no URL does")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ConfigurationError(
            f"the issuer {shown(issuer)} is not https: whoever sits between could forge the keys it publishes"
        )


async def metadata(context: Context, request: Request) -> Response:  # noqa: ARG001
    """RFC 8414 2; the last two members are Admit's own."""
    issuer = context.service.issuer
    base = issuer.rstrip("/")
    document: dict[str, object] = {
        "issuer": issuer,
        "token_endpoint": f"{base}/token",
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "revocation_endpoint": f"{base}/revoke",
        "introspection_endpoint": f"{base}/introspect",
        "grant_types_supported": list(GRANTS),
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": [*_METHODS, "none"],
        "revocation_endpoint_auth_methods_supported": [*_METHODS, "none"],
        "introspection_endpoint_auth_methods_supported": _METHODS,
        "token_endpoint_auth_signing_alg_values_supported": _ALGORITHMS,
        "revocation_endpoint_auth_signing_alg_values_supported": _ALGORITHMS,
        "introspection_endpoint_auth_signing_alg_values_supported": _ALGORITHMS,
        "revocations_uri": f"{base}/revocations",
        "revocations_jwks_uri": f"{base}/.well-known/revocations-jwks.json",
    }
    if context.service.policy.status_list_ttl:
        document["status_list_aggregation_endpoint"] = f"{base}/status-lists"
    return answer(document, headers=CACHED)


async def jwks(context: Context, request: Request) -> Response:  # noqa: ARG001
    """The keys that access tokens are verified with."""
    return answer(await context.calls.jwks(), headers=_cached_keys(context))


async def feed_jwks(context: Context, request: Request) -> Response:  # noqa: ARG001
    """The keys that sign the revocation feed and nothing else."""
    return answer(await context.calls.feed_jwks(), headers=_cached_keys(context))


def _cached_keys(context: Context) -> dict[str, str]:
    return {"Cache-Control": f"public, max-age={context.service.policy.jwks_max_age}"}
