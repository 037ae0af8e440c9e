"""What others read of the service: authorization server metadata (RFC 8414) and the two key sets (RFC 7517 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admit.jose.algorithms import ALGORITHMS
from admit.server.errors import answer
from admit.server.token import GRANTS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from admit.server.endpoint import Context

CACHED = {"Cache-Control": "public, max-age=300"}
"""Seconds a document may be reused."""

_METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
_ALGORITHMS = [row.name for row in ALGORITHMS.values() if not row.symmetric]
"""What client assertions are signed with; a registered key has one of them, and only that."""


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
