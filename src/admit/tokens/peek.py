"""Reading without verifying. Nothing here proves anything; the result is a type of its own, so it cannot pass for Claims."""

from __future__ import annotations

from typing import Any

import msgspec

from admit.jose import header as headers
from admit.jose.encoding import MAX_TOKEN, b64url_decode, json_object
from admit.jose.jws import split


class Peeked(msgspec.Struct, frozen=True):
    """What an unverified token says of itself. Anybody could have written it."""

    header: dict[str, Any]
    claims: dict[str, Any]


def peek(token: str | bytes) -> Peeked:
    """The header and claims of a signed token, NOT verified: for logs and for choosing an issuer, never for permission.

    Raises MalformedToken. RFC 7519 7.2 steps 1 to 6 only.
    """
    _, head, body, _ = split(token, MAX_TOKEN)
    return Peeked(headers.parse(head).members, json_object(b64url_decode(body)))
