"""auth_router: login, refresh, logout and what else an issuer answers, inside one's own FastAPI application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from admit.server.app import FIRST_PARTY_ENDPOINTS, ISSUER_ENDPOINTS, create_context
from admit.server.openapi import embedded

if TYPE_CHECKING:
    from admit.service.facade import TokenService


def auth_router(auth: TokenService) -> APIRouter:
    """The endpoints of a token service, for `app.include_router(auth_router(auth))`.

    With a prefix (`include_router(..., prefix="/auth")`) the service's issuer ends in that prefix: others find its keys
    below it. The application's own server and proxy rules decide what a request's address is.
    """
    router = APIRouter(tags=["auth"])
    context = create_context(auth)
    for row in (*FIRST_PARTY_ENDPOINTS, *ISSUER_ENDPOINTS):
        router.add_api_route(
            row.path,
            row.bind(context),
            methods=[row.method],
            name=f"{row.method} {row.path}",
            openapi_extra=embedded(row.method, row.path),
        )
    return router
