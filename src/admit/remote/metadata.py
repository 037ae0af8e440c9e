"""What an issuer publishes about itself: one document, in one of three places (RFC 8414 3, OpenID Connect Discovery 1.0 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from admit.errors import MalformedToken, ServiceUnreachable, shown
from admit.jose.encoding import json_object
from admit.remote.fetch import checked_url

if TYPE_CHECKING:
    from admit.remote.fetch import Fetcher

_PLACES: Final = (
    "/.well-known/oauth-authorization-server{path}",  # RFC 8414 3.1
    "{path}/.well-known/openid-configuration",  # OpenID Connect Discovery 1.0 4.1
    "{path}/.well-known/oauth-authorization-server",  # Okta and others, who append what RFC 8414 inserts
)


class Metadata(NamedTuple):
    """An issuer's metadata, and the URL where it was found."""

    url: str
    members: dict[str, Any]


def fetch_metadata(fetcher: Fetcher, issuer: str) -> Metadata:
    """The metadata of exactly this issuer. Raises ServiceUnreachable, ConfigurationError."""
    base = checked_url(issuer, fetcher.insecure_hosts)
    path = base.path.rstrip("/")
    problems: dict[str, str] = {}  # by their cause: one that holds for every place is said once
    for place in dict.fromkeys(place.format(path=path) for place in _PLACES):
        url = str(base.copy_with(path=place))
        try:
            members = json_object(fetcher.get(url).body)
        except (ServiceUnreachable, MalformedToken) as error:
            problems.setdefault(str(error).replace(place, ""), str(error))
            continue
        if members.get("issuer") != issuer:
            # RFC 8414 3.3: or one issuer could speak for another, with keys of its own.
            other = shown(members.get("issuer"), 200)
            problems.setdefault(other, f"the metadata at {place} is of another issuer, {other}")
            continue
        return Metadata(url, members)
    raise ServiceUnreachable(f"no metadata of {shown(issuer, 200)}: " + "; ".join(problems.values()))
