"""auth_router: login, refresh, logout and what else an issuer answers, inside one's own FastAPI application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from admit.server.app import FIRST_PARTY_ENDPOINTS, ISSUER_ENDPOINTS, create_context
from admit.server.openapi import embedded

if TYPE_CHECKING:
    from admit.service.facade import TokenService
    from admit.tokens.cookies import Cookies


def auth_router(auth: TokenService, *, cookies: Cookies | None = None) -> APIRouter:
    """The endpoints of a token service, for `app.include_router(auth_router(auth))`.

    With a prefix (`include_router(..., prefix="/auth")`) the service's issuer ends in that prefix: others find its keys
    below it. The application's own server and proxy rules decide what a request's address is, and its CORSMiddleware which
    other pages may read the answers.

    cookies: pages of these origins get their tokens in cookies; the doors are given the same. Raises ConfigurationError
    where they and the issuer are not of one scheme.
    """
    router = APIRouter(tags=["auth"])
    context = create_context(auth, cookies=cookies)
    for row in (*FIRST_PARTY_ENDPOINTS, *ISSUER_ENDPOINTS):
        router.add_api_route(
            row.path,
            row.bind(context),
            methods=[row.method],
            name=f"{row.method} {row.path}",
            openapi_extra=embedded(row.method, row.path, cookies),
        )
    return router
