"""The OpenAPI 3.1 description of every endpoint and every answer, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from admit.tokens.cookies import Cookies

from admit.tokens.client_assertion import ASSERTION_TYPE

Json = dict[str, Any]


def _object(properties: Json, *required: str, closed: bool = False) -> Json:
    schema: Json = {"type": "object", "properties": properties, "required": list(required)}
    return {**schema, "additionalProperties": False} if closed else schema


def _text(description: str, **more: object) -> Json:
    return {"type": "string", "description": description, **more}


_NUMBER: Json = {"type": "number"}
_ERROR: Json = _object(
    {
        "error": _text("A stable code (RFC 6749 5.2)."),
        "error_description": _text("For a developer to read; never a secret."),
    },
    "error",
    "error_description",
    closed=True,
)
_ACCESS: Json = {
    "access_token": _text("A JWT (RFC 9068)."),
    "token_type": _text("How to present it.", const="Bearer"),
    "expires_in": {"type": "integer", "description": "Seconds until the access token expires."},
    "scope": _text("The granted scopes, separated by spaces; absent where there are none."),
}
_GRANTED: Json = _object(
    {**_ACCESS, "refresh_token": _text("For one refresh: each answer brings the next one.")},
    "access_token",
    "token_type",
    "expires_in",
    closed=True,
)
_SESSION: Json = _object(
    {
        "id": _text("The session, as `sid` in its access tokens."),
        "client_id": _text("The client it was begun with."),
        "scope": _text("The scopes it was granted."),
        "device": _text("What the login said of its device, or its User-Agent."),
        "address": _text("Where it was begun."),
        "created_at": _NUMBER,
        "last_used_at": _NUMBER,
        "expires_at": _NUMBER,
        "auth_time": _NUMBER,
        "auth_method": _text("How the user logged in."),
        "current": {"type": "boolean", "description": "Whether the request's own token belongs to it."},
    },
    "id",
    "current",
    closed=True,
)
_JWKS: Json = _object({"keys": {"type": "array", "items": {"type": "object"}}}, "keys", closed=True)


def _content(schema: Json, media: str = "application/json") -> Json:
    return {"content": {media: {"schema": schema} if schema else {}}}


def _ok(description: str, schema: Json | None = None, media: str = "application/json") -> Json:
    return {"description": description, **(_content(schema, media) if schema is not None else {})}


_ERRORS: Final[dict[str, str]] = {
    "400": "The request cannot be read, or is refused (RFC 6749 5.2).",
    "401": "The credentials or the token are not valid.",
    "403": "The token lacks a scope, or the request did not come through the trusted proxy.",
    "404": "There is no such thing.",
    "405": "The path knows other methods.",
    "406": "The answer is of a media type that was not asked for.",
    "408": "The body took too long to arrive.",
    "413": "The body is too large.",
    "415": "The body is of another media type, charset or encoding.",
    "429": "Too many requests; Retry-After says when to come again.",
    "500": "The service met an unexpected condition.",
    "501": "That is not kept.",
    "503": "Nothing was judged; try again after Retry-After.",
}
_FOR_THE_ISSUER: Final = (
    "Takes an access token of the first-party client whose audience is the issuer itself: /login and /token give one"
    " where `audience` is the issuer's URL. A token for an API is refused, because that API could replay it here."
)
_ALWAYS = ("403", "405", "500", "503")
_BODY = ("400", "408", "413", "415", "429")


def _answers(success: Json, *errors: str) -> Json:
    """The responses of one operation: its success by status, and the errors it can meet."""
    refused = {
        status: {"description": _ERRORS[status], **_content({"$ref": "#/components/schemas/Error"})}
        for status in sorted({*errors, *_ALWAYS})
    }
    return {**success, **refused}


def _body(schema: Json, *, json: bool = False) -> Json:
    media = ["application/x-www-form-urlencoded", *(["application/json"] if json else [])]
    return {"required": True, "content": {kind: {"schema": schema} for kind in media}}


def _query(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


_OTP: Json = _text("A code of the second factor, or a recovery code: where the answer was mfa_required.")
_CODE: Json = _text("A code of the second factor, or a recovery code; it is used up.")
_RECOVERY: Json = _object(
    {"recovery_codes": {"type": "array", "items": _text("Good once; shown this once.")}}, "recovery_codes", closed=True
)
_SOON: Final = (
    _FOR_THE_ISSUER + " The login must be at most five minutes ago, else the answer is 401 and max_age (RFC 9470)."
)
_CLIENT: Json = {
    "client_id": _text("The client, where it does not authenticate by Basic."),
    "client_secret": _text("Its secret, where it does not authenticate by Basic."),
    "client_assertion": _text("A JWT under the client's own key, in the place of a secret (RFC 7523 2.2)."),
    "client_assertion_type": _text("Comes with it.", const=ASSERTION_TYPE),
}
_WANTED: Json = {
    "scope": _text("Scopes, separated by spaces; only among those granted."),
    "audience": _text("Whom the access token is for; only one that the client may have."),
}
_PUBLIC_OR_BASIC: list[Json] = [{}, {"client": []}]
_SECONDS = r"^[0-9]{1,6}(\.[0-9]{1,6})?$"
_NUMBERS: Json = {"type": "integer", "minimum": 0, "maximum": 999_999_999_999_999_999}


OPERATIONS: Final[dict[tuple[str, str], Json]] = {
    ("POST", "/token"): {
        "summary": "An access token by refresh_token or client_credentials (RFC 6749 6, 4.4)",
        "security": _PUBLIC_OR_BASIC,
        "requestBody": _body(
            _object(
                {
                    "grant_type": _text("The grant.", enum=["refresh_token", "client_credentials"]),
                    "refresh_token": _text("For refresh_token: the newest one of the session."),
                    **_WANTED,
                    **_CLIENT,
                },
                "grant_type",
            )
        ),
        "responses": _answers({"200": _ok("The new tokens.", {"$ref": "#/components/schemas/Tokens"})}, "401", *_BODY),
    },
    ("POST", "/login"): {
        "summary": "A first-party session by name and password",
        "security": [],
        "requestBody": _body(
            _object(
                {
                    "username": _text("The user's name."),
                    "password": _text("The password.", format="password"),
                    "otp": _OTP,
                    "device": _text("What to call this session in the list of sessions."),
                    **_WANTED,
                },
                "username",
                "password",
            ),
            json=True,
        ),
        "responses": _answers(
            {"200": _ok("The session's tokens.", {"$ref": "#/components/schemas/Tokens"})}, "401", *_BODY
        ),
    },
    ("POST", "/logout"): {
        "summary": "End the session of a refresh token",
        "security": [],
        "requestBody": _body(_object({"refresh_token": _text("Any one of the session.")}, "refresh_token"), json=True),
        "responses": _answers({"204": _ok("The session is over, or never was.")}, *_BODY),
    },
    ("POST", "/password"): {
        "summary": "Another password for the token's subject, which ends every session",
        "description": _FOR_THE_ISSUER,
        "security": [{"bearer": []}],
        "requestBody": _body(
            _object(
                {
                    "old_password": _text("The password until now.", format="password"),
                    "new_password": _text("The new one.", format="password"),
                    "otp": _OTP,
                },
                "old_password",
                "new_password",
            ),
            json=True,
        ),
        "responses": _answers({"204": _ok("The new password holds, and every session is over.")}, "401", *_BODY),
    },
    ("GET", "/second-factor"): {
        "summary": "Whether the token's subject has a second factor",
        "description": _FOR_THE_ISSUER,
        "security": [{"bearer": []}],
        "responses": _answers(
            {
                "200": _ok(
                    "It is asked for, or not.", _object({"enrolled": {"type": "boolean"}}, "enrolled", closed=True)
                )
            },
            *("400", "401"),
        ),
    },
    ("POST", "/second-factor"): {
        "summary": "Begin to enroll an authenticator app",
        "description": _SOON,
        "security": [{"bearer": []}],
        "responses": _answers(
            {
                "200": _ok(
                    "A fresh seed, a secret of the user's; confirm it with a first code.",
                    _object(
                        {"uri": _text("otpauth://, for the app."), "svg": _text("The same as a QR code.")},
                        *("uri", "svg"),
                        closed=True,
                    ),
                )
            },
            *("400", "401"),
        ),
    },
    ("POST", "/second-factor/confirm"): {
        "summary": "Turn the second factor on with a first code",
        "description": _SOON,
        "security": [{"bearer": []}],
        "requestBody": _body(_object({"otp": _text("A code of the app that was enrolled.")}, "otp"), json=True),
        "responses": _answers({"200": _ok("Logins ask for it from now on.", _RECOVERY)}, "401", *_BODY),
    },
    ("POST", "/second-factor/recovery-codes"): {
        "summary": "Fresh recovery codes in place of the old ones",
        "description": _SOON,
        "security": [{"bearer": []}],
        "requestBody": _body(_object({"otp": _CODE}, "otp"), json=True),
        "responses": _answers({"200": _ok("The old ones open nothing.", _RECOVERY)}, "401", *_BODY),
    },
    ("POST", "/second-factor/remove"): {
        "summary": "Take the second factor away",
        "description": _SOON,
        "security": [{"bearer": []}],
        "requestBody": _body(_object({"otp": _CODE}, "otp"), json=True),
        "responses": _answers({"204": _ok("A password is enough again.")}, "401", *_BODY),
    },
    ("GET", "/sessions"): {
        "summary": "The token's subject's live sessions",
        "description": _FOR_THE_ISSUER,
        "security": [{"bearer": []}],
        "responses": _answers(
            {
                "200": _ok(
                    "Newest first.",
                    _object({"sessions": {"type": "array", "items": _SESSION}}, "sessions", closed=True),
                )
            },
            "400",
            "401",
        ),
    },
    ("DELETE", "/sessions"): {
        "summary": "End every session of the token's subject and cut off its access tokens",
        "description": _FOR_THE_ISSUER,
        "security": [{"bearer": []}],
        "parameters": [
            _query("keep", "`current` keeps the session of the token that asks.", {"const": "current"}),
        ],
        "responses": _answers({"204": _ok("Logged out everywhere.")}, "400", "401"),
    },
    ("DELETE", "/sessions/{id}"): {
        "summary": "End one session of the token's subject",
        "description": _FOR_THE_ISSUER,
        "security": [{"bearer": []}],
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
        "responses": _answers({"204": _ok("The session is over.")}, "400", "401", "404"),
    },
    ("POST", "/revoke"): {
        "summary": "Revoke a refresh token with its session, or an access token (RFC 7009)",
        "security": _PUBLIC_OR_BASIC,
        "requestBody": _body(
            _object(
                {"token": _text("The token."), "token_type_hint": _text("Not needed, and not used."), **_CLIENT},
                "token",
            )
        ),
        "responses": _answers({"200": _ok("Revoked, or unknown: the two look alike.")}, "401", *_BODY),
    },
    ("POST", "/introspect"): {
        "summary": "What a token is (RFC 7662), for confidential clients",
        "security": _PUBLIC_OR_BASIC,
        "requestBody": _body(
            _object(
                {"token": _text("The token."), "token_type_hint": _text("Not needed, and not used."), **_CLIENT},
                "token",
            )
        ),
        "responses": _answers(
            {"200": _ok("`active: false` says nothing more.", _object({"active": {"type": "boolean"}}, "active"))},
            "401",
            *_BODY,
        ),
    },
    ("GET", "/revocations"): {
        "summary": "What was cut off early, signed; a long poll where `since` is the newest",
        "security": [{}, {"client": []}],  # a setting says which
        "parameters": [
            _query("since", "The sequence number already known; without it, everything.", _NUMBERS),
            _query("epoch", "The feed that number belongs to; with another one, everything.", {"type": "string"}),
            _query(
                "wait", "Seconds to wait for news; at most 25, the default.", {"type": "string", "pattern": _SECONDS}
            ),
        ],
        "responses": _answers({"200": _ok("A JWS of type revocations+jwt.", {}, "application/jwt")}, "400", "401"),
    },
    ("GET", "/status-lists"): {
        "summary": "Where the status lists are (draft-ietf-oauth-status-list 9.3); none unless the service publishes them",
        "security": [],
        "responses": _answers(
            {
                "200": _ok(
                    "Their URIs.",
                    _object({"status_lists": {"type": "array", "items": {"type": "string"}}}, "status_lists"),
                )
            }
        ),
    },
    ("GET", "/status-lists/{number}"): {
        "summary": "The statuses of sessions, as places in a signed list (draft-ietf-oauth-status-list 8)",
        "security": [],
        "parameters": [{"name": "number", "in": "path", "required": True, "schema": {"type": "string"}}],
        "responses": _answers(
            {
                "200": _ok("A JWT of type statuslist+jwt.", {}, "application/statuslist+jwt"),
                "304": _ok("It is the one named in If-None-Match."),
            },
            "400",
            "404",
            "406",
            "501",
        ),
    },
    ("GET", "/.well-known/jwks.json"): {
        "summary": "The keys that verify access tokens (RFC 7517 5)",
        "security": [],
        "responses": _answers({"200": _ok("A JWK Set.", _JWKS)}),
    },
    ("GET", "/.well-known/revocations-jwks.json"): {
        "summary": "The keys that verify the revocation feed, and nothing else",
        "security": [],
        "responses": _answers({"200": _ok("A JWK Set.", _JWKS)}),
    },
    ("GET", "/.well-known/oauth-authorization-server"): {
        "summary": "Where everything is (RFC 8414)",
        "security": [],
        "responses": _answers({"200": _ok("The metadata.", _object({"issuer": {"type": "string"}}, "issuer"))}),
    },
    ("GET", "/healthz"): {
        "summary": "Whether the process answers",
        "security": [],
        "responses": _answers({"200": _ok("It does.", _object({"status": {"const": "ok"}}, "status"))}),
    },
    ("GET", "/readyz"): {
        "summary": "Whether the service can work: database, schema, keys",
        "security": [],
        "responses": _answers({"200": _ok("It can.", _object({"status": {"const": "ready"}}, "status"))}),
    },
    ("GET", "/metrics"): {
        "summary": "Metrics for Prometheus, on loopback only",
        "security": [],
        "responses": _answers({"200": _ok("Prometheus' text format.", {"type": "string"}, "text/plain")}, "404"),
    },
}


_IN_COOKIES: Final[Json] = _object({name: _ACCESS[name] for name in ("expires_in", "scope")}, "expires_in", closed=True)


def with_cookies(operation: Json, cookies: Cookies | None) -> Json:
    """The operation where pages have their tokens in cookies: it answers them without tokens, and may be asked by cookie."""
    if cookies is None:
        return operation
    granted = operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if granted.get("$ref") == "#/components/schemas/Tokens":
        set_cookie = {"Set-Cookie": {"description": "Both tokens, for a page.", "schema": {"type": "string"}}}
        answer = _ok("The new tokens; a page of ours gets them in cookies.", {"anyOf": [granted, _IN_COOKIES]})
        operation = {**operation, "responses": {**operation["responses"], "200": {**answer, "headers": set_cookie}}}
    if {"bearer": []} in operation["security"]:
        operation = {**operation, "security": [*operation["security"], {"cookie": []}]}
    body = operation.get("requestBody", {}).get("content", {})
    if any(content["schema"]["required"] == ["refresh_token"] for content in body.values()):
        operation = {**operation, "requestBody": {**operation["requestBody"], "required": False}}
    return operation


def document(issuer: str, cookies: Cookies | None = None) -> Json:
    """The whole OpenAPI document of a service."""
    paths: dict[str, Json] = {}
    for (method, path), plain in OPERATIONS.items():
        operation = with_cookies(plain, cookies)
        name = f"{method} {path}".lower().translate(str.maketrans("/ .-{}", "______")).strip("_")
        paths.setdefault(path, {})[method.lower()] = {"operationId": name, **operation}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Admit token service",
            "version": "1",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": issuer}],
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR, "Tokens": _GRANTED},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "client": {"type": "http", "scheme": "basic"},
                **({"cookie": {"type": "apiKey", "in": "cookie", "name": cookies.refresh}} if cookies else {}),
            },
        },
    }


def embedded(method: str, path: str, cookies: Cookies | None = None) -> Json:
    """One operation that stands alone, for the document of another application: no references to our components."""
    schemas = {"#/components/schemas/Error": _ERROR, "#/components/schemas/Tokens": _GRANTED}

    def alone(value: Any) -> Any:
        if isinstance(value, dict):
            return schemas.get(value.get("$ref", "")) or {key: alone(below) for key, below in value.items()}
        return [alone(below) for below in value] if isinstance(value, list) else value

    operation: Json = alone(with_cookies(OPERATIONS[method, path], cookies))
    return {key: value for key, value in operation.items() if key != "security"}
