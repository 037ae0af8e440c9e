"""SIGHUP to a `jwt serve` of one process: it reads a renewed certificate, and goes on."""

from __future__ import annotations

import os
import pty
import signal
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.helpers.certificate import write_certificate
from tests.helpers.command import environment


def hang_up(service: Any) -> None:
    assert service.process is not None
    service.process.send_signal(signal.SIGHUP)


def shown(service: Any) -> str:
    return ssl.get_server_certificate(("127.0.0.1", service.port), timeout=10)


def test_without_a_certificate_it_goes_on_and_says_that_nothing_changed(serve: Callable[..., Any]) -> None:
    service = serve()
    hang_up(service)
    time.sleep(0.3)
    assert service.http.get(service.url + "/healthz").status_code == 200
    code, stderr = service.stop()
    assert code == 0
    assert "SIGHUP: nothing was read anew" in stderr


def test_a_renewed_certificate_is_shown_to_whoever_connects_and_one_that_is_broken_is_not(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    files = write_certificate(tmp_path)
    service = serve("--tls-cert", str(files["ssl_certfile"]), "--tls-key", str(files["ssl_keyfile"]))
    first = shown(service)
    write_certificate(tmp_path, of_rsa=True)
    assert shown(service) == first
    hang_up(service)
    ends = time.monotonic() + 20
    while (second := shown(service)) == first:
        assert time.monotonic() < ends
    write_certificate(tmp_path, password=b"hunter2")
    hang_up(service)
    files["ssl_certfile"].write_text("no certificate")
    hang_up(service)
    time.sleep(0.3)
    assert shown(service) == second
    code, stderr = service.stop()
    assert code == 0
    assert "the certificate was read anew" in stderr
    assert "the old certificate stays" in stderr


def test_it_ends_when_its_terminal_is_closed(tmp_path: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        command = [sys.executable, "-m", "admit.cli", "serve", "--port", "0", "--data", str(tmp_path / "d")]
        os.execve(sys.executable, command, environment())
    text = b""
    try:
        while b"url" not in text:
            text += os.read(terminal, 4096)
        url = text.split(b"url")[1].split()[0].decode()
        assert httpx2.get(url + "/healthz", trust_env=False).status_code == 200
        os.close(terminal)
        ends = time.monotonic() + 20
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            assert time.monotonic() < ends
            time.sleep(0.05)
        pid = 0
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(url + "/healthz", trust_env=False)
