"""A database that failed over to an older copy of itself, under a running service and a follower that knows more than it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from admit.errors import RevokedToken, StorageUnavailable
from admit.remote.issuer import RemoteIssuer
from admit.service.facade import TokenService
from tests.helpers.waiting import until, until_refused
from tests.remote.conftest import FEED, FEED_JWKS, JWKS, Issuer, document
from tests.service.conftest import PASSWORD

if TYPE_CHECKING:
    from tests.helpers.postgres import Postgres


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.close()


def publish(issuer: Issuer, service: TokenService) -> None:
    """Let the issuer's server answer with what the service says."""

    def feed(handler: Any) -> tuple[int, dict[str, str], bytes]:
        query = parse_qs(urlsplit(handler.path).query)
        since = int(query["since"][0]) if "since" in query else None
        ends = time.monotonic() + 1
        while since == service.feed_head()[1] and time.monotonic() < ends:
            time.sleep(0.02)
        try:
            return 200, {}, service.feed(since, query.get("epoch", [None])[0]).encode()
        except StorageUnavailable:
            return 503, {}, b""

    issuer.answers |= {
        JWKS: lambda _: document(service.jwks()),
        FEED_JWKS: lambda _: document(service.feed_jwks()),
        FEED: feed,
    }


def older_copy(server: Postgres, name: str) -> str:
    """The name of a database that is as this one is now, as a replica that stops receiving is."""
    copy = server.name(server.empty())
    there = ["-h", str(server.folder), "-U", "postgres", "-d"]
    dumped = subprocess.run([server.programs / "pg_dump", *there, name], capture_output=True, check=True).stdout
    subprocess.run([server.programs / "psql", "-q", *there, copy], input=dumped, capture_output=True, check=True)
    return copy


def fail_over(server: Postgres, name: str, copy: str) -> None:
    """Break all connections, and let the copy answer to the same address from now on."""
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.execute(f"ALTER DATABASE {copy} RENAME TO {name}")


def patiently(call: Callable[[], object]) -> None:
    """Call it until the database is there again."""
    ends = time.monotonic() + 20
    while True:
        try:
            call()
        except StorageUnavailable:
            assert time.monotonic() < ends
            time.sleep(0.05)
        else:
            return


@pytest.mark.parametrize("between", [True, False], ids=["heard between", "not heard between"])
def test_followers_miss_nothing_when_a_database_fails_over_to_an_older_copy(
    postgres: Postgres, issuer: Issuer, between: bool
) -> None:
    url = postgres.database()
    name = postgres.name(url)
    service = TokenService(url, issuer=issuer.url, audience="orders", master_key=bytes(range(32)))
    try:
        publish(issuer, service)
        service.users.add("alice", PASSWORD)
        before, lost, after, other = (service.login("alice", PASSWORD) for _ in range(4))
        with RemoteIssuer(issuer.url, revocations="required", timeout=5.0) as remote:
            verifier = remote.verifier(audience="orders")
            service.logout(before.refresh_token)
            until_refused(lambda: verifier.verify(before.access_token))
            copy = older_copy(postgres, name)
            service.logout(lost.refresh_token)
            until_refused(lambda: verifier.verify(lost.access_token))

            known = service.feed_head()[1]
            plain = issuer.answers[FEED]
            if not between:
                issuer.answers[FEED] = lambda _: (503, {}, b"")
            fail_over(postgres, name, copy)
            until(lambda: service.feed_head()[1] < known)  # the service has read the copy
            assert remote.revocations is not None
            if between:
                feed, then = remote.revocations, time.time() + 1
                until(lambda: time.time() - (feed.age or 0) > then)  # and the follower has heard from it
                with pytest.raises(RevokedToken):
                    verifier.verify(lost.access_token)

            patiently(lambda: service.logout(after.refresh_token))
            issuer.answers[FEED] = plain
            until_refused(lambda: verifier.verify(after.access_token))
            for pair in (before, lost):  # the copy knows nothing of the second any more
                with pytest.raises(RevokedToken):
                    verifier.verify(pair.access_token)
            assert verifier.verify(other.access_token).sub == other.sub
            assert len(remote.revocations) == 3

        with RemoteIssuer(
            issuer.url, revocations="required", timeout=5.0
        ) as late:  # one that joins hears what the copy knows
            verifier = late.verifier(audience="orders")
            for pair in (before, after):
                with pytest.raises(RevokedToken):
                    verifier.verify(pair.access_token)
    finally:
        service.close()
