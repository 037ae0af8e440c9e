"""RemoteIssuer: whom it believes, over what, and that it never blocks an event loop."""

from __future__ import annotations

import asyncio
import gc
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from admit import Claims, ConfigurationError, InvalidToken, Key, Signer, Unavailable, Verifiers
from admit.errors import KeysUnavailable, UnknownKey
from admit.remote.issuer import RemoteIssuer
from admit.web.bearer import Door, Presented, presented
from tests.helpers.waiting import until
from tests.remote.conftest import FEED, Issuer, document

METADATA, OPENID, JWKS = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/jwks"


@dataclass(frozen=True)
class Mine:
    tenant: str


def shown(token: str) -> Presented:
    return presented([(b"authorization", b"Bearer " + token.encode())])


@pytest.fixture
def remote(issuer: Any) -> Iterator[RemoteIssuer]:
    remote = RemoteIssuer(issuer.url, revocations="none", timeout=2.0)
    yield remote
    remote.close()


def test_building_one_asks_nothing_and_the_first_token_reads_metadata_and_keys(
    issuer: Any, remote: RemoteIssuer
) -> None:
    verifier = remote.verifier(audience="orders", extra=Mine)
    assert not issuer.asked
    assert verifier.verify(issuer.token(tenant="acme")).extra.tenant == "acme"
    assert issuer.asked == {METADATA: 1, JWKS: 1}


def test_whether_revocations_are_followed_has_to_be_said() -> None:
    with pytest.raises(TypeError):
        RemoteIssuer("https://auth.example")  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError):
        RemoteIssuer("https://auth.example", revocations="maybe")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url", ["http://auth.example", "auth.example", "https://auth.example?x=1", "https://a@b.example"]
)
def test_an_issuer_that_cannot_be_trusted_by_its_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        RemoteIssuer(url, revocations="none")


def test_metadata_of_another_issuer_is_refused(issuer: Any, remote: RemoteIssuer) -> None:
    plain = issuer.answers[METADATA]
    for other in ("https://evil.example", issuer.url + "/", issuer.url.upper()):
        body = plain(None)[2].replace(issuer.url.encode(), other.encode(), 1)
        issuer.answers[METADATA] = lambda _, body=body: (200, {}, body)
        fresh = RemoteIssuer(issuer.url, revocations="none")
        with pytest.raises(KeysUnavailable, match="another issuer"):
            fresh.verifier(audience="orders").verify(issuer.token())
        fresh.close()
    assert issuer.asked[JWKS] == 0


def test_openid_metadata_serves_where_there_is_no_other(issuer: Any, remote: RemoteIssuer) -> None:
    issuer.answers[OPENID] = issuer.answers.pop(METADATA)
    assert remote.verifier(audience="orders").verify(issuer.token()).sub == "alice"


def test_an_issuer_with_a_path_has_its_metadata_where_each_standard_puts_it(issuer: Any) -> None:
    remote = RemoteIssuer(issuer.url + "/tenant", revocations="none")
    with pytest.raises(KeysUnavailable):
        remote.warm()
    assert issuer.asked == {METADATA + "/tenant": 1, "/tenant" + OPENID: 1, "/tenant" + METADATA: 1}
    remote.close()


@pytest.mark.parametrize("place", [METADATA + "/tenant", "/tenant" + OPENID, "/tenant" + METADATA])
def test_metadata_in_any_of_the_three_places_will_do_if_it_names_the_issuer(issuer: Any, place: str) -> None:
    name = issuer.url + "/tenant"
    right = document({"issuer": name, "jwks_uri": issuer.url + JWKS})
    del issuer.answers[METADATA]
    issuer.answers[place] = lambda _: right
    with RemoteIssuer(name, revocations="none") as remote:
        token = Signer(issuer.key, issuer=name, audience="orders").sign(sub="alice", client_id="web")
        assert remote.verifier(audience="orders").verify(token).sub == "alice"
    wrong = document({"issuer": issuer.url, "jwks_uri": issuer.url + JWKS})
    issuer.answers[place] = lambda _: wrong
    other = RemoteIssuer(name, revocations="none")
    with pytest.raises(KeysUnavailable, match="another issuer"):
        other.warm()
    other.close()


@pytest.mark.parametrize(
    ("setting", "value", "hint"),
    [
        ("issuer", 5, "not a URL"),
        ("issuer", None, "not a URL"),
        ("revocations", None, "'required' or 'none'"),
        ("algorithms", None, "collection"),
        ("algorithms", "RS256", "collection"),
        ("algorithms", [5], "collection"),
        ("algorithms", [], "at least one"),
        ("algorithms", ["RS256", "PS256"], "two algorithms"),
        ("algorithms", ["HS256"], "shared secrets"),
        ("algorithms", ["none"], "none"),
        ("insecure_hosts", None, "collection"),
        ("insecure_hosts", "auth.mesh", "collection"),
        ("insecure_hosts", [5], "collection"),
        ("max_revocation_age", 60, "timedelta"),
        ("max_revocation_age", timedelta(), "positive"),
        ("on_stale", "maybe", "'introspect' or 'accept'"),
        ("on_stale", None, "'introspect' or 'accept'"),
        ("stale_if_error", 60, "timedelta"),
        ("stale_if_error", None, "timedelta"),
        ("stale_if_error", timedelta(seconds=-1), "0 or more"),
        ("timeout", "x", "positive number of seconds"),
        ("timeout", -1, "positive number of seconds"),
        ("timeout", 0, "positive number of seconds"),
        ("timeout", float("inf"), "positive number of seconds"),
        ("timeout", None, "positive number of seconds"),
        ("timeout", True, "positive number of seconds"),
        ("jwks_uri", 5, "not a URL"),
        ("ssl_context", 5, "create_default_context"),
        ("ssl_context", True, "create_default_context"),
        ("clock", None, "seconds since 1970"),
        ("now", 5, "monotonic"),
    ],
)
def test_an_argument_of_the_wrong_sort_is_refused_with_a_way_to_mend_it(setting: str, value: Any, hint: str) -> None:
    settings: dict[str, Any] = {"issuer": "https://auth.example", "revocations": "none"} | {setting: value}
    with pytest.raises(ConfigurationError, match=hint):
        RemoteIssuer(**settings)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("kind", "x"),
        ("extra", 5),
        ("max_token", 1.5),
        ("cache", "x"),
        ("leeway", 60),
        ("required", None),
        ("audience", None),
    ],
)
def test_its_verifiers_take_no_argument_of_the_wrong_sort_either(
    remote: RemoteIssuer, setting: str, value: Any
) -> None:
    settings: dict[str, Any] = {"audience": "orders"} | {setting: value}
    with pytest.raises(ConfigurationError):
        remote.verifier(**settings)


@pytest.mark.parametrize(
    "uri", ["http://evil.example/jwks", "file:///etc/passwd", "http://127.0.0.1:1/jwks", "", None, 5]
)
def test_metadata_cannot_point_to_keys_that_anybody_could_replace(
    issuer: Any, remote: RemoteIssuer, uri: object
) -> None:
    import json

    body = json.dumps({"issuer": issuer.url, "jwks_uri": uri}).encode()
    issuer.answers[METADATA] = lambda _: (200, {}, body)
    with pytest.raises(KeysUnavailable, match="jwks_uri"):
        remote.warm()


def test_two_hundred_tasks_at_cold_start_cause_one_fetch_and_the_loop_stays_free(
    issuer: Any, remote: RemoteIssuer
) -> None:
    asked, free = threading.Event(), threading.Event()
    door, value, keys = Door(remote.verifier(audience="orders")), shown(issuer.token()), issuer.answers[JWKS]

    def answer(handler: Any) -> Any:
        asked.set()
        assert free.wait(4)  # a loop that waits for this answer gets none
        return keys(handler)

    issuer.answers[JWKS] = answer

    async def main() -> None:
        tasks = [asyncio.create_task(door.admit(value)) for _ in range(200)]
        while not asked.is_set():
            await asyncio.sleep(0.005)
        for _ in range(20):
            await asyncio.sleep(0.005)
        free.set()
        assert {claims.sub for claims in await asyncio.gather(*tasks)} == {"alice"}

    asyncio.run(main())
    assert issuer.asked == {METADATA: 1, JWKS: 1}


def test_a_flood_of_unknown_kids_on_an_event_loop_causes_one_fetch(issuer: Any, remote: RemoteIssuer) -> None:
    strangers = [shown(issuer.token(Key.generate("ES256"))) for _ in range(60)]
    door = Door(remote.verifier(audience="orders"))

    async def main() -> None:
        await remote.start()
        for value in strangers:
            with pytest.raises(InvalidToken):
                await door.admit(value)
        answers = await asyncio.gather(*map(door.admit, strangers), return_exceptions=True)
        assert all(isinstance(answer, InvalidToken) for answer in answers)

    asyncio.run(main())
    assert issuer.asked[JWKS] == 2


def test_async_with_fetches_before_the_first_request(issuer: Any) -> None:
    async def main() -> Claims[None]:
        async with RemoteIssuer(issuer.url, revocations="required") as remote:
            assert issuer.asked[JWKS] == 1
            return remote.verifier(audience="orders").verify(issuer.token())

    assert asyncio.run(main()).sub == "alice"


def test_it_can_be_entered_again_after_it_was_left(issuer: Any, ticker: Any) -> None:
    remote = RemoteIssuer(issuer.url, revocations="required", now=ticker)
    verifier = remote.verifier(audience="orders")
    for _ in range(2):
        with remote:
            verifier.verify(issuer.token())
        ticker.now += 1000
        issuer.iat_offset += 1
        time.sleep(0.02)  # so soon at the latest it is seen
        with pytest.raises(Unavailable, match="closed"):
            verifier.verify(issuer.token())


def _authority(folder: Path, expired: bool) -> tuple[ssl.SSLContext, Path]:
    now = datetime.now(UTC)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def builder(subject: str, public: ec.EllipticCurvePublicKey, until: datetime) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("test authority"))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=9))
            .not_valid_after(until)
        )

    ca = builder("test authority", ca_key.public_key(), now + timedelta(days=9))
    ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    # What Python 3.13 asks of a certificate chain (RFC 5280 4.2.1): key identifiers, and the authority's key usage.
    usage = dict.fromkeys(
        [
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ],
        False,
    )
    ca = ca.add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
    ca = ca.add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
    ca_certificate = ca.sign(ca_key, hashes.SHA256())
    leaf = builder("127.0.0.1", key.public_key(), now + timedelta(days=-1 if expired else 9))
    leaf = leaf.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    leaf = leaf.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    certificate = leaf.sign(ca_key, hashes.SHA256())
    (folder / "ca.pem").write_bytes(ca_certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "server.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    return server, folder / "ca.pem"


@pytest.mark.parametrize("fault", [None, "expired certificate", "unknown authority"])
def test_over_tls_only_a_valid_certificate_of_a_known_authority_will_do(
    issuer: Any, tmp_path: Path, fault: str | None
) -> None:
    context, authority = _authority(tmp_path, fault == "expired certificate")
    issuer.server.socket = context.wrap_socket(issuer.server.socket, server_side=True, do_handshake_on_connect=False)
    issuer.url = issuer.url.replace("http://", "https://")
    trust = None if fault == "unknown authority" else ssl.create_default_context(cafile=authority)
    remote = RemoteIssuer(issuer.url, revocations="none", ssl_context=trust, timeout=3.0)
    verifier = remote.verifier(audience="orders")
    if fault is None:
        assert verifier.verify(issuer.token()).sub == "alice"
    else:
        with pytest.raises(KeysUnavailable, match=r"(?i)certificate"):
            verifier.verify(issuer.token())
        assert not issuer.asked
    remote.close()


def test_two_issuers_never_share_keys(issuer: Any, remote: RemoteIssuer) -> None:
    other = RemoteIssuer(issuer.url, revocations="none", jwks_uri=issuer.url + "/other-jwks")
    with pytest.raises(KeysUnavailable):
        other.verifier(audience="orders").verify(issuer.token())
    remote.verifier(audience="orders").verify(issuer.token())
    other.close()


def test_two_issuers_at_one_door_are_fetched_and_judged_apart(issuer: Any) -> None:
    other = Issuer()
    remotes = [RemoteIssuer(each.url, revocations="none", timeout=2.0) for each in (issuer, other)]
    door = Door(Verifiers([remote.verifier(audience="orders") for remote in remotes]))

    def value(of: Issuer, key: Key | None = None) -> Presented:
        return shown(of.token(key))

    async def main() -> None:
        assert (await door.admit(value(issuer))).iss == issuer.url
        assert other.asked == {}, "nobody asked for the other issuer's tokens yet"
        for _ in range(3):
            with pytest.raises(UnknownKey):  # signed by the other's key, which is looked for here alone
                await door.admit(value(issuer, other.key))
        assert other.asked == {}
        other.answers.clear()
        with pytest.raises(KeysUnavailable):
            await door.admit(value(other))
        assert (await door.admit(value(issuer))).iss == issuer.url

    try:
        asyncio.run(main())
        assert door.admit_sync(value(issuer)).iss == issuer.url
        assert issuer.asked == {METADATA: 1, JWKS: 2}
    finally:
        for remote in remotes:
            remote.close()
        other.close()


def test_an_issuer_nobody_holds_any_more_leaves_no_thread(issuer: Any) -> None:
    remote = RemoteIssuer(issuer.url, revocations="none")
    remote.warm()
    runs = next(iter(remote.keys._background._runs.values()))
    thread = runs.thread
    del remote
    gc.collect()
    assert isinstance(thread, threading.Thread)
    with runs.changed:
        runs.wanted = True
        runs.changed.notify_all()
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("proxy", "said"),
    [("socks5://127.0.0.1:1", "SOCKS"), ("carrier://pigeon", "scheme"), ("http://127.0.0.1:99999", "")],
)
def test_a_proxy_in_the_environment_that_cannot_be_used_is_named_and_ends_no_thread(
    monkeypatch: pytest.MonkeyPatch, issuer: Any, proxy: str, said: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    remote = RemoteIssuer("https://auth.example", revocations="none", timeout=2.0)
    verifier = remote.verifier(audience="orders")
    with pytest.raises(KeysUnavailable, match=f"failed: .*{said}"):
        verifier.verify(issuer.token())
    assert remote.keys._background.alive
    remote.close()


@pytest.mark.parametrize("time", ["the first", "another"])
def test_where_entering_is_cancelled_while_the_issuer_hangs_no_thread_waits_any_longer(
    issuer: Any, ticker: Any, time: str
) -> None:
    go_on = threading.Event()
    remote = RemoteIssuer(issuer.url, revocations="required", timeout=60.0, now=ticker)
    if time == "another":
        with remote:
            ticker.now += issuer.max_age + 1
    hangs = METADATA if time == "the first" else JWKS
    for path in (hangs, FEED):
        issuer.answers[path] = lambda _: go_on.wait(60) and None
    asked = issuer.asked[hangs]

    async def enter() -> None:
        async with remote:
            raise AssertionError("it cannot be entered")

    async def main() -> None:
        entering = asyncio.create_task(enter())
        while issuer.asked[hangs] == asked:
            await asyncio.sleep(0.005)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering

    before = set(threading.enumerate())
    asyncio.run(main())
    workers = [thread for thread in set(threading.enumerate()) - before if not thread.daemon]
    for worker in workers:
        worker.join(20)
    assert not any(worker.is_alive() for worker in workers)
    go_on.set()
    feed = remote.revocations
    assert feed is not None
    until(lambda: not (remote.keys._background.alive or feed._background.alive))
