"""The host: settings that contradict each other, folders, the command on PATH, what a password costs."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from statistics import median
from typing import Final
from urllib.parse import urlsplit

from admit.cli.checks.finding import Deployment, Finding, failure, mode, ok, warning
from admit.clock import monotonic
from admit.server.run import NAME_PROXY, UNNAMED_PROXY, CannotServe, check, has_unnamed_proxy, mend_of_folder
from admit.service.passwords import Passwords

_HASHES: Final = 3
_SLOW: Final = 0.5  # seconds for one password: a login should not be felt
_QUICK: Final = 0.005  # less than any processor of today needs for 19 MiB: the parameters were lowered
_WIDE: Final = 1 << 16  # addresses in one network of proxies


def settings(deployment: Deployment) -> Iterator[Finding]:
    """What `jwt serve` refuses to start with."""
    try:
        check(deployment.settings)
    except CannotServe as error:
        yield failure(str(error), "change that setting: `jwt serve` refuses to start with it")
    else:
        yield ok("the settings do not contradict each other, and nothing travels in the clear")


def proxy(deployment: Deployment) -> Iterator[Finding]:
    """Whoever is inside a trusted network may say who the client is, and that it came by https."""
    for text in deployment.settings.trusted_proxy:
        try:
            network = ip_network(text)
        except ValueError:
            yield failure(f"{text} is no network", "name the proxy's own address, such as 10.0.0.5/32")
            continue
        if network.is_global or network.prefixlen == 0:
            yield failure(
                f"the trusted proxy network {text} holds public addresses: strangers in it may forge X-Forwarded-For",
                "name the proxy's own address, such as 10.0.0.5/32",
            )
        elif network.num_addresses > _WIDE:
            yield warning(
                f"the trusted proxy network {text} has {network.num_addresses} addresses",
                "name the proxy's own address: every other host in it may forge X-Forwarded-For",
            )
        else:
            yield ok(f"the proxies in {text} are believed")
    if has_unnamed_proxy(deployment.settings):
        yield warning(UNNAMED_PROXY, NAME_PROXY)
    elif not deployment.settings.trusted_proxy:
        yield ok("no proxy is believed: an address is the connection's own")


def cookies(deployment: Deployment) -> Iterator[Finding]:
    """A cookie with the prefix __Host- is taken by browsers over https alone."""
    url = urlsplit(deployment.issuer)
    if url.scheme == "https":
        yield ok("the issuer is https: browsers keep its __Host- cookies")
    else:
        yield warning(
            "the issuer is plain http: browsers drop __Host- and Secure cookies from it",
            "give it a certificate (--tls-cert, --tls-key), or a proxy that terminates TLS (--trusted-proxy)",
        )


def folder(deployment: Deployment) -> Iterator[Finding]:
    """The data folder is its owner's alone."""
    path = deployment.settings.data
    if not path.is_dir():
        yield failure(f"the data folder {path} is not there", f"name it with --data, or let `jwt serve` make {path}")
        return
    if path.stat().st_mode & 0o077:
        yield failure(f"the data folder {path} has mode {mode(path)}: others may look into it", mend_of_folder(path))
    elif path.stat().st_uid != os.geteuid() and os.geteuid() != 0:
        yield failure(f"the data folder {path} belongs to somebody else", "run the doctor as the service's own user")
    else:
        yield ok(f"{path} is its owner's alone")


def command(deployment: Deployment) -> Iterator[Finding]:  # noqa: ARG001
    """Whether the `jwt` that a shell finds is this one; Debian has another in /usr/bin."""
    found = shutil.which("jwt")
    if found is None:
        yield warning("there is no jwt on PATH", f"add {_scripts()} to PATH, or say {sys.executable} -m admit")
    elif _ours(Path(found)):
        yield ok(f"it is {found}")
    else:
        yield failure(
            f"it is {found}, which is another program",
            f"put {_scripts()} before it, or say `admit`, this command's second name, in scripts",
        )


def passwords(deployment: Deployment) -> Iterator[Finding]:
    """How long one Argon2id hash takes, which bounds the logins a second of a core."""
    hasher, taken = Passwords(deployment.settings.logins), []
    for _ in range(_HASHES):
        begun = monotonic()
        hasher.hash("a password of no account")
        taken.append(monotonic() - begun)
    seconds = median(taken)
    told = f"one Argon2id hash takes {seconds * 1000:.0f} ms: at most {1 / seconds:.0f} logins a second of a core"
    if seconds > _SLOW:
        yield warning(told, "logins will be slow: give the service a faster core, or memory that is not swapped")
    elif seconds < _QUICK:
        yield warning(told, "that is too little work for whoever steals the hashes: look at the installed argon2-cffi")
    else:
        yield ok(told)


def _scripts() -> str:
    return sysconfig.get_path("scripts")


def _ours(path: Path) -> bool:
    """A script of ours: it lies beside this interpreter's scripts, or names our entry point. It is never run."""
    if path.resolve().parent == Path(_scripts()).resolve():
        return True
    try:
        with path.open("rb") as file:
            return b"admit.cli.entry" in file.read(4096)
    except OSError:
        return False
