"""JWKSClient against a real server: what it keeps, what it forgets, and how seldom it asks."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from admit import ConfigurationError, Key, KeySet, Verifier
from admit.errors import KeysUnavailable, ServiceUnreachable, UnknownKey
from admit.remote.fetch import Fetcher
from admit.remote.issuer import RemoteIssuer
from admit.remote.jwks import JWKSClient, read_jwks
from admit.server.loop import memory_only
from tests.helpers.waiting import until

JWKS = "/jwks"


@pytest.fixture
def client(issuer: Any, ticker: Any) -> Iterator[JWKSClient]:
    client = JWKSClient(issuer.url + JWKS, now=ticker, timeout=2.0)
    yield client
    client.close()


def verifier(client: JWKSClient, issuer: Any) -> Verifier[None]:
    return Verifier(client, issuer=issuer.url, audience="orders")


def test_nothing_is_fetched_before_the_first_use_and_then_once(issuer: Any, client: JWKSClient) -> None:
    assert issuer.asked[JWKS] == 0
    for _ in range(3):
        assert verifier(client, issuer).verify(issuer.token()).sub == "alice"
    assert issuer.asked[JWKS] == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://auth.example/jwks", "file:///etc/passwd", "ftp://auth.example/jwks", "https://user@auth.example/jwks",
        "https://auth.example/jwks#x", "jwks", "", "http://127.0.0.1.evil.example/jwks", "http://localhost.evil.example/",
    ],
)  # fmt: skip
def test_an_url_that_anybody_could_answer_is_refused_when_the_client_is_built(url: str) -> None:
    with pytest.raises(ConfigurationError):
        JWKSClient(url)


def test_plain_http_is_for_loopback_and_hosts_named_exactly() -> None:
    JWKSClient("http://localhost:1/jwks")
    JWKSClient("http://[::1]:1/jwks")
    JWKSClient("http://mesh/jwks", insecure_hosts=["mesh"])
    with pytest.raises(ConfigurationError):
        JWKSClient("http://sub.mesh/jwks", insecure_hosts=["mesh"])


def test_a_remote_issuer_is_never_asked_for_shared_secrets() -> None:
    with pytest.raises(ConfigurationError):
        JWKSClient("https://auth.example/jwks", algorithms=["HS256"])
    with pytest.raises(ConfigurationError):
        JWKSClient("https://auth.example/jwks", algorithms=[])


def test_two_hundred_threads_at_cold_start_cause_one_fetch(issuer: Any, client: JWKSClient) -> None:
    issuer.slow(JWKS, 0.2)
    judge, token = verifier(client, issuer), issuer.token()
    start = threading.Barrier(200)

    def one(_: int) -> str:
        start.wait(20)
        return judge.verify(token).sub

    with ThreadPoolExecutor(200) as pool:
        assert set(pool.map(one, range(200))) == {"alice"}
    assert issuer.asked[JWKS] == 1


def test_whoever_comes_just_after_somebody_elses_fetch_does_not_repeat_it(issuer: Any, client: JWKSClient) -> None:
    client.current()
    client._waited()  # as a thread that saw no keys and then lost the processor
    assert issuer.asked[JWKS] == 1


def test_ten_thousand_random_kids_cause_one_fetch_in_a_cooldown(issuer: Any, client: JWKSClient, ticker: Any) -> None:
    client.current()
    for number in range(10_000):
        assert f"kid-{number}" not in client.missing(f"kid-{number}")
    assert issuer.asked[JWKS] == 2
    ticker.now += 29.9
    client.missing("another")
    assert issuer.asked[JWKS] == 2
    ticker.now += 0.2
    client.missing("another")
    assert issuer.asked[JWKS] == 3


def test_a_look_that_began_before_the_keys_changed_says_nothing_of_what_came_then(
    issuer: Any, client: JWKSClient
) -> None:
    client.current()
    young, answers, asked, go_on = Key.generate("ES256"), issuer.answers[JWKS], threading.Event(), threading.Event()

    def before(handler: Any) -> Any:
        found = answers(handler)  # what the issuer had when it was asked
        asked.set()
        assert go_on.wait(20)
        return found

    issuer.answers[JWKS] = before
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(client.missing, young.kid)
        assert asked.wait(20)
        issuer.keys, issuer.answers[JWKS] = [issuer.key.public(), young.public()], answers
        client.changed()
        go_on.set()
        assert young.kid not in looking.result()
    assert young.kid in client.missing(young.kid)


def test_a_kid_that_was_looked_for_in_vain_does_not_start_the_next_look(
    issuer: Any, client: JWKSClient, ticker: Any
) -> None:
    client.missing("ghost")
    asked = issuer.asked[JWKS]
    ticker.now += 31
    client.missing("ghost")
    assert issuer.asked[JWKS] == asked


def test_the_memory_of_kids_looked_for_in_vain_is_bounded(issuer: Any, client: JWKSClient, ticker: Any) -> None:
    for number in range(110):
        client.missing(f"kid-{number}")
        ticker.now += 31
    assert len(client._absent) == 100


def test_two_hundred_threads_with_a_new_kid_all_get_in_after_one_look(issuer: Any, client: JWKSClient) -> None:
    judge = verifier(client, issuer)
    judge.verify(issuer.token())
    new = Key.generate("ES256")
    issuer.keys.append(new.public())
    token, start = issuer.token(new), threading.Barrier(200)

    def one(_: int) -> str:
        start.wait(20)
        return judge.verify(token).sub

    with ThreadPoolExecutor(200) as pool:
        assert set(pool.map(one, range(200))) == {"alice"}
    assert issuer.asked[JWKS] == 2


def test_a_key_that_the_set_loses_stops_verifying_after_the_refresh(
    issuer: Any, client: JWKSClient, ticker: Any
) -> None:
    judge, token = verifier(client, issuer), issuer.token()
    judge.verify(token)
    issuer.keys = [Key.generate("ES256").public()]
    judge.verify(token)
    ticker.now += 601  # the set is over: even if no refresh came in between, the next request sees the new one
    with pytest.raises(UnknownKey):
        judge.verify(token)


def test_keys_are_refreshed_in_the_background_ahead_of_their_expiry(
    issuer: Any, client: JWKSClient, ticker: Any
) -> None:
    client.current()
    ticker.now += 0.91 * 600
    client.current()
    until(lambda: issuer.asked[JWKS] == 2)


def test_the_set_stays_the_same_object_while_its_content_does(issuer: Any, client: JWKSClient) -> None:
    first = client.current()
    assert client.refresh() is first
    issuer.keys.append(Key.generate("ES256").public())
    assert client.refresh() is not first


@pytest.mark.parametrize(
    ("control", "seconds"),
    [
        ("max-age=300", 300), ("max-age=1", 60), ("max-age=99999999", 86_400), ("no-store", 60), ("", 600),
        ("public, MAX-AGE=120", 120), ("no-cache, max-age=900", 60), ("max-age=junk", 600), ("s-maxage=7200", 600),
    ],
)  # fmt: skip
def test_cache_control_is_honored_within_bounds(
    issuer: Any, client: JWKSClient, ticker: Any, control: str, seconds: float
) -> None:
    plain = issuer.answers[JWKS]
    issuer.answers[JWKS] = lambda handler: (200, {"Cache-Control": control}, plain(handler)[2])
    client.current()
    held = client._held
    assert held is not None
    assert held.expires - held.fetched == seconds
    assert 0.75 * seconds <= held.refresh - held.fetched <= 0.9 * seconds


def drip(handler: Any) -> None:
    """Headers a byte at a time: no single read ever times out."""
    try:
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 400:
            handler.wfile.write(bytes((byte,)))
            time.sleep(0.03)
    except OSError:
        pass


def huge(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
    try:
        for _ in range(100):
            handler.wfile.write(b" " * 1_000_000)
    except OSError:
        pass


def reset(handler: Any) -> None:
    import socket
    import struct

    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


PRIVATE = Key.generate("ES256")
GOOD = Key.generate("ES256").public()
FAULTS: dict[str, Callable[[Any], Any]] = {
    "500": lambda _: (500, {}, b"{}"),
    "404": lambda _: (404, {}, b"{}"),
    "redirect to http elsewhere": lambda _: (302, {"Location": "http://evil.example/jwks"}, b""),
    "redirect to another origin": lambda _: (307, {"Location": "https://evil.example/jwks"}, b""),
    "redirect with keys in its body": lambda _: (302, {"Location": "/elsewhere"}, jwks_json(GOOD)),
    "another success": lambda _: (203, {}, jwks_json(GOOD)),
    "good keys, too large": lambda _: (200, {}, jwks_json(GOOD) + b" " * 1024 * 1024),
    "redirect to a file": lambda _: (302, {"Location": "file:///etc/passwd"}, b""),
    "html": lambda _: (200, {"Content-Type": "text/html"}, b"<html>sign in to the wifi</html>"),
    "empty body": lambda _: (200, {}, b""),
    "empty set": lambda _: (200, {}, b'{"keys":[]}'),
    "no keys": lambda _: (200, {}, b"{}"),
    "keys not a list": lambda _: (200, {}, b'{"keys":{}}'),
    "duplicate member": lambda _: (200, {}, b'{"keys":[],"keys":[]}'),
    "compressed": lambda _: (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"),
    "only a private key": lambda _: (200, {}, jwks_json(PRIVATE)),
    "hanging": lambda _: time.sleep(1.2),
    "dripping": drip,
    "100 MB": huge,
    "reset": reset,
    "closing": lambda _: None,
}


def jwks_json(*keys: Key) -> bytes:
    import json

    return json.dumps({"keys": [key.to_jwk(private=key.private) for key in keys]}).encode()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_answer_gives_no_keys_at_cold_start_and_costs_none_later(issuer: Any, ticker: Any, fault: str) -> None:
    plain, issuer.answers[JWKS] = issuer.answers[JWKS], FAULTS[fault]
    cold = JWKSClient(issuer.url + JWKS, now=ticker, timeout=0.5)
    begun = time.monotonic()
    with pytest.raises(KeysUnavailable, match="never fetched"):
        cold.current()
    assert time.monotonic() - begun < 10
    cold.close()

    issuer.answers[JWKS] = plain
    warm = JWKSClient(issuer.url + JWKS, now=ticker, timeout=0.5)
    good = warm.current()
    issuer.answers[JWKS] = FAULTS[fault]
    with pytest.raises(KeysUnavailable, match="keys last fetched 0 s ago"):
        warm.refresh()
    assert warm.current() is good
    warm.close()


def test_nobody_waits_for_an_issuer_that_hangs_while_the_old_keys_count(issuer: Any, ticker: Any) -> None:
    client = JWKSClient(issuer.url + JWKS, now=ticker, timeout=1.0)
    good = client.current()
    issuer.slow(JWKS, 3.0)
    ticker.now += issuer.max_age + 1
    assert client.current() is good  # the first waits: it may be only slow
    until(lambda: issuer.asked[JWKS] >= 3)
    with memory_only():
        assert client.current() is good
    client.close()


@pytest.mark.parametrize("seconds", [0, 590, 601])
def test_a_closed_clients_keys_age_as_if_the_issuer_were_down(
    issuer: Any, client: JWKSClient, ticker: Any, seconds: int
) -> None:
    good = client.current()
    client.close()
    ticker.now += seconds
    assert client.current() is good


def test_what_failed_before_a_close_or_a_fork_makes_no_old_keys_count(
    issuer: Any, client: JWKSClient, ticker: Any
) -> None:
    client.current()
    works, issuer.answers[JWKS] = issuer.answers[JWKS], lambda _: (503, {}, b"")
    ticker.now += issuer.max_age + 1
    assert issuer.key.kid in client.current()
    client.close()
    until(lambda: not client._background.alive)
    issuer.keys, issuer.answers[JWKS] = [Key.generate("ES256").public()], works
    ticker.now += 3600
    client.open()
    assert issuer.key.kid not in client.current()


def test_a_dripping_answer_is_cut_off_at_the_deadline_for_the_whole(issuer: Any) -> None:
    issuer.answers[JWKS] = drip
    begun = time.monotonic()
    with pytest.raises(ServiceUnreachable, match=r"no whole answer within 0.3 s"):
        Fetcher(timeout=0.3).get(issuer.url + JWKS)
    assert time.monotonic() - begun < 8  # the whole would take 12 s


def test_a_huge_answer_is_not_read_to_its_end(issuer: Any) -> None:
    issuer.answers[JWKS] = huge
    with pytest.raises(ServiceUnreachable, match="more than 1048576 bytes"):
        Fetcher().get(issuer.url + JWKS)


def test_a_server_that_refuses_connections_gives_no_keys(dead_port: int) -> None:
    client = JWKSClient(f"http://127.0.0.1:{dead_port}/jwks")
    with pytest.raises(KeysUnavailable, match="ConnectError"):
        client.current()
    client.close()


def test_while_the_issuer_is_down_expired_keys_are_believed_for_a_stated_time(issuer: Any, ticker: Any) -> None:
    client = JWKSClient(issuer.url + JWKS, now=ticker, stale_if_error=timedelta(hours=2))
    judge, token = verifier(client, issuer), issuer.token()
    judge.verify(token)
    issuer.answers[JWKS] = FAULTS["500"]
    ticker.now += 600 + 7199
    judge.verify(token)
    ticker.now += 2
    with pytest.raises(KeysUnavailable, match="keys last fetched 7801 s ago"):
        judge.verify(token)
    client.close()


def test_an_issuer_that_is_down_is_not_asked_by_every_request(issuer: Any, client: JWKSClient) -> None:
    issuer.answers[JWKS] = FAULTS["500"]
    for _ in range(50):
        with pytest.raises(KeysUnavailable):
            client.current()
    assert issuer.asked[JWKS] == 1


def test_an_unknown_kid_is_not_judged_while_it_cannot_be_looked_up(issuer: Any, client: JWKSClient) -> None:
    client.current()
    works, issuer.answers[JWKS] = issuer.answers[JWKS], FAULTS["500"]
    for kid in ("a stranger's", "new", "new"):  # the look that failed may have been for another kid
        with pytest.raises(KeysUnavailable, match="500") as caught:
            client.missing(kid)
        assert caught.value.retry_after == 1
    issuer.keys.append(Key.generate("ES256", kid="new").public())
    issuer.answers[JWKS] = works
    until(lambda: client._background.error is None)  # the thread tries again by itself
    assert "new" in client.missing("new")
    with pytest.raises(UnknownKey):
        verifier(client, issuer).verify(issuer.token(Key.generate("ES256")))


def test_a_clock_that_jumps_ahead_brings_a_fetch_and_not_an_outage(
    issuer: Any, client: JWKSClient, ticker: Any
) -> None:
    judge = verifier(client, issuer)
    judge.verify(issuer.token())
    ticker.now += 10_000_000
    judge.verify(issuer.token())
    assert issuer.asked[JWKS] == 2


def test_a_clock_that_jumps_back_does_not_make_old_keys_young(issuer: Any, client: JWKSClient, ticker: Any) -> None:
    judge = verifier(client, issuer)
    judge.verify(issuer.token())
    ticker.now -= 500
    judge.verify(issuer.token())
    assert issuer.asked[JWKS] == 2


def test_without_time_for_stale_keys_none_are_believed_after_their_expiry(issuer: Any, ticker: Any) -> None:
    client = JWKSClient(issuer.url + JWKS, now=ticker, stale_if_error=timedelta())
    judge, token = verifier(client, issuer), issuer.token()
    judge.verify(token)
    issuer.answers[JWKS] = FAULTS["500"]
    ticker.now += 599
    judge.verify(token)
    ticker.now += 1
    with pytest.raises(KeysUnavailable):
        judge.verify(token)
    client.close()


def test_of_stale_keys_those_known_verify_and_an_unknown_kid_is_not_judged(issuer: Any, ticker: Any) -> None:
    client = JWKSClient(issuer.url + JWKS, now=ticker, stale_if_error=timedelta(hours=2))
    judge, stranger = verifier(client, issuer), issuer.token(Key.generate("ES256"))
    judge.verify(issuer.token())
    issuer.answers[JWKS] = FAULTS["500"]
    ticker.now += 3600
    assert judge.verify(issuer.token()).sub == "alice"
    with pytest.raises(KeysUnavailable):
        judge.verify(stranger)
    client.close()


def test_an_unknown_kid_is_told_with_those_that_are_known_and_when_they_were_fetched(
    issuer: Any, client: JWKSClient, ticker: Any
) -> None:
    judge, token = verifier(client, issuer), issuer.token(Key.generate("ES256", kid="new"))
    judge.verify(issuer.token())
    ticker.now += 40
    client.refresh()
    with pytest.raises(UnknownKey):
        judge.verify(token)
    ticker.now += 7
    with pytest.raises(UnknownKey) as caught:
        judge.verify(token)
    text = str(caught.value)
    assert "no key of this issuer has the kid 'new'" in text
    assert issuer.key.kid in text
    assert "keys last fetched 7 s ago" in text
    assert not any(part in text for part in token.split("."))


def test_a_private_key_in_the_set_is_dropped_with_its_public_half_and_reported() -> None:
    good = Key.generate("ES256")
    keys = read_jwks(jwks_json(good.public(), PRIVATE.public(), PRIVATE), ("ES256",))
    assert list(keys) == [good.public()]
    assert any("private key" in problem for problem in keys.problems)
    renamed = Key.from_jwk({**PRIVATE.to_jwk(), "kid": "other"})
    assert list(read_jwks(jwks_json(good.public(), renamed, PRIVATE), ("ES256",))) == [good.public()]


@pytest.mark.parametrize(
    ("claimed", "ours"),
    [
        ("https://login.example/{tenantid}/v2.0", True),
        ("https://login.example/11111111-2222-3333-4444-555555555555/v2.0", True),
        ("https://login.example/99999999-2222-3333-4444-555555555555/v2.0", False),
        ("https://login.example/{tenantid}/", False),
        ("https://login.example/1111{tenantid}5555/v2.0", False),
        ("{tenantid}", False),
        ("", False),
        (None, False),
        (5, False),
        (["https://login.example/{tenantid}/v2.0"], False),
    ],
)
def test_a_key_that_the_set_says_is_another_issuers_is_dropped_and_reported(claimed: object, ours: bool) -> None:
    issuer = "https://login.example/11111111-2222-3333-4444-555555555555/v2.0"
    good, marked = Key.generate("ES256").public(), Key.generate("ES256").public()
    body = json.dumps({"keys": [good.to_jwk(), marked.to_jwk() | {"issuer": claimed}]}).encode()
    keys = read_jwks(body, ("ES256",), issuer)
    assert (marked.kid in keys) is ours
    assert good.kid in keys, "a key that says nothing is the issuer's whose set it is in"
    assert any("another issuer" in problem for problem in keys.problems) is not ours


def test_a_remote_issuer_believes_no_key_of_another_issuer_in_its_set(issuer: Any) -> None:
    plain = issuer.answers[JWKS]
    body = json.dumps({"keys": [issuer.key.public().to_jwk() | {"issuer": "https://other.example"}]}).encode()
    issuer.answers[JWKS] = lambda _: (200, {}, body)
    remote = RemoteIssuer(issuer.url, revocations="none")
    with pytest.raises(KeysUnavailable, match="entry 0 belongs to another issuer"):
        remote.verifier(audience="orders").verify(issuer.token())
    remote.close()
    issuer.answers[JWKS] = plain


def test_a_secret_in_the_set_is_dropped_and_the_good_keys_stay() -> None:
    good, secret = Key.generate("ES256"), Key.generate("HS256")
    keys = read_jwks(jwks_json(good.public(), secret), ("ES256",))
    assert list(keys) == [good.public()]
    assert keys.problems


def test_different_keys_with_one_kid_are_both_dropped() -> None:
    one, two = (Key.generate("ES256", kid="same").public() for _ in range(2))
    good = Key.generate("ES256").public()
    keys = read_jwks(jwks_json(one, two, good), ("ES256",))
    assert list(keys) == [good]
    assert isinstance(keys, KeySet)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_after_the_first_fetch_keeps_the_keys_and_fetches_again_in_the_child(
    issuer: Any, client: JWKSClient, ticker: Any
) -> None:
    client.current()
    parent_thread = client._background.alive
    child = os.fork()
    if child == 0:
        status = 1
        try:
            judge = verifier(client, issuer)
            judge.verify(issuer.token())
            assert not client._background.alive
            ticker.now += 601
            judge.verify(issuer.token())
            assert client._background.alive
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert parent_thread
    assert issuer.asked[JWKS] == 2


def test_the_thread_ends_with_the_client(issuer: Any) -> None:
    client = JWKSClient(issuer.url + JWKS)
    client.current()
    thread = next(iter(client._background._runs.values())).thread
    assert thread is not None
    assert thread.daemon
    client.close()
    thread.join(5)
    assert not thread.is_alive()
    assert len(client.current()) == 1


def test_a_private_key_in_the_set_is_never_taken_apart() -> None:
    # n, e and d without primes: to recover them from 8192 bits costs the better part of a second.
    private = Key.generate("RS256").to_jwk(private=True)
    members = {name: private[name] for name in ("kty", "n", "e", "kid", "alg")}
    public = Key.from_jwk(members)
    good = Key.generate("ES256").public()
    leaked = json.dumps({"keys": [{**members, "d": "AAAA"}, public.to_jwk(), good.to_jwk()]}).encode()
    keys = read_jwks(
        leaked, ("ES256", "RS256")
    )  # that d cannot be read, and its public half is not believed all the same
    assert list(keys) == [good]
    assert any("private key" in problem for problem in keys.problems)
