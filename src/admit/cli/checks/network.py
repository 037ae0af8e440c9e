"""From outside, as a client sees it: the certificate, the issuer, its keys, its feed, and whose clock is wrong."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Event
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import ExtensionOID
from sqlalchemy import func, select

from admit.cli.checks.finding import Deployment, Finding, Skip, failure, mode, ok, warning
from admit.clock import system_clock
from admit.errors import AdmitError, shown
from admit.jose.encoding import json_object
from admit.jose.keyset import KeySet
from admit.keyring.lifecycle import PUBLISHED
from admit.remote.fetch import is_loopback
from admit.server.metadata import METADATA
from admit.server.run import CannotServe, tls_context
from admit.server.settings import Settings
from admit.service import revocation
from admit.service.schema import audit, keys
from admit.tokens.revocation import Page

_SOON: Final = 14  # days before a certificate's end
_TIMEOUT: Final = 5.0  # seconds
_DIFFER: Final = 2.0  # seconds between two clocks that are worth a word
# Seconds: a worker looks into its database five times a second where the machine is idle.
_PAUSES: Final = (0.25,) * 12
_WRONG: Final = 10.0  # seconds: the leeway of verifiers on iat and nbf; beyond, fresh tokens are refused

_SLOW: Final = 20.0  # seconds more, after which /readyz has given up a database that is silent
_READY: Final = frozenset((200, 503))

_sleep: Final = Event().wait

MENDS: Final = {
    "database": "let it be written again: make room on its disk, end who holds it locked, name the primary; the service's log"
    " has the database's own words",
    "schema": "run `jwt admin db upgrade`",
    "master_key": "give it the master key that secrets were moved to, in a file beside the others, and restart it",
    "keys": "see its log for why the keys cannot be read",
    "follower": "restart it, and see its log",
}
"""How to mend what /readyz calls down."""


def certificate_file(deployment: Deployment) -> Iterator[Finding]:
    """The certificate that the service itself serves."""
    settings = deployment.settings
    if settings.tls_cert is None or settings.tls_key is None:
        raise Skip("the service serves no certificate of its own")
    try:
        leaf = x509.load_pem_x509_certificates(settings.tls_cert.read_bytes())[0]
        tls_context(settings)
    except CannotServe as error:
        yield failure(str(error), "give a PEM chain and its private key, in the clear")
        return
    except (OSError, ValueError):
        yield failure("the certificate cannot be read", "give a PEM chain and its private key")
        return
    if settings.tls_key.stat().st_mode & 0o077:
        yield failure(
            f"its private key {settings.tls_key} has mode {mode(settings.tls_key)}", f"chmod 600 {settings.tls_key}"
        )
    left = leaf.not_valid_after_utc - datetime.fromtimestamp(system_clock(), UTC)
    yield _expiry(left.total_seconds(), settings)
    host = urlsplit(settings.issuer).hostname if settings.issuer else None
    if host and not _names(leaf, host):
        yield failure(
            f"the certificate is not for {host}, the host of the issuer", "have one made that names the issuer's host"
        )


def tls(deployment: Deployment) -> Iterator[Finding]:
    """The certificate that clients are shown at the issuer: its chain, its host, its end."""
    url = urlsplit(deployment.issuer)
    if url.scheme != "https" or url.hostname is None:
        raise Skip("the issuer is plain http")
    context = ssl.create_default_context()
    try:
        with (
            socket.create_connection((url.hostname, url.port or 443), timeout=_TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=url.hostname) as secure,
        ):
            ends: Any = (secure.getpeercert() or {}).get("notAfter", "")
    except ssl.SSLCertVerificationError as error:
        yield failure(
            f"clients refuse the certificate of {url.hostname}: {error.verify_message}",
            f"renew it, for the issuer's host, with its whole chain; {_reload(deployment.settings)}",
        )
        return
    except OSError as error:
        raise Skip(f"nothing answers TLS at {url.hostname} ({type(error).__name__})") from None
    yield _expiry(ssl.cert_time_to_seconds(ends) - system_clock(), deployment.settings)


def issuer(deployment: Deployment) -> Iterator[Finding]:
    """The issuer is reached from here, says that it is that issuer, and publishes the keys of this database."""
    url = deployment.issuer.rstrip("/") + METADATA
    try:
        document, _, _ = deployment.metadata
    except Skip:
        try:
            deployment.fetcher.get(url)
            told = f"{url} is no JSON object"
        except AdmitError as error:
            told = str(error)
        yield failure(told, "see that the service runs, and that its proxy passes /.well-known/ on")
        return
    said = document.get("issuer")
    if said != deployment.issuer:
        yield failure(
            f"who answers at {deployment.issuer} says that it is {shown(said)}: every client refuses its tokens",
            "set --issuer to exactly that URL, in the service and here; one slash is a difference",
        )
        return
    yield ok(f"{deployment.issuer} answers, and says that it is itself")
    try:
        published = {key.kid for key in KeySet.from_jwks(deployment.named("jwks_uri"))}
    except AdmitError as error:
        yield failure(f"its keys cannot be read: {error}", "see that the proxy passes /.well-known/ on, unchanged")
        return
    stored = set(
        deployment.tables.read(
            lambda tx: list(
                tx.execute(select(keys.c.kid).where(keys.c.use == "access", keys.c.state.in_(PUBLISHED))).scalars()
            )
        )
    )
    if published == stored:
        yield ok("it publishes the keys of this database")
    else:
        yield failure(
            f"it publishes {len(published)} keys, of which {len(published & stored)} are among the {len(stored)} of this"
            " database",
            "the issuer's URL leads to a service on another database, or a cache in between keeps old keys",
        )


def readiness(deployment: Deployment) -> Iterator[Finding]:
    """What the service at the issuer says of itself: it writes, and the doctor only reads."""
    url = urlsplit(deployment.issuer)
    _ = deployment.metadata  # where nobody answers, that is said once
    ready = f"{url.scheme}://{url.netloc}/readyz"
    try:
        said = json_object(deployment.fetcher.get(ready, patience=_SLOW, statuses=_READY).body)
    except AdmitError as error:
        raise Skip(f"/readyz is not to be asked from here: {error}") from None
    checks = said.get("checks")
    down = [name for name in MENDS if isinstance(checks, dict) and checks.get(name) == "down"]
    if said.get("status") == "ready":
        yield ok("the service says that it can work")
    elif not down:
        raise Skip("/readyz says nothing of what is down")
    for name in down:
        yield failure(f"the service says that it cannot work: {name} is down", MENDS[name])


def feed(deployment: Deployment) -> Iterator[Finding]:
    """The revocation feed that is served is this database's, and of this moment."""
    if deployment.settings.feed_readers == "clients":
        raise Skip("the feed is for clients alone, and the doctor is none")
    head = deployment.tables.read(revocation.head)
    try:
        trusted = KeySet.from_jwks(deployment.named("revocations_jwks_uri"))
        pages = [Page.read(deployment.named("revocations_uri"), trusted, deployment.issuer)]
        for pause in (0.0, *_PAUSES):
            if pages[-1].feed != head.epoch or pages[-1].to >= head.seq:
                break
            _sleep(pause)  # what is served is a second old, or the first of many, or its worker just about to look
            newest = deployment.named("revocations_uri", since=str(head.seq), epoch=head.epoch, wait="0")
            pages.append(Page.read(newest, trusted, deployment.issuer))
    except AdmitError as error:
        yield failure(f"the feed cannot be read: {error}", "see that the proxy passes /revocations on, unchanged")
        return
    # Pages on the way to the newest are signed once for all, and may be of any age.
    age, page = max((system_clock() - each.iat for each in pages if not each.more), default=0.0), pages[-1]
    if age > _WRONG:
        yield failure(
            f"the feed that is served was signed {age:.0f} s ago",
            "a cache in between keeps it: let /revocations through",
        )
    if page.feed != head.epoch:
        yield failure(
            "the feed that is served is another database's", "see which database the service at the issuer has"
        )
    elif page.to < head.seq:
        yield failure(
            f"the feed that is served does not reach {head.seq}, where the database is",
            "a worker no longer reads the database: see its log, and /readyz",
        )
    elif age <= _WRONG:
        yield ok(f"the feed is served as it stands, at {page.to}")


def clock(deployment: Deployment) -> Iterator[Finding]:
    """This host's clock against the database's, and against the issuer's as its Date header says."""
    try:
        yield from _database_clock(deployment)
    except Skip as why:
        yield Finding("skipped", str(why))
    _, answer, at = deployment.metadata
    try:
        difference = at - parsedate_to_datetime(answer.headers["date"]).timestamp() - 0.5  # it has whole seconds
    except (KeyError, ValueError, TypeError):
        raise Skip("the issuer tells no time") from None
    yield _difference("the issuer's", difference)


def _database_clock(deployment: Deployment) -> Iterator[Finding]:
    storage = deployment.storage
    if storage.sqlite:
        newest = deployment.tables.read(lambda tx: tx.execute(select(func.max(audit.c.at))).scalar())
        if newest is not None and newest / 1000 - system_clock() > _WRONG:
            yield failure(
                f"the database holds an event from {newest / 1000 - system_clock():.0f} s ahead of this host's clock",
                "set the clock (NTP): sessions and keys live by it",
            )
        else:
            yield ok("the database lives by this host's clock, which has not gone back")
        return
    before = system_clock()
    theirs = storage.read(lambda tx: tx.now) / 1000
    yield _difference("the database's", (before + system_clock()) / 2 - theirs)


def _difference(whose: str, seconds: float) -> Finding:
    told = f"this host's clock and {whose} differ by {abs(seconds):.1f} s"
    mend = "let both follow NTP (chrony, systemd-timesyncd)"
    if abs(seconds) > _WRONG:
        return failure(f"{told}: fresh tokens are refused, or live too long", mend)
    return warning(told, mend) if abs(seconds) > _DIFFER else ok(told)


def _expiry(seconds: float, settings: Settings) -> Finding:
    days, renew = seconds / 86400, f"renew it; {_reload(settings)}"
    if days < 0:
        return failure(f"the certificate ended {-days:.0f} days ago", renew)
    if days < _SOON:
        return warning(f"the certificate ends in {days:.0f} days", renew)
    return ok(f"the certificate is good for {days:.0f} days more")


def _reload(settings: Settings) -> str:
    """What makes a renewed certificate known to those who serve it."""
    if settings.tls_cert is None:
        return "then let the proxy that serves it read it anew"
    return "the service reads a new one on SIGHUP"


def _names(leaf: x509.Certificate, host: str) -> bool:
    """Whether a certificate is for a host (RFC 9525 6.3: a wildcard stands for one whole label, the first)."""
    try:
        names = leaf.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except x509.ExtensionNotFound:
        return False
    assert isinstance(names, x509.SubjectAlternativeName)  # noqa: S101 - what that OID holds
    addresses = {str(each) for each in names.get_values_for_type(x509.IPAddress)}
    dns = {each.lower() for each in names.get_values_for_type(x509.DNSName)}
    wild = "*." + host.partition(".")[2]
    return host in addresses or host.lower() in dns or (not is_loopback(host) and wild.lower() in dns)
