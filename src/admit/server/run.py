"""Running the service: what is unsafe is refused before anything is made, then folder, socket, keys, and uvicorn."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import ssl
from contextlib import contextmanager
from ipaddress import ip_address
from multiprocessing import parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

import uvicorn
from sqlalchemy.engine import make_url

from admit.errors import AdmitError, ConfigurationError
from admit.jose.algorithms import algorithm
from admit.server import logs, traces
from admit.server.app import create_app, make_cors
from admit.server.connections import Connection, Connections
from admit.server.cookies import require_same_scheme
from admit.server.drain import GRACEFUL_SECONDS, Server
from admit.server.feed import READERS
from admit.server.handles import raise_limit, share
from admit.server.metadata import check_issuer
from admit.server.proxy import is_loopback, parse_networks, plain
from admit.server.siblings import Siblings
from admit.server.workers import Supervisor, WorkerFailed
from admit.service.facade import TokenService
from admit.service.migrations import WrongRevision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from admit.server.settings import Settings

Reason = Literal["unsafe", "folder", "port", "database", "master key"]
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
MOST_WORKERS: Final = 64

log = logging.getLogger("admit.server")


class CannotServe(ConfigurationError):
    """The service cannot start. `reason` says of which kind the cause is; the message is one line for its operator."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def check(settings: Settings) -> None:
    """Raises CannotServe for what would carry passwords in the clear, and for settings that contradict each other."""
    tls = settings.tls_cert is not None
    if tls != (settings.tls_key is not None):
        raise CannotServe("unsafe", "tls_cert and tls_key belong together: give both or neither")
    if not 0 <= settings.port <= 65535:  # the resolver would take it modulo 65536
        raise CannotServe("port", f"{settings.port} is no port: 0 to 65535")
    try:
        if settings.trusted_proxy:
            parse_networks(settings.trusted_proxy)
        parse_networks(settings.metrics_from, "metrics_from")
        parse_networks(settings.traces_from, "traces_from")
        if settings.issuer:
            check_issuer(settings.issuer)
        cookies = settings.cookies
        make_cors(cookies, settings.cors_origins)
        if cookies is not None:
            require_same_scheme(cookies, settings.issuer or url_of(settings, settings.port))
        symmetric = any(algorithm(name).symmetric for name in (settings.algorithm, *settings.by_audience.values()))
    except ConfigurationError as error:
        raise CannotServe("unsafe", str(error)) from None
    if symmetric:
        raise CannotServe("unsafe", "the service signs with key pairs only: with HMAC every verifier could mint")
    if settings.trusted_proxy:
        if not settings.issuer:
            raise CannotServe("unsafe", "behind a proxy the service cannot know its own URL: give --issuer https://...")
    elif not tls and not is_loopback(settings.host):
        raise CannotServe(
            "unsafe",
            f"plain HTTP on {settings.host} would carry passwords in the clear: give --tls-cert and --tls-key, "
            "or --trusted-proxy CIDR if a proxy terminates TLS",
        )
    if settings.log_level not in LOG_LEVELS:
        raise CannotServe("unsafe", f"log_level is one of {', '.join(LOG_LEVELS)}")
    if settings.log_format not in logs.FORMATS:
        raise CannotServe("unsafe", f"log_format is one of {', '.join(logs.FORMATS)}")
    if not 1 <= settings.workers <= MOST_WORKERS:
        raise CannotServe("unsafe", f"workers is a number from 1 to {MOST_WORKERS}")
    if settings.workers > 1 and not hasattr(os, "fork"):
        raise CannotServe("unsafe", "several workers need a system that can fork")
    if settings.feed_readers not in READERS:
        raise CannotServe("unsafe", f"feed_readers is one of {', '.join(READERS)}")
    if settings.followers < 0:
        raise CannotServe("unsafe", "followers is a number from 0, with which nobody waits for the revocation feed")
    if settings.followers_per_address < 1:
        raise CannotServe("unsafe", "followers_per_address is a number from 1")
    if not settings.audience:
        raise CannotServe("unsafe", "at least one audience is needed: a token for nobody would be for anybody")
    if not settings.issuer and ip_unspecified(settings.host):
        raise CannotServe("unsafe", f"{settings.host} is no name that a client can use: give --issuer https://...")


UNNAMED_PROXY: Final = (
    "the issuer is https, a proxy must terminate it, and none is named: all callers count as one, with its address"
)
NAME_PROXY: Final = (
    "give --trusted-proxy 127.0.0.1/32, or where it is, and let it send X-Forwarded-For and X-Forwarded-Proto"
)


def has_unnamed_proxy(settings: Settings) -> bool:
    """Whether somebody else must terminate TLS, who is not believed: one caller's wrong passwords would slow all others down."""
    return urlsplit(settings.issuer).scheme == "https" and settings.tls_cert is None and not settings.trusted_proxy


def open_service(settings: Settings, issuer: str | None = None) -> TokenService:
    """The service over the settings' database, whose folder and master key are made where there are none.

    Raises CannotServe for a folder, a database or a master key that cannot be used.
    """
    _make_folder(settings)
    try:
        service = TokenService(
            settings.database_url,
            issuer=issuer or settings.issuer or url_of(settings, settings.port),
            audience=settings.audience,
            scopes=settings.scopes,
            master_key=settings.master_key,
            algorithm=settings.algorithm,
            algorithms=settings.by_audience,
            policy=settings.policy,
            logins=settings.logins,
        )
    except WrongRevision as error:
        raise CannotServe("database", str(error)) from None
    except ConfigurationError as error:
        raise CannotServe("master key", f"{error}{key_beside(settings)}") from None
    except AdmitError as error:
        raise CannotServe("database", str(error)) from None
    return service


def key_beside(settings: Settings) -> str:
    """Where the database is a service's that runs inside another application, whose master key lies beside it: that."""
    url = make_url(settings.database_url)
    key = Path(f"{url.database}.key")
    found = url.get_backend_name() == "sqlite" and key.is_file() and key != settings.master_key
    return f"; there is one beside the database: give --master-key-file {key}" if found else ""


def url_of(settings: Settings, port: int) -> str:
    """The URL of what listens on this port."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'https' if settings.tls_cert else 'http'}://{host}:{port}"


def run(settings: Settings, announce: Callable[[str, str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight.

    announce: told the issuer and the URL once requests are taken.
    Raises CannotServe.
    """
    check(settings)
    os.umask(0o077)  # whatever this process writes is its owner's alone
    logs.configure(settings.log_level, settings.log_format)
    listener = _listen(settings)
    with listener:
        url = url_of(settings, listener.getsockname()[1])
        issuer = settings.issuer or url
        if has_unnamed_proxy(settings):
            log.warning("%s: %s", UNNAMED_PROXY, NAME_PROXY)
        if settings.workers == 1:
            if hasattr(signal, "SIGHUP"):
                signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it serves, and can answer it
            _serve(settings, issuer, listener, lambda: announce(issuer, url))
            return
        # Folder, master key, tables and first keys are made once, and what is wrong is said, before there are workers.
        open_service(settings, issuer).close()
        tls_context(settings)
        with TemporaryDirectory(prefix="admit-") as folder:
            _supervise(settings, issuer, listener, Path(folder), lambda: announce(issuer, url))


def _supervise(
    settings: Settings, issuer: str, listener: socket.socket, folder: Path, serving: Callable[[], None]
) -> None:
    def work(number: int, started: Callable[[], None]) -> None:
        try:
            _serve(settings, issuer, listener, started, Siblings(folder, number, settings.workers))
        except CannotServe as error:
            log.error("worker %d: %s", number, error)
            raise SystemExit(1) from None

    try:
        Supervisor(settings.workers, work, serving=serving, stopping=listener.close).run()
    except WorkerFailed as error:
        raise CannotServe("database", str(error)) from None


def _serve(
    settings: Settings,
    issuer: str,
    listener: socket.socket,
    started: Callable[[], None],
    siblings: Siblings | None = None,
) -> None:
    """One process at work: its service, and uvicorn over it. siblings: the other workers, where there are several."""
    service = open_service(settings, issuer)
    most, followers = share(raise_limit(), settings.followers)
    try:
        app = create_app(
            service,
            trusted_proxies=settings.trusted_proxy,
            followers=followers,
            followers_per_address=settings.followers_per_address,
            feed_readers=settings.feed_readers,
            metrics_from=settings.metrics_from,
            traces_from=settings.traces_from,
            siblings=siblings,
            cookies=settings.cookies,
            cors_origins=settings.cors_origins,
        )
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level=settings.log_level,
            access_log=False,  # requests are logged without their queries: see admit.server.requests
            proxy_headers=False,  # ProxyRules decides what is believed
            server_header=False,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )
        config.load()
        config.ssl = tls_context(settings)
        parent = parent_process() if siblings is not None else None
        with _quiet_signals():
            Server(
                config,
                app.state.draining,
                Connections(most),
                started=started,
                stopping=app.state.feed.stop,
                renewing=None if siblings is not None else lambda: _renew(settings, config),
                parent=None if parent is None else parent.sentinel,
            ).run(sockets=[listener])
    finally:
        service.close()
        traces.flush()


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """What connections shake hands with; None without TLS. Raises CannotServe for a certificate that cannot be served."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, _no_password)
    except OSError:  # as ssl.SSLError is
        raise CannotServe("unsafe", "the certificate or its key cannot be read, or they are not a pair") from None
    return context


def _no_password() -> str:
    # OpenSSL would ask at the terminal, and everything would wait for the answer.
    raise CannotServe("unsafe", "the certificate's key is encrypted: write it in the clear into a file of mode 0600")


def _renew(settings: Settings, config: uvicorn.Config) -> None:
    """What SIGHUP does without a supervisor. Connections to come get the new certificate; those that are there stay."""
    if config.ssl is None:
        log.warning("SIGHUP: nothing was read anew; a single process takes other settings when it is restarted")
        return
    try:  # not into the one in use, where OpenSSL would keep the certificate of another type of key
        config.ssl = tls_context(settings)
    except CannotServe as error:
        log.error("SIGHUP: the old certificate stays: %s", error)
    else:
        log.warning("SIGHUP: the certificate was read anew")


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """uvicorn raises the signal again once it has stopped; having stopped as asked is no failure."""
    before = {name: signal.signal(name, lambda *_: None) for name in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _listen(settings: Settings) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, OverflowError, UnicodeError):
        raise CannotServe("port", f"{settings.host} port {settings.port} is no address to listen on") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        in_use = error.errno == errno.EADDRINUSE
        cause = "is in use; choose another with --port" if in_use else f"cannot be listened on: {error.strerror}"
        raise CannotServe("port", f"{settings.host} port {settings.port} {cause}") from None
    return listener


def _make_folder(settings: Settings) -> None:
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = settings.data / f".admit-{os.getpid()}"
        probe.touch(mode=0o600)
        probe.unlink()
    except OSError as error:
        raise CannotServe("folder", f"the data folder {settings.data} cannot be written: {error.strerror}") from None
    if settings.sqlite is not None and not settings.sqlite.parent.is_dir():
        raise CannotServe("database", f"there is no folder {settings.sqlite.parent}: is --database right?")
    if make_url(settings.database_url).get_backend_name() == "sqlite" and settings.data.stat().st_mode & 0o077:
        mend = mend_of_folder(settings.data)
        raise CannotServe("folder", f"the data folder {settings.data} is open to others: {mend}")


def mend_of_folder(folder: Path) -> str:
    """What closes a data folder that others may look into; one that is not a service's own is nothing to close."""
    files = {each.name for each in folder.iterdir()}
    if files and files.isdisjoint(("admit.db", "master.key")):  # /etc, or somebody's home
        return "it holds other things than a service's; name a folder of its own with --data"
    return f"chmod 700 {folder}"


def ip_unspecified(host: str) -> bool:
    """Whether a host is 0.0.0.0 or its like: an address to listen on and no place to reach."""
    try:
        return ip_address(plain(host)).is_unspecified
    except ValueError:
        return False
