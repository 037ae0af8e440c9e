"""Settings: a flag, else ADMIT_* in the environment, else the TOML file, else the default."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from admit.errors import ConfigurationError, shown
from admit.server import sorts
from admit.service.login_policy import LOGIN, LOGIN_DURATIONS, LoginPolicy
from admit.service.policy import Policy
from admit.service.session_policy import PROFILES
from admit.tokens.cookies import Cookies, SameSite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from admit.server.sorts import Sort

PREFIX: Final = "ADMIT_"
_SECRET: Final = frozenset(
    ("password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret", "conninfo")
)
"""What libpq takes in a URL's query that nobody else may read, and psycopg's for all of it."""
_PLACE: Final = re.compile(r"line \d+, column \d+|end of document")


def holds_secret(url: str) -> bool:
    """Whether a database's URL says a password, in either place that a driver takes it from."""
    parts = make_url(url)
    return parts.password is not None or not _SECRET.isdisjoint(parts.query)


def default_data() -> Path:
    """The data folder where none is named: `admit` in the user's own data directory (XDG base directories)."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "admit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How `jwt serve` and `jwt admin` run. Every field of Policy and LoginPolicy is a setting too, by its name."""

    data: Path = field(default_factory=default_data)
    host: str = "127.0.0.1"
    port: int = 8000
    issuer: str = ""
    audience: tuple[str, ...] = ("api",)
    scopes: tuple[str, ...] = ()
    database: str = ""
    master_key_file: Path | None = None
    algorithm: str = "ES256"
    algorithms: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxy: tuple[str, ...] = ()
    cookie_origins: tuple[str, ...] = ()
    cookie_same_site: str = "lax"
    cors_origins: tuple[str, ...] = ()
    followers: int = 1000
    followers_per_address: int = 64
    feed_readers: str = "anyone"
    metrics_from: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    traces_from: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    workers: int = 1
    log_level: str = "warning"
    log_format: str = "text"
    profile: str = ""
    policy: Policy = field(default_factory=Policy)
    logins: LoginPolicy = field(default_factory=LoginPolicy)

    @property
    def database_url(self) -> str:
        """The database, with the default filled in."""
        return self.database or f"sqlite:///{self.data / 'admit.db'}"

    @property
    def sqlite(self) -> Path | None:
        """The database's file, the default one's or a named one's; None where it is no SQLite file."""
        url = make_url(self.database_url)
        if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:") or "uri" in url.query:
            return None
        return Path(url.database)

    @property
    def master_key(self) -> Path:
        """The master key's file, with the default filled in."""
        return self.master_key_file or self.data / "master.key"

    @property
    def by_audience(self) -> dict[str, str]:
        """The algorithm for each audience that has one of its own. Raises ConfigurationError."""
        parts = [each.rpartition("=") for each in self.algorithms]
        if not all(audience and alg for audience, _, alg in parts):
            raise ConfigurationError("algorithms is a list of AUDIENCE=ALG, such as legacy=RS256")
        if len({audience for audience, _, _ in parts}) < len(parts):
            raise ConfigurationError("algorithms names an audience twice")
        return {audience: alg for audience, _, alg in parts}

    @property
    def cookies(self) -> Cookies | None:
        """How tokens go into cookies; None where no origin may have them. Raises ConfigurationError."""
        if not self.cookie_origins:
            return None
        return Cookies(self.cookie_origins, same_site=cast("SameSite", self.cookie_same_site))

    def shown(self) -> dict[str, object]:
        """Every setting as `--print-config` shows it: TOML's types, and no password."""
        result: dict[str, object] = {}
        for name in names():
            value = getattr(self.policy if name in POLICY else self.logins if name in LOGIN else self, name)
            result[name] = SORTS[name].write(value)
        url = make_url(self.database_url)
        url = url.update_query_dict(dict.fromkeys(url.query.keys() & _SECRET, "***"))
        result["database"] = url.render_as_string(hide_password=True).replace("%2A%2A%2A", "***")
        result["master_key_file"] = str(self.master_key)
        return result


POLICY: Final = tuple(each.name for each in fields(Policy))
OWN: Final = tuple(each.name for each in fields(Settings) if each.name not in ("policy", "logins"))
_DEFAULTS: Final = {each.name: each.default for of in (Settings, Policy, LoginPolicy) for each in fields(of)}


def names() -> tuple[str, ...]:
    """Every setting's name, in order."""
    return OWN + POLICY + LOGIN


HELP: Final = {
    "data": "the data folder, made with mode 0700; by default admit in XDG_DATA_HOME or ~/.local/share",
    "host": "the address to listen on",
    "port": "the port; 0 takes a free one",
    "issuer": "the issuer's URL, as clients reach it; by default where it listens",
    "audience": "whom access tokens are for, the first by default",
    "scopes": "what a login may grant",
    "database": "an SQLAlchemy URL; by default SQLite in the data folder",
    "master_key_file": "the file of the master key; by default master.key in the data folder",
    "algorithm": "what access tokens are signed with",
    "algorithms": "AUDIENCE=ALG: what tokens for that audience are signed with instead",
    "tls_cert": "the certificate chain, PEM",
    "tls_key": "its private key, PEM",
    "trusted_proxy": "the network (CIDR) of the proxy that terminates TLS",
    "cookie_origins": "the origins of pages that get their tokens in cookies, such as https://shop.example",
    "cookie_same_site": "lax or strict: whether the access token comes along when a link of another site is followed",
    "cors_origins": "the origins of other pages that may read the answers",
    "followers": "requests that may wait for the revocation feed at once",
    "followers_per_address": "of them, from one address",
    "feed_readers": "who may follow the revocation feed: anyone, or clients, who then authenticate",
    "metrics_from": "the network (CIDR) that may read /metrics",
    "traces_from": "the network (CIDR) whose traceparent is continued",
    "workers": "how many processes; SIGHUP replaces them one after the other, or lets a single one read its certificate anew",
    "log_level": "what to log: debug, info (each request too), warning or error",
    "log_format": "how to log: text, or json for one object a line",
    "profile": "where the four limits of sessions come from: nist-aal1, nist-aal2, owasp, owasp-high-value or rfc9700",
    "access_lifetime": "how long an access token lives",
    "grace": "how long after a refresh the old refresh token still gets the same successor",
    "retry_window": "the same, for a successor that was never presented",
    "idle": "a session unused for so long ends",
    "absolute": "no session lives longer",
    "reuse": "what ends when an old refresh token comes back: its session, or everything of its user",
    "sessions_per_user": "a login beyond so many live sessions ends the oldest",
    "key_lifetime": "how long a key signs",
    "key_published": "how long a standby key is published before it signs",
    "key_reload": "no process signs from a view of the keys older than this",
    "clock_skew": "by how much the clocks of any two hosts may differ",
    "leeway": "the greatest leeway that verifiers give",
    "feed_limit": "how old the list of revocations may be that is still believed",
    "status_list_ttl": "how long others may keep a status list of the sessions; 0 for no status lists",
    "kept": "how long the audit trail is kept",
    "password_length": "characters of a password, at least: 15, or 8 where everybody has a second factor",
    "argon2_memory": "KiB of memory for each Argon2id hash of a password",
    "argon2_passes": "Argon2id's passes over that memory",
    "argon2_lanes": "Argon2id's lanes",
    "password_hashes": "passwords hashed at once in one process; 0: one less than there are cores",
    "password_queue": "logins that may wait for that in each of three lanes: known places, new ones, and where failures count",
    "password_wait": "how long they wait",
    "failures_per_user": "wrong passwords for one user from one address that lead to no wait yet",
    "failures_per_address": "the same, from one address for all users together",
    "failures_everywhere": "the same, for one user from all addresses; then addresses new to the user wait first",
    "longest_wait": "the longest wait that failed logins lead to",
}
"""One line on each setting."""


def default(name: str) -> str:
    """A setting's default as the help says it; empty where its line says it, because it depends on other things."""
    value = _DEFAULTS[name]
    written = "" if value is MISSING else SORTS[name].write(value)
    return ", ".join(written) if isinstance(written, list) else str(written)


def load(
    flags: Mapping[str, object], environment: Mapping[str, str] = os.environ, toml: Path | None = None
) -> Settings:
    """The settings in force. flags: those that were given. toml: a file; by default the one ADMIT_CONFIG names.

    Raises ConfigurationError for an unknown name, a value of the wrong sort, or a file that cannot be read.
    """
    path = toml or (Path(environment[PREFIX + "CONFIG"]) if environment.get(PREFIX + "CONFIG") else None)
    written = _toml(path) if path else {}
    spoken = {name: environment[key] for name in names() if (key := PREFIX + name.upper()) in environment}
    values = {name: _read(name, value) for name, value in {**written, **spoken, **flags}.items()}
    policy = _policy(values.get("profile", ""), {name: values.pop(name) for name in POLICY if name in values})
    logins = LoginPolicy(**{name: values.pop(name) for name in LOGIN if name in values})
    settings = Settings(**values, policy=policy, logins=logins)
    try:
        make_url(settings.database_url)
    except ArgumentError:
        raise ConfigurationError("database is not an SQLAlchemy URL") from None
    return settings


def _policy(profile: str, given: dict[str, Any]) -> Policy:
    """What is given, the rest from the profile or the defaults."""
    if profile and profile not in PROFILES:
        raise ConfigurationError(f"profile is one of {', '.join(PROFILES)}")
    named = asdict(PROFILES[profile]) if profile else {}
    return Policy(**{name: value for name, value in named.items() if name in POLICY} | given)


def _toml(path: Path) -> dict[str, object]:
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not TOML: it is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        where = _PLACE.search(str(error))  # the rest of its message may quote the file
        raise ConfigurationError(f"{path} is not TOML{f': look at {where[0]}' if where else ''}") from None
    unknown = sorted(written.keys() - set(names()))
    if unknown:
        raise ConfigurationError(f"{path} holds an unknown setting: {shown(unknown[0])}")
    return written


SORTS: Final[dict[str, Sort]] = {
    **dict.fromkeys(OWN, sorts.TEXT),
    **dict.fromkeys(("port", "followers", "followers_per_address", "workers"), sorts.NUMBER),
    **dict.fromkeys(("audience", "algorithms", "trusted_proxy", "cookie_origins", "cors_origins"), sorts.LIST),
    **dict.fromkeys(("metrics_from", "traces_from"), sorts.LIST),
    **dict.fromkeys(("master_key_file", "tls_cert", "tls_key"), sorts.OPTIONAL_PATH),
    **dict.fromkeys(POLICY, sorts.DURATION),
    **{name: sorts.DURATION if name in LOGIN_DURATIONS else sorts.NUMBER for name in LOGIN},
    "data": sorts.PATH,
    "scopes": sorts.SCOPES,
    "reuse": sorts.TEXT,
    "sessions_per_user": sorts.NUMBER,
}
"""Of what sort each setting is."""


def _read(name: str, value: object) -> Any:
    try:
        return SORTS[name].read(value)
    except (TypeError, ValueError, OverflowError):  # what was given is not shown: it may be a password in a wrong place
        raise ConfigurationError(f"the setting {name} is {SORTS[name].expected}") from None
