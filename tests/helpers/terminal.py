"""A pseudo-terminal: what is shown there, and what is typed when a text appears."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

JWT = str(Path(sys.executable).parent / "jwt")
SECONDS = 20
Answers = Mapping[str, str | int]  # a text that appears -> what is typed then, or the signal that is sent


def in_terminal(
    arguments: Sequence[str], answers: Answers | None = None, program: str = JWT, **environment: str
) -> tuple[int, str]:
    """The exit code of a program whose terminal this is, and all it shows."""
    pid, terminal = pty.fork()
    if pid == 0:  # the child: only exec, since the parent may have threads
        os.execve(program, [program, *arguments], {"PATH": os.environ["PATH"], "TERM": "xterm-256color", **environment})
    try:
        shown = converse(terminal, answers or {}, lambda number: os.kill(pid, number))
    finally:
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), shown


def at_terminal(
    command: Sequence[str], answers: Answers, folder: Path, environment: Mapping[str, str]
) -> tuple[int, str]:
    """The same of a command whose streams are a terminal of 100 columns, free to become that of a process it starts."""
    terminal, streams = pty.openpty()
    fcntl.ioctl(streams, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 100, 0, 0))
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=streams, stdout=streams, stderr=streams, start_new_session=True
    ) as process:
        os.close(streams)
        try:
            shown = converse(terminal, answers, process.send_signal)
        finally:
            os.close(terminal)
    return process.returncode, shown


def converse(terminal: int, answers: Answers, send: Callable[[int], None]) -> str:
    """All that is shown until nobody writes to the terminal any more; SIGKILL is sent after `SECONDS`."""
    waiting, shown, deadline = dict(answers), b"", time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not data:
            break
        shown += data
        for text in [text for text in waiting if text.encode() in shown]:
            answer = waiting.pop(text)
            if isinstance(answer, str):
                time.sleep(0.1)  # the prompt's echo is switched off before it is written, or just after
                os.write(terminal, answer.encode())
            else:
                send(answer)
    else:
        send(signal.SIGKILL)
    return shown.decode().replace("\r\n", "\n")
