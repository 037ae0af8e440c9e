"""Origins of web pages (RFC 6454, RFC 9110 4.3.1): exact strings, and never a pattern."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from admit.errors import ConfigurationError, shown

_ORIGIN: Final = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?")
_DEFAULT: Final = {"https": "443", "http": "80"}


def parse_origins(origins: str | Sequence[str], name: str) -> frozenset[str]:
    """Origins as browsers spell them in `Origin`: `https://shop.example`, on loopback also `http://127.0.0.1:8000`.

    name: of the argument, for the message. Raises ConfigurationError for none, for `*`, `null` and whatever else a
    browser would never send, and for http beyond loopback: there anybody on the way writes the page.
    """
    found = (origins,) if isinstance(origins, str) else tuple(origins) if isinstance(origins, Sequence) else ()
    if not found:
        raise ConfigurationError(f"{name} is one or several origins, such as https://shop.example")
    for origin in found:
        match = _ORIGIN.fullmatch(origin) if isinstance(origin, str) else None
        if match is None or match[3] == _DEFAULT[match[1]]:
            raise ConfigurationError(
                f"{name}: {shown(origin, 200)} is no origin as browsers send it: scheme, host in lower case and ASCII, the"
                " port unless it is the scheme's own, and no slash after it; never a pattern"
            )
        if match[1] == "http" and not is_loopback(match[2]):
            raise ConfigurationError(f"{name}: {shown(origin, 200)} is plain http, which only loopback may be")
    return frozenset(found)


def origin_of(url: str) -> str | None:
    """The origin of an absolute http or https URL, such as a Referer's; None where it has none."""
    match = _ORIGIN.match(url)
    return match[0] if match is not None and url[match.end() :][:1] in ("", "/", "?", "#") else None


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine (RFC 6761 6.3)."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
