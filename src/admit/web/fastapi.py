"""Bearer tokens for FastAPI: `Annotated[Claims[Mine], Security(bearer, scopes=["orders:read"])]`."""
# No postponed annotations here: FastAPI reads those of Bearer.__call__ and cannot resolve strings on an object's
# method.

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Generic, TypeVar

from fastapi import HTTPException
from fastapi.openapi.models import HTTPBearer, OAuth2, OAuthFlowClientCredentials, OAuthFlows
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from admit.errors import AdmitError
from admit.tokens.claims import Claims
from admit.tokens.several import Verifiers
from admit.tokens.verifier import Verifier
from admit.web.bearer import Door, checked_age, checked_scopes, headers_of

E = TypeVar("E")

_ERROR = {
    "application/json": {
        "schema": {
            "title": "Refusal",
            "type": "object",
            "required": ["detail"],
            "properties": {"detail": {"type": "string"}},
        }
    }
}
_CHALLENGE = {
    "WWW-Authenticate": {"description": "The challenge (RFC 6750 3)", "schema": {"type": "string"}},
}
_RETRY = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}


class Bearer(SecurityBase, Generic[E]):
    """A security dependency: the claims of the request's bearer token, if it carries the scopes that the route asks
    for.

    verifier: whose tokens are let in. scheme_name: in the OpenAPI document, whose Authorize button takes a token.
    token_url: makes that button ask for a client id and secret, and get the token from there itself. scopes: their
    descriptions, for that form. realm: for the challenge. max_age: how long ago the user's login may be, for routes that
    need a recent one (RFC 9470).

    `FastAPI(responses=bearer.responses)` documents what a refused request gets. In tests,
    `app.dependency_overrides[bearer] = lambda: claims`. RFC 6750.
    """

    responses: dict[int | str, dict[str, Any]] = {  # noqa: RUF012 - FastAPI's own type for it
        400: {"description": "Malformed Authorization header", "content": _ERROR, "headers": _CHALLENGE},
        401: {"description": "No token, or one that is not valid", "content": _ERROR, "headers": _CHALLENGE},
        403: {"description": "The token lacks a scope", "content": _ERROR, "headers": _CHALLENGE},
        503: {"description": "Nothing could be judged; try again", "content": _ERROR, "headers": _RETRY},
    }

    def __init__(
        self,
        verifier: Verifier[E] | Verifiers[E],
        *,
        scheme_name: str = "Bearer",
        description: str | None = None,
        token_url: str | None = None,
        scopes: Mapping[str, str] | None = None,
        realm: str | None = None,
        max_age: timedelta | None = None,
    ) -> None:
        self.door, self._max_age = Door(verifier, realm=realm), checked_age(max_age)
        self.scheme_name = scheme_name
        checked_scopes(scopes or ())
        if token_url is None:
            self.model = HTTPBearer(bearerFormat="JWT", description=description)
        else:
            flow = OAuthFlowClientCredentials(tokenUrl=token_url, scopes=dict(scopes or {}))
            self.model = OAuth2(flows=OAuthFlows(clientCredentials=flow), description=description)

    async def __call__(self, request: HTTPConnection, security_scopes: SecurityScopes) -> Claims[E]:
        """The claims, or an HTTPException with the status and headers of RFC 6750 3."""
        try:
            return await self.door.admit(headers_of(request.scope["headers"]), security_scopes.scopes, self._max_age)
        except AdmitError as error:
            refusal = self.door.refuse(error, security_scopes.scopes)
            headers = {name: value for name, value in refusal.headers.items() if name != "Content-Type"}
            raise HTTPException(refusal.status, error.public, headers) from None
