"""One endpoint behind each kind of door, for bench/door.py: `uvicorn --factory _door_apps:make`, told what by BENCH_DOOR."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import jwt
from _peers import (  # type: ignore[import-not-found]  # beside this script
    AUDIENCE,
    ISSUER,
    REQUIRED,
    verifier,
)
from fastapi import Depends, FastAPI, HTTPException, Security
from fastapi.security import OAuth2PasswordBearer
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from admit import Claims, Key
from admit.web.fastapi import Bearer
from admit.web.starlette import BearerMiddleware


async def hello(request: Request) -> JSONResponse:
    """The endpoint that all of them guard."""
    return JSONResponse({"hello": "world"})


def make() -> Any:
    """The application that BENCH_DOOR names, judging with the key in BENCH_KEY (a JWK)."""
    key = Key.from_jwk(json.loads(os.environ["BENCH_KEY"]))
    return APPS[os.environ["BENCH_DOOR"]](key)


def _starlette(*middleware: Middleware) -> Starlette:
    return Starlette(routes=[Route("/", hello)], middleware=middleware)


def _fastapi(dependency: object) -> FastAPI:
    app = FastAPI()

    @app.get("/", dependencies=[dependency] if dependency else [])  # type: ignore[list-item]
    async def read() -> JSONResponse:
        return JSONResponse({"hello": "world"})

    return app


def _decode(key: Key) -> Callable[[str], dict[str, Any]]:
    """PyJWT's fastest documented use: a prepared key object."""
    public, options = key._material[1], {"require": REQUIRED}
    return lambda token: jwt.decode(token, public, [key.alg], options, audience=AUDIENCE, issuer=ISSUER)  # type: ignore[arg-type]


def _pyjwt_starlette(key: Key) -> Starlette:
    decode = _decode(key)

    class Backend(AuthenticationBackend):
        """As Starlette's documentation writes one."""

        async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser]:
            scheme, _, token = conn.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer":
                raise AuthenticationError("no bearer token")
            try:
                claims = decode(token)
            except jwt.InvalidTokenError:
                raise AuthenticationError("not a valid token") from None
            return AuthCredentials(claims["scope"].split()), SimpleUser(claims["sub"])

    return _starlette(Middleware(AuthenticationMiddleware, backend=Backend()))


def _pyjwt_fastapi(key: Key) -> FastAPI:
    decode, scheme = _decode(key), OAuth2PasswordBearer(tokenUrl="token")

    async def current(token: str = Depends(scheme)) -> dict[str, Any]:
        """As FastAPI's tutorial writes it."""
        try:
            return decode(token)
        except jwt.InvalidTokenError:
            raise HTTPException(401, "not a valid token", {"WWW-Authenticate": "Bearer"}) from None

    return _fastapi(Depends(current))


def _admit_starlette(key: Key, cache: int) -> Starlette:
    return _starlette(Middleware(BearerMiddleware, verifier=verifier(key, cache=cache)))


def _admit_fastapi(key: Key, cache: int) -> FastAPI:
    return _fastapi(Security(Bearer[Claims[None]](verifier(key, cache=cache)), scopes=[]))


APPS: dict[str, Callable[[Key], Any]] = {
    "Starlette: no door": lambda key: _starlette(),
    "Starlette: Admit, cached": lambda key: _admit_starlette(key, 1000),
    "Starlette: Admit": lambda key: _admit_starlette(key, 0),
    "Starlette: PyJWT": _pyjwt_starlette,
    "FastAPI: no door": lambda key: _fastapi(None),
    "FastAPI: Admit, cached": lambda key: _admit_fastapi(key, 1000),
    "FastAPI: Admit": lambda key: _admit_fastapi(key, 0),
    "FastAPI: PyJWT": _pyjwt_fastapi,
}
