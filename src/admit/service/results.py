"""What the service answers, as frozen values. Their reprs never show a token or a secret."""

from __future__ import annotations

from dataclasses import dataclass, field

from admit.service.session_policy import SessionPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """An answer of the token endpoint (RFC 6749 5.1)."""

    access_token: str = field(repr=False)
    expires_in: int
    """Seconds until the access token expires."""
    scope: str
    """The granted scopes, separated by spaces; "" for none."""
    token_type: str = "Bearer"  # noqa: S105


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair(AccessToken):
    """An access token and the refresh token that gets the next one."""

    refresh_token: str = field(repr=False)
    session_id: str
    """The session, as the access token's `sid`."""
    sub: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A live session. Times are seconds since 1970."""

    id: str
    sub: str
    client_id: str
    scope: str
    audience: str
    device: str
    address: str
    created_at: float
    last_used_at: float
    auth_time: float
    auth_method: str
    expires_at: float
    """When it ends if it is not used: the earlier of its idle and its absolute limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user of the built-in table, or the row that Admit keeps of an application's own user (then `name` is None)."""

    id: str
    """The `sub` of its tokens: immutable, random, never given to anybody else."""
    name: str | None
    disabled: bool
    epoch: int
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who may ask for tokens, and for which. An empty set allows nothing."""

    id: str
    confidential: bool
    grants: frozenset[str]
    audiences: tuple[str, ...]
    """The first is the default."""
    scopes: frozenset[str]
    policy: SessionPolicy
    """How its sessions refresh and end: its own, or the service's."""
    disabled: bool = False
    secret_hash: bytes | None = field(default=None, repr=False)
    previous_hash: bytes | None = field(default=None, repr=False)
    """Of the secret before, as long as it is accepted."""
    previous_until: float | None = None
    """Until when that is, in seconds since 1970."""
    jwks: str | None = field(default=None, repr=False)
    """The public keys of a client that authenticates with a key, as a JWK Set."""

    @property
    def auth_method(self) -> str:
        """How it authenticates: `private_key_jwt`, `client_secret` (Basic or post), or `none` (RFC 7591 2)."""
        return "private_key_jwt" if self.jwks else "client_secret" if self.secret_hash else "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClient:
    """A client and its new secret, which is shown this once and stored only as a hash; None for one without."""

    client: Client
    secret: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedStatusList:
    """One signed status list, as it is answered to anybody."""

    token: str = field(repr=False)
    kid: str
    """The kid of the key that signed it."""
    max_age: int
    """Seconds that a cache may keep it."""
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """One key of the service, as `keys list` shows it. Times are seconds since 1970, None: not yet."""

    kid: str
    alg: str
    use: str
    """`access`, or `feed` for the key that signs only the revocation feed."""
    state: str
    ordinal: int
    created_at: float
    active_at: float | None
    retiring_at: float | None
    ended_at: float | None
    next_state: str | None = None
    """What it becomes by itself; None where it stays as it is, or nobody can tell."""
    next_at: float | None = None
    """When that is due: the step is taken within a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One line of the audit trail. `id` grows; `at` is in seconds since 1970."""

    id: int
    at: float
    event: str
    sub: str | None
    client_id: str | None
    session_id: str | None
    address: str | None
    detail: str | None
