"""Whose access token manages sessions: a first-party one for the issuer itself, and no other client's."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.requests import Request

from admit import TokenService
from admit.errors import InsufficientScope, WrongAudience
from admit.server.app import create_context
from admit.server.clients import bearer
from admit.tokens.bearer import MissingToken, UnreadableToken

ISSUER = "https://auth.example"


def request(*values: str) -> Request:
    headers = [(b"authorization", value.encode("latin-1")) for value in values]
    return Request({"type": "http", "headers": headers, "method": "GET", "path": "/sessions"})


def test_no_client_but_the_first_party_one_manages_sessions_even_with_a_token_for_the_issuer(tmp_path: Path) -> None:
    service = TokenService(f"sqlite:///{tmp_path / 'auth.db'}", issuer=ISSUER, audience="orders")
    try:
        verifier = create_context(service).verifier
        service.users.add("alice", "correct horse battery staple")
        own = service.login("alice", "correct horse battery staple", audience=ISSUER)
        assert bearer(request(f"Bearer {own.access_token}"), verifier).sub == own.sub
        added = service.clients.add("partner", grants=["password", "client_credentials"], audiences=[ISSUER, "orders"])
        secret = added.secret
        assert secret is not None
        foreign = service.login(
            "alice", "correct horse battery staple", audience=ISSUER, client_id=added.client.id, client_secret=secret
        )
        machine = service.client_credentials(added.client.id, secret, audience=ISSUER)
        for token in (foreign.access_token, machine.access_token):
            with pytest.raises(InsufficientScope):
                bearer(request(f"Bearer {token}"), verifier)
        shown_to_apis = service.login("alice", "correct horse battery staple")
        with pytest.raises(WrongAudience):
            bearer(request(f"Bearer {shown_to_apis.access_token}"), verifier)
        with pytest.raises(WrongAudience):
            service.verifier().verify(own.access_token)
    finally:
        service.close()


def test_the_header_is_read_as_at_every_door(tmp_path: Path) -> None:
    service = TokenService(f"sqlite:///{tmp_path / 'auth.db'}", issuer=ISSUER, audience="orders")
    try:
        verifier = create_context(service).verifier
        none: tuple[tuple[str, ...], ...] = ((), ("Basic YTpi",))
        for values in none:
            with pytest.raises(MissingToken):
                bearer(request(*values), verifier)
        for values in (("Bearer",), ("Bearer a b",), ("Bearer a,b",), ("Bearer a", "Bearer a"), ("Bearer \xe9",)):
            with pytest.raises(UnreadableToken):
                bearer(request(*values), verifier)
    finally:
        service.close()
