"""Kinds of the issuers that many people use, as those document them. Give one to a verifier: `kind=presets.OKTA_ACCESS`.

Each accepts one kind of token of its issuer and refuses the others: an ID token says who logged in to a client, and is no
permission to use an API. Where an issuer's access tokens are opaque (Google) or do not exist (Firebase), there is no kind.
An issuer that is set up to follow RFC 9068 (Auth0's and Keycloak's switches for it) needs no preset, but ACCESS.
A domain of your own that a pattern does not know: `dataclasses.replace(presets.COGNITO_ACCESS, issuer=None)`.
"""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import Final

from admit.tokens import kinds
from admit.tokens.kinds import Kind

# What only an ID token carries (OpenID Connect Core 1.0 2, 3.3.2.11).
_OF_ID_TOKENS: Final = frozenset(("nonce", "at_hash", "c_hash"))
_RS256: Final = frozenset(("RS256",))
_GUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

_AUTH0: Final = r"https://[^/?#]+/"  # ends with a slash, also under a domain of one's own
AUTH0_ACCESS: Final = Kind(
    name="auth0-access",
    typ="JWT",
    required=frozenset(("sub", "iat", "azp")),
    forbidden=_OF_ID_TOKENS | {"client_id"},
    issuer=_AUTH0,
    algorithms=_RS256,
    names=(("client_id", "azp"),),
)
"""An access token of Auth0's own profile, its default. For its RFC 9068 profile use ACCESS."""
AUTH0_ID: Final = Kind(
    name="auth0-id",
    typ="JWT",
    required=frozenset(("sub", "iat")),
    forbidden=frozenset(("azp", "scope", "gty", "permissions", "client_id")),
    issuer=_AUTH0,
    algorithms=_RS256,
)
"""An ID token of Auth0; the audience is your client's id."""

_COGNITO: Final = r"https://cognito-idp\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?/[A-Za-z0-9_-]+"
COGNITO_ACCESS: Final = Kind(
    name="cognito-access",
    typ=None,
    required=frozenset(("sub", "iat", "jti", "client_id")),
    forbidden=_OF_ID_TOKENS | {"aud"},
    issuer=_COGNITO,
    algorithms=_RS256,
    names=(("aud", "client_id"),),
    marks=(("token_use", "access"),),
)
"""An access token of an Amazon Cognito user pool. It has no aud: the audience to expect is the app client's id."""
COGNITO_ID: Final = Kind(
    name="cognito-id",
    typ=None,
    required=frozenset(("sub", "iat")),
    forbidden=frozenset(("client_id", "scope")),
    issuer=_COGNITO,
    algorithms=_RS256,
    marks=(("token_use", "id"),),
)
"""An ID token of an Amazon Cognito user pool; the audience is the app client's id."""

# A tenant by its id: "common" and "organizations" are places to log in, not issuers.
_ENTRA: Final = rf"https://[^/?#]+/{_GUID}/v2\.0"
_ENTRA_V1: Final = rf"https://sts\.[^/?#]+/{_GUID}/"
_ENTRA_LIFE: Final = timedelta(hours=28)  # of access tokens under continuous access evaluation
ENTRA_ACCESS: Final = Kind(
    name="entra-access",
    typ="JWT",
    required=frozenset(("sub", "iat", "azp")),
    forbidden=_OF_ID_TOKENS | {"appid"},
    max_lifetime=_ENTRA_LIFE,
    issuer=_ENTRA,
    algorithms=_RS256,
    names=(("client_id", "azp"), ("scope", "scp"), ("jti", "uti")),
    marks=(("ver", r"2\.0"),),
)
"""An access token of Microsoft Entra, version 2.0; the audience is the API's client id."""
ENTRA_ACCESS_V1: Final = Kind(
    name="entra-access-v1",
    typ="JWT",
    required=frozenset(("sub", "iat", "appid")),
    forbidden=_OF_ID_TOKENS | {"azp"},
    max_lifetime=_ENTRA_LIFE,
    issuer=_ENTRA_V1,
    algorithms=_RS256,
    names=(("client_id", "appid"), ("scope", "scp"), ("jti", "uti")),
    marks=(("ver", r"1\.0"),),
)
"""An access token of Microsoft Entra, version 1.0, as APIs get by default; the audience is often `api://` and a client id."""
ENTRA_ID: Final = Kind(
    name="entra-id",
    typ="JWT",
    required=frozenset(("sub", "iat")),
    forbidden=frozenset(("azp", "azpacr", "appid", "appidacr", "scp")),
    issuer=rf"{_ENTRA}|{_ENTRA_V1}",
    algorithms=_RS256,
    names=(("jti", "uti"),),
    marks=(("ver", r"[12]\.0"),),
)
"""An ID token of Microsoft Entra; the audience is your client's id."""

GOOGLE_ID: Final = Kind(
    name="google-id",
    typ="JWT",
    required=frozenset(("sub", "iat")),
    issuer=r"https://accounts\.google\.com",
    same_issuers=frozenset(("https://accounts.google.com", "accounts.google.com")),
    algorithms=_RS256,
)
"""An ID token of Google, whose issuer has two spellings; the audience is your client's id. Its access tokens are opaque."""

FIREBASE_ID: Final = Kind(
    name="firebase-id",
    typ="JWT",
    required=frozenset(("sub", "iat", "auth_time", "firebase")),
    issuer=r"https://securetoken\.google\.com/(?P<audience>[a-z0-9-]+)",
    algorithms=_RS256,
)
"""An ID token of Firebase Authentication, which is what its clients send to APIs; the audience is the project's id."""

OKTA_ACCESS: Final = Kind(
    name="okta-access",
    typ=None,
    required=frozenset(("sub", "iat", "cid")),
    forbidden=_OF_ID_TOKENS,
    issuer=r"https://[^/?#]+/oauth2/[A-Za-z0-9]+",
    algorithms=_RS256,
    names=(("client_id", "cid"), ("scope", "scp")),
    marks=(("jti", r"AT\..+"),),
)
"""An access token of an Okta custom authorization server. Those of the organization itself are for Okta alone."""
OKTA_ID: Final = Kind(
    name="okta-id",
    typ=None,
    required=frozenset(("sub", "iat")),
    forbidden=frozenset(("cid", "scp")),
    issuer=r"https://[^/?#]+(?:/oauth2/[A-Za-z0-9]+)?",
    algorithms=_RS256,
    marks=(("jti", r"ID\..+"),),
)
"""An ID token of Okta; the audience is your client's id."""

_KEYCLOAK: Final = r"https?://[^/?#]+(?:/[^?#]*)?/realms/[^/?#]+"
KEYCLOAK_ACCESS: Final = Kind(
    name="keycloak-access",
    typ="JWT",
    other_types=frozenset(("at+jwt",)),
    required=frozenset(("sub", "iat", "jti", "azp")),
    forbidden=_OF_ID_TOKENS - {"nonce"},  # before version 24 access tokens repeat the nonce
    issuer=_KEYCLOAK,
    names=(("client_id", "azp"),),
    marks=(("typ", "Bearer"),),
)
"""An access token of Keycloak. Without an audience mapper its aud is `account`, which is Keycloak's own."""
KEYCLOAK_ID: Final = Kind(
    name="keycloak-id",
    typ="JWT",
    required=frozenset(("sub", "iat", "jti")),
    issuer=_KEYCLOAK,
    marks=(("typ", "ID"),),
)
"""An ID token of Keycloak; the audience is your client's id."""

ALL: Final = tuple(value for value in dict(globals()).values() if isinstance(value, Kind))


@lru_cache(maxsize=32)
def accepting(typ: str | None) -> str:
    """The kinds of access token that have that typ, for an error to offer; "" where there is none."""
    fitting = [kind.name for kind in ALL if kind.name.endswith(("-access", "-v1")) and kind.accepts(typ)]
    offered = [f"presets.{name.upper().replace('-', '_')}" for name in fitting]
    return ", ".join(["ACCESS", *offered] if kinds.ACCESS.accepts(typ) else offered)
