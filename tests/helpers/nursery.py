"""`jwt` without its start-up time: one process has loaded every command, and forks for each that is called.

`nursery(folder)` puts a `jwt` and an `admit` into a folder, to be first in PATH. Each is a small program that hands its
arguments, environment, folder, umask and standard streams to the nursery, passes signals on, and ends with the exit code of
the child, which ran `admit.cli.entry` from its beginning. Where its stdin is a terminal, that becomes the child's own:
it asks for passwords there, and Ctrl-C reaches it.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import marshal
import os
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import NoReturn

CALLER = """#!{python} -IS
import _signal, _socket, marshal, os, sys
passed_on = (_signal.SIGINT, _signal.SIGTERM)
_signal.pthread_sigmask(_signal.SIG_BLOCK, passed_on)  # until there is somebody to pass them on to
call = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
call.connect({address!r})
mask = os.umask(0)
os.umask(mask)
said = marshal.dumps((sys.argv, dict(os.environ), os.getcwd(), mask))
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
call.sendmsg([len(said).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
call.send(said)
child = int.from_bytes(call.recv(4), "big")
for number in passed_on:
    _signal.signal(number, lambda number, frame: os.kill(child, number))
_signal.pthread_sigmask(_signal.SIG_UNBLOCK, passed_on)
code = call.recv(1)
os._exit(code[0] if code else 250)
"""
HERE = Path(__file__).parents[2]
LONGEST = 1 << 20
PR_SET_PDEATHSIG = 1


@contextmanager
def nursery(folder: Path) -> Iterator[Path]:
    """The folder, with the two commands in it, while the process behind them lives."""
    address = str(folder / "nursery")
    for name in ("jwt", "admit"):
        (folder / name).write_text(CALLER.format(python=sys.executable, address=address))
        (folder / name).chmod(0o755)
    command = [sys.executable, "-m", "tests.helpers.nursery", address]
    with subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield folder
        finally:
            process.kill()


def main(address: str) -> None:
    from admit import cli

    _end_with_parent()
    for module in iter_modules(cli.__path__):
        if module.name != "__main__":
            import_module(f"admit.cli.{module.name}")
    gc.freeze()  # what is shared stays shared
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen(64)
        os.write(1, b"ready\n")
        while True:
            call, _ = door.accept()
            if os.fork() == 0:
                door.close()
                _child(call)
            call.close()


def _end_with_parent() -> None:
    with suppress(AttributeError):  # where it is not Linux
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _child(call: socket.socket) -> NoReturn:
    code = 251
    try:
        size, streams, _, _ = socket.recv_fds(call, 4, 3)
        said = b""
        while len(said) < struct.unpack(">I", size)[0]:
            said += call.recv(LONGEST)
        arguments, environment, folder, mask = marshal.loads(said)  # from our own caller
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        _end_with_parent()  # whatever a test left behind ends with the nursery
        os.setsid()
        if os.isatty(0):
            with suppress(OSError):  # another command of this pipe has it
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        os.chdir(folder)
        os.umask(mask)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = arguments
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", 1 if os.isatty(1) else -1, "utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
        call.sendall(struct.pack(">I", os.getpid()))
        code = _run()
    finally:
        with suppress(OSError):
            call.sendall(bytes([code & 255]))
        os._exit(code & 255)


def _run() -> int:
    from admit.cli.entry import main

    try:
        main()
    except SystemExit as end:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1


if __name__ == "__main__":
    main(sys.argv[1])
