"""ProxyRules: what a TLS-terminating proxy says about a request is believed from that proxy alone."""

from __future__ import annotations

import logging
import re
from ipaddress import IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_address, ip_network
from typing import TYPE_CHECKING

from admit.errors import ConfigurationError, shown
from admit.server.errors import refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

_PROBES = frozenset(("/healthz", "/readyz"))
_HOP = re.compile(r"(?:\[([^\]]+)\]|([^:]+))(?::\d+)?")
"""An address, and the port that some proxies append: with it, each connection would pass for another caller."""
_LONGEST = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")
_WIDEST = {4: 8, 6: 20}
"""The prefixes of the widest networks that anybody has of his own: 10.0.0.0/8 (RFC 1918), and what large providers hold."""
_LOCAL = (IPv6Network("fc00::/7"), IPv6Network("fe80::/10"))
"""Everybody's own (RFC 4193, RFC 4291 2.5.6)."""

log = logging.getLogger("admit.server")


class ProxyRules:
    """ASGI middleware. networks: CIDR of the proxies. Raises ConfigurationError for what is no network.

    A request comes from one of them and has arrived there by https; only probes may come straight. The caller's address
    is the last one in X-Forwarded-For that is no proxy of ours: what stands before it, the caller wrote himself. Where there
    is none, it is the proxy's, and shows no metrics: every stranger would be a scraper on loopback.
    """

    def __init__(self, app: ASGIApp, networks: Sequence[str]) -> None:
        self._app, self._networks = app, parse_networks(networks)
        self._told = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["path"] in _PROBES:
            await self._app(scope, receive, send)
            return
        peer = scope["client"][0] if scope.get("client") else ""
        if scope["path"] == "/metrics" and not self._trusted(peer):
            await self._app(scope, receive, send)  # a scraper of the networks that may; the endpoint looks
            return
        if not self._trusted(peer):
            await refusal(403, "invalid_request", "requests come through the proxy")(scope, receive, send)
            return
        if _values(scope, b"x-forwarded-proto") != ["https"]:
            await refusal(403, "invalid_request", "X-Forwarded-Proto must be https")(scope, receive, send)
            return
        hops = _hops(scope)
        if not hops and not self._told:
            self._told = True
            log.warning("the proxy sends no X-Forwarded-For: all callers count as one, with its address")
        nobody = "" if scope["path"] == "/metrics" else plain(peer)
        caller = next((hop for hop in reversed(hops) if not self._trusted(hop)), nobody)
        await self._app({**scope, "client": (caller, 0), "scheme": "https"}, receive, send)

    def _trusted(self, host: str) -> bool:
        return within(host, self._networks)


def plain(host: str) -> str:
    """A host's address in one spelling: IPv4 mapped into IPv6 is IPv4 (RFC 4291 2.5.5.2), as on a socket that takes both."""
    try:
        mapped = IPv6Address(host).ipv4_mapped if ":" in host else None
    except ValueError:
        return host
    return host if mapped is None else str(mapped)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return ip_address(plain(host)).is_loopback
    except ValueError:
        return host == "localhost"


def within(host: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether a host is an address of one of these networks."""
    try:
        address = ip_address(plain(host))
    except ValueError:
        return False
    return any(address in network for network in networks)


def parse_networks(networks: Sequence[str], setting: str = "trusted_proxy") -> tuple[IPv4Network | IPv6Network, ...]:
    """The networks. Raises ConfigurationError for what is no network, and for those that together are nobody's own."""
    try:
        parsed = tuple(_plain(ip_network(network)) for network in networks)
    except ValueError:
        raise ConfigurationError(
            f"{setting} is an address or a network like 10.0.0.0/8, not {shown(networks)}"
        ) from None
    together: list[IPv4Network | IPv6Network] = [
        *collapse_addresses(each for each in parsed if isinstance(each, IPv4Network)),
        *collapse_addresses(each for each in parsed if isinstance(each, IPv6Network)),
    ]
    wide = [network for network in together if network.prefixlen < _WIDEST[network.version]]
    if not together or not all(isinstance(each, IPv6Network) and any(map(each.subnet_of, _LOCAL)) for each in wide):
        raise ConfigurationError(
            f"{setting} may not be anybody: name networks that are yours, none wider than /8, or /20 in IPv6"
        )
    return parsed


def _plain(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return network if mapped is None or network.prefixlen < 96 else IPv4Network((mapped, network.prefixlen - 96))


def _hops(scope: Scope) -> list[str]:
    """The addresses in X-Forwarded-For; what looks like none is left as it is."""
    hops = [(hop, _HOP.fullmatch(hop)) for hop in _values(scope, b"x-forwarded-for")]
    return [_loggable(plain(hop if match is None else match[1] or match[2])) for hop, match in hops]


def _loggable(host: str) -> str:
    """An address; what cannot be one, escaped and cut: logs and counts keep it, and a stranger may have written it."""
    return host if len(host) <= _LONGEST and host.isascii() and host.isprintable() else shown(host)


def _values(scope: Scope, name: bytes) -> list[str]:
    """The comma-separated values of a header, over all its lines."""
    lines = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return [part.strip() for line in lines for part in line.split(",")]
