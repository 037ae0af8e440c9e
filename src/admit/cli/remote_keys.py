"""Sets of public keys as the command line names them: a URL, a file or stdin. What is private in one is never shown."""

from __future__ import annotations

import re
from typing import Any, Final

from admit.cli.exits import Exit, Stop
from admit.cli.input import read_bytes
from admit.errors import InvalidKey, MalformedToken
from admit.jose.encoding import json_object
from admit.jose.jwk import PRIVATE_MEMBERS
from admit.jose.keyset import KeySet
from admit.remote.fetch import Fetcher
from admit.remote.jwks import ALGORITHMS, read_jwks

_URL: Final = re.compile(r"https?://", re.IGNORECASE)


def is_url(source: str) -> bool:
    """Whether a source is on the web."""
    return bool(_URL.match(source))


def document(source: str) -> bytes:
    """The bytes of a key set at a URL, in a file, or on stdin."""
    return Fetcher().get(source).body if is_url(source) else read_bytes(source)


def members_of(source: str, data: bytes) -> list[dict[str, Any]]:
    """The entries of a JWK Set, or a JWK as the only one. Raises Stop."""
    source = "stdin" if source == "-" else source
    try:
        whole = json_object(data)
    except MalformedToken as error:
        raise Stop(f"{source} is no JWK Set: {error}", Exit.MALFORMED) from None
    entries = whole.get("keys", [whole] if "kty" in whole else None)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Stop(f"{source} is no JWK Set: that is an object whose member keys is a list of objects", Exit.MALFORMED)
    return entries


def without_private(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry as it may be shown."""
    return {name: value for name, value in entry.items() if name not in PRIVATE_MEMBERS}


def keys_at(url: str, alg: str | None, issuer: str | None = None) -> KeySet:
    """The usable keys of a JWK Set on the web. alg: what a key is for that does not say so itself.

    Raises Stop with the exit code for the network, where none can be had.
    """
    body = Fetcher().get(url).body
    try:
        return read_jwks(body, (alg,) if alg else ALGORITHMS, issuer)
    except InvalidKey as error:
        raise Stop(f"{url} is not a usable JWK Set: {error}", Exit.NETWORK) from None
