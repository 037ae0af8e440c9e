"""Credentials: a client's id and secret, as HTTP Basic (RFC 6749 2.3.1)."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import quote_plus

from admit.errors import ConfigurationError


class Credentials:
    """A client's id and secret; neither is ever shown. Raises ConfigurationError where one is missing."""

    __slots__ = ("authorization",)

    def __init__(self, client_id: str, client_secret: str) -> None:
        if not all(isinstance(part, str) and part for part in (client_id, client_secret)):
            raise ConfigurationError("a client authenticates with client_id and client_secret, both or neither")
        # Form-encoded first, so that a colon or another alphabet survives.
        pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
        self.authorization = "Basic " + b64encode(pair.encode("ascii")).decode("ascii")
        """The value of the Authorization header."""

    def __repr__(self) -> str:
        return "<Credentials>"
