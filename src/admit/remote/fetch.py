"""One bounded HTTP GET: https, no redirects, a size and a total time that nothing exceeds."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import httpx2

from admit.errors import ConfigurationError, ServiceUnreachable, shown
from admit.tokens.arguments import must_be_seconds, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from admit.remote.credentials import Credentials

MAX_DOCUMENT: Final = 1024 * 1024
"""Bytes of a metadata document or JWK Set: the largest published by the big providers have under 20 kB."""
ACCEPT: Final = "application/json, application/jwt, */*;q=0.1"
_OK: Final = frozenset((200,))
TIMEOUT: Final = 10.0
"""Seconds for a whole request, name resolution and a dripping answer included."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with status 200, or another that was asked for."""

    body: bytes
    headers: Mapping[str, str]


def checked_url(url: str, insecure_hosts: frozenset[str] = frozenset()) -> httpx2.URL:
    """The URL, if it may be trusted with a decision. Raises ConfigurationError.

    https; or http on loopback and on the exact host names of `insecure_hosts`. No user, no fragment, no other scheme
    (a `file:` URL from a document would read local files, CVE-2026-48522).
    """
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError, ValueError):
        raise ConfigurationError(f"not a URL: {shown(url)}") from None
    if parsed.scheme not in ("https", "http") or not parsed.host or parsed.userinfo or parsed.fragment:
        raise ConfigurationError(f"an https URL without user and fragment is expected, not {shown(url)}")
    if parsed.scheme == "http" and not is_loopback(parsed.host) and parsed.host not in insecure_hosts:
        raise ConfigurationError(
            f"{shown(url)} is plain http: whoever is on the way can replace the keys; use https,"
            " or name the host in insecure_hosts if the network itself is trusted"
        )
    return parsed


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def same_origin(one: httpx2.URL, other: httpx2.URL) -> bool:
    """Scheme, host and port are equal (RFC 6454 4)."""
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


class Fetcher:
    """GETs documents. Holds no connection, so that it survives a fork.

    insecure_hosts: host names that may be spoken to in plain http. timeout: seconds for a whole request. ssl_context:
    for a private certificate authority; the system's trust otherwise.
    """

    def __init__(
        self,
        *,
        insecure_hosts: Iterable[str] = (),
        timeout: float = TIMEOUT,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        must_be_seconds(timeout, "timeout")
        if ssl_context is not None and not isinstance(ssl_context, ssl.SSLContext):
            raise ConfigurationError(
                f"ssl_context is an ssl.SSLContext, as ssl.create_default_context(cafile=...) makes, not {shown(ssl_context)}"
            )
        self.insecure_hosts = frozenset(names(insecure_hosts, "insecure_hosts", "['auth.mesh']"))
        self.timeout = timeout
        self._ssl_context = ssl_context

    def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        credentials: Credentials | None = None,
        limit: int = MAX_DOCUMENT,
        patience: float = 0.0,
        accept: str = ACCEPT,
        statuses: frozenset[int] = _OK,
    ) -> Answer:
        """The answer, if it is a 200 of at most `limit` bytes within the timeout and `patience` (seconds) more.

        accept: the media types asked for. statuses: in place of 200. Blocks, and must not be called on an event loop. Raises
        ServiceUnreachable.
        """
        headers = {"Accept": accept}
        return self._answer("GET", url, params, None, headers, credentials, limit, self.timeout + patience, statuses)

    def post(
        self, url: str, form: Mapping[str, str], *, credentials: Credentials, limit: int, seconds: float
    ) -> Answer:
        """As `get`, with a form for its body, within `seconds` where the timeout is not shorter."""
        headers = {"Accept": "application/json"}
        return self._answer("POST", url, None, form, headers, credentials, limit, min(seconds, self.timeout))

    def _answer(
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None,
        form: Mapping[str, str] | None,
        headers: dict[str, str],
        credentials: Credentials | None,
        limit: int,
        seconds: float,
        statuses: frozenset[int] = _OK,
    ) -> Answer:
        target = checked_url(url, self.insecure_hosts)
        if params:
            target = target.copy_merge_params(params)
        headers["Accept-Encoding"] = "identity"
        if credentials is not None:
            headers["Authorization"] = credentials.authorization
        request = httpx2.Request(method, target, headers=headers, data=form)
        try:
            return asyncio.run(self._sent(request, limit, seconds, statuses))
        except ServiceUnreachable:
            raise
        except TimeoutError:
            problem = f"no whole answer within {seconds:g} s"
        except RuntimeError:  # no new threads or futures while the interpreter ends
            problem = "the process is ending"
        except Exception as error:  # noqa: BLE001 - a proxy in the environment is read here, and may be of any sort
            problem = f"{type(error).__name__}: {shown(str(error), 160)}"
        raise ServiceUnreachable(f"{method} {shown(url, 200)} failed: {problem}")

    async def _sent(self, request: httpx2.Request, limit: int, seconds: float, statuses: frozenset[int]) -> Answer:
        secure = request.url.scheme == "https"
        if secure and self._ssl_context is None:
            self._ssl_context = httpx2.create_ssl_context()
        verify = self._ssl_context or True if secure else False
        async with (
            # The deadline is for everything: an issuer that drips a byte a second outlasts limits on single reads.
            asyncio.timeout(seconds),
            httpx2.AsyncClient(verify=verify, trust_env=secure, timeout=seconds) as client,
        ):
            response = await client.send(request, stream=True)
            what = f"{request.method} {shown(str(request.url), 200)}"
            if response.status_code not in statuses:
                # A redirect is not followed: it could lead to http, to another origin, or inside the network.
                raise ServiceUnreachable(f"{what} answered {response.status_code}, expected 200")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise ServiceUnreachable(f"{what} answered compressed, which was not asked for")
            chunks, size = list[bytes](), 0
            async for chunk in response.aiter_raw():
                chunks.append(chunk)
                size += len(chunk)
                if size > limit:
                    raise ServiceUnreachable(f"{what} answered more than {limit} bytes")
            return Answer(b"".join(chunks), response.headers)
