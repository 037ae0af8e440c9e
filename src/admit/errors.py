"""Everything Admit raises, drawn as a tree. Each leaf has a stable `code`.

    AdmitError
    |-- ConfigurationError          a mistake in the program; raised when an object is built
    |   |-- InvalidKey              a key that is malformed, too weak, or of the wrong sort
    |   `-- UnsupportedAlgorithm    an algorithm that Admit does not have
    |-- RefusedClaims               the signer will not put this into a token
    |-- InvalidToken                the token is refused: RFC 6750 `invalid_token`, HTTP 401
    |   |-- MalformedToken          not a token: shape, encoding, JSON, size, header
    |   |-- UnknownKey              no key of this issuer has that kid ("not mine")
    |   |-- BadSignature            the key is known and the signature is not its own ("broken")
    |   |-- WrongType               another kind of token (typ)
    |   |-- ExpiredToken            now is at or after exp
    |   |-- ImmatureToken           now is before nbf or iat
    |   |-- OverlongToken           it lives longer than the verifier allows
    |   |-- WrongIssuer             iss
    |   |-- WrongAudience           aud
    |   |-- InvalidClaim            a claim is missing, forbidden, or of the wrong type
    |   |-- RevokedToken            cut off before its expiry
    |   `-- DecryptionFailed        a JWE that does not open; never says why (RFC 7516 11.5)
    |-- InsufficientScope           a good token without the scope asked for: HTTP 403
    |-- StaleAuthentication         a good token whose login is too long ago for what is asked: HTTP 401
    |-- ForeignOrigin               cookies that another site's page sent along, maybe (CSRF): HTTP 403
    |-- OAuthError                  a refused request to the token service: RFC 6749 5.2
    |   |-- InvalidRequest  InvalidClient  InvalidGrant  UnauthorizedClient
    |   `-- UnsupportedGrantType  InvalidScope  InvalidTarget  TooManyRequests  MfaRequired
    `-- Unavailable                 try again later, nothing was judged: HTTP 503
        |-- KeysUnavailable         no verification keys could be had
        |-- RevocationsUnavailable  the revocation feed is older than its limit
        |-- StorageUnavailable      the database is away or busy
        |-- Overloaded              more passwords to check than can be
        `-- ServiceUnreachable      a token service did not answer

`str(error)` is for the developer's log: what failed and how to mend it. `error.public` is a constant that may be
shown to a client. Neither ever holds a token, a key or a password.
"""

from __future__ import annotations

from typing import ClassVar


class AdmitError(Exception):
    """The root of everything Admit raises. `code` is stable, `public` may be shown to a client."""

    code: ClassVar[str] = "admit_error"
    public: ClassVar[str] = "the request could not be completed"


class ConfigurationError(AdmitError, ValueError):
    """The program asks for something unsafe or contradictory; mend the code or the settings."""

    code = "configuration"
    public = "the service is misconfigured"


class InvalidKey(ConfigurationError):
    """A key is malformed, too short, too weak, or used for what it is not for."""

    code = "invalid_key"


class UnsupportedAlgorithm(ConfigurationError):
    """An algorithm name that Admit does not have; `none` and RSA1_5 are among them on purpose."""

    code = "unsupported_algorithm"


class RefusedClaims(AdmitError, ValueError):
    """The signer refuses these claims: a secret, a reserved name, or what JSON cannot say."""

    code = "refused_claims"
    public = "the claims cannot be put into a token"


class InvalidToken(AdmitError):
    """The token is refused. Answer 401 with `invalid_token` (RFC 6750 3.1)."""

    code = "invalid_token"
    public = "the token is not valid"


class MalformedToken(InvalidToken):
    """The bytes are not an acceptable token: size, parts, base64url, JSON or header (RFC 7515, 7519)."""

    code = "malformed_token"
    public = "the token is malformed"


class UnknownKey(InvalidToken):
    """No key of this issuer fits the token's kid and alg."""

    code = "unknown_key"
    public = "the token was signed with an unknown key"


class BadSignature(InvalidToken):
    """The key is known, and the signature is not its own."""

    code = "bad_signature"
    public = "the signature is not valid"


class WrongType(InvalidToken):
    """The header's typ belongs to another kind of token (RFC 8725 3.11)."""

    code = "wrong_type"
    public = "the token is of another kind"


class ExpiredToken(InvalidToken):
    """Now is at or after exp (RFC 7519 4.1.4)."""

    code = "expired_token"
    public = "the token expired"


class ImmatureToken(InvalidToken):
    """Now is before nbf, or before iat (RFC 7519 4.1.5, 4.1.6)."""

    code = "immature_token"
    public = "the token is not valid yet"


class OverlongToken(InvalidToken):
    """The time from iat to exp is longer than the verifier allows."""

    code = "overlong_token"
    public = "the token lives too long"


class WrongIssuer(InvalidToken):
    """iss is not the expected issuer, compared as an exact string (RFC 7519 4.1.1)."""

    code = "wrong_issuer"
    public = "the token was issued by somebody else"


class WrongAudience(InvalidToken):
    """aud does not contain this verifier (RFC 7519 4.1.3)."""

    code = "wrong_audience"
    public = "the token is meant for somebody else"


class InvalidClaim(InvalidToken):
    """A claim is missing, forbidden for this kind, or of the wrong type. `claim` names it."""

    code = "invalid_claim"
    public = "a claim of the token is missing or not valid"

    def __init__(self, message: str, claim: str = "") -> None:
        super().__init__(message)
        self.claim = claim


class RevokedToken(InvalidToken):
    """The token, its session, its subject, its client or its key was cut off."""

    code = "revoked_token"
    public = "the token was revoked"


class DecryptionFailed(InvalidToken):
    """A JWE did not open. One error for a bad key, padding or tag (RFC 7516 11.5)."""

    code = "decryption_failed"
    public = "the token could not be decrypted"


class InsufficientScope(AdmitError):
    """A good token lacks a scope. Answer 403 with `insufficient_scope` (RFC 6750 3.1)."""

    code = "insufficient_scope"
    public = "the token does not carry the scope this needs"

    def __init__(self, message: str, required: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.required = required


class StaleAuthentication(AdmitError):
    """A good token's login is older than this needs. Answer 401 with `insufficient_user_authentication` (RFC 9470 3)."""

    code = "insufficient_user_authentication"
    public = "this needs a more recent login"

    def __init__(self, message: str, max_age: int = 0) -> None:
        super().__init__(message)
        self.max_age = max_age


class ForeignOrigin(AdmitError):
    """A request whose cookies say who asks does not come from a page of ours (CSRF, login CSRF). Answer 403."""

    code = "foreign_origin"
    public = "this request did not come from a page that may send it"


class OAuthError(AdmitError):
    """A request to the token service is refused; `code` is the OAuth error code (RFC 6749 5.2)."""

    code = "invalid_request"
    public = "the request is not valid"
    status: ClassVar[int] = 400


class InvalidRequest(OAuthError):
    """A parameter is missing, repeated or malformed."""

    code = "invalid_request"


class InvalidClient(OAuthError):
    """Client authentication failed."""

    code = "invalid_client"
    public = "client authentication failed"
    status = 401


class InvalidGrant(OAuthError):
    """Credentials or a refresh token are not valid, expired, revoked, or belong to another client."""

    code = "invalid_grant"
    public = "the credentials or the refresh token are not valid"


class MfaRequired(OAuthError):
    """The password was right, and the user has a second factor: log in again with its code as `otp`."""

    code = "mfa_required"
    public = "a second factor is needed"
    status = 401


class UnauthorizedClient(OAuthError):
    """The client may not use this grant."""

    code = "unauthorized_client"
    public = "this client may not use this grant"


class UnsupportedGrantType(OAuthError):
    """The service does not have this grant."""

    code = "unsupported_grant_type"
    public = "this grant type is not supported"


class InvalidScope(OAuthError):
    """The scope is unknown, malformed, or wider than what was granted."""

    code = "invalid_scope"
    public = "the scope is not valid or exceeds what was granted"


class InvalidTarget(OAuthError):
    """The audience or resource asked for is not one this client may have (RFC 8707 2)."""

    code = "invalid_target"
    public = "this client may not have tokens for that audience"


class TooManyRequests(OAuthError):
    """The caller is over a limit; try again after `retry_after` seconds."""

    code = "temporarily_unavailable"
    public = "too many requests, try again later"
    status = 429

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(AdmitError):
    """Nothing was judged; answer 503 with Retry-After, so that no client logs out. `retry_after` is in seconds."""

    code = "temporarily_unavailable"
    public = "temporarily unavailable, try again"

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class KeysUnavailable(Unavailable):
    """No verification keys could be had, and none that are fresh enough are held."""

    code = "keys_unavailable"


class RevocationsUnavailable(Unavailable):
    """The revocation feed was never heard or is older than its limit."""

    code = "revocations_unavailable"


class StorageUnavailable(Unavailable):
    """The database is away, busy or full."""

    code = "storage_unavailable"


class Overloaded(Unavailable):
    """More work waits than can be done in time, such as passwords to be checked."""

    code = "overloaded"


class ServiceUnreachable(Unavailable):
    """A remote token service did not answer, or not as the protocol says."""

    code = "service_unreachable"


def shown(value: object, limit: int = 64) -> str:
    """A value as an error message may show it: escaped (no log injection) and cut to `limit` characters."""
    try:
        text = ascii(value[: limit + 1] if isinstance(value, str | bytes) else value)
    except Exception:  # noqa: BLE001 - nested too deep, too many digits, or a repr that raises: never the caller's problem
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else text[: limit - 3] + "..."
