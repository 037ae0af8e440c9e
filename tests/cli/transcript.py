"""Transcripts: what is typed, all that is written and the exit code, at a pipe and in a terminal, as a file.

A line `$ COMMAND` goes to sh at a pipe, `tty$ COMMAND` in a terminal; a line `> "TEXT" "ANSWER"` after it is what is typed
there when TEXT appears. Then comes what is written, and `[n]`, the exit code, where it is not 0. Colors are written as
`‹red›` and `‹/›`, and so is whatever differs from run to run: `VOLATILE` says what that is, and nothing else may differ.

`ADMIT_RECORD=1 pytest tests/cli/test_transcripts.py` writes the files anew: read the difference before you commit it.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tests.helpers.terminal import at_terminal

SECRET_SHAPES: Final = re.compile(r"hunter2|topsecret|my-secret|0123456789012345|correct horse")
SGR: Final = {"": "/", "0": "/", "1": "bold", "2": "dim", "39": "default", "90": "grey"} | {
    str(30 + number): name for number, name in enumerate(("black", "red", "green", "yellow", "blue", "magenta", "cyan"))
}
STYLE: Final = rf"‹(?:/|(?:(?:{'|'.join(filter(str.isalpha, SGR.values()))}) ?)+)›"
BASE64: Final = r"[A-Za-z0-9_-]"

# What differs from run to run: how it looks -> how it is written here. In this order.
VOLATILE: Final[tuple[tuple[str, str], ...]] = (
    (r"(?<=\badmit )0\.\d+\.\d+\b|(?<=\bjwt/)0\.\d+\.\d+\b", "‹version›"),
    (rf"\beyJ{BASE64}+\.{BASE64}*\.{BASE64}+(?:\.{BASE64}+\.{BASE64}+)?", "‹token›"),
    (rf"\beyJ{BASE64}{{40,}}", "‹part›"),
    (rf"(?<!{BASE64}){BASE64}{{86}}(?!{BASE64})", "‹signature›"),
    (rf"\badmit_rt_{BASE64}{{100}}", "‹refresh token›"),
    (rf"\badmit_cs_{BASE64}{{43}}", "‹client secret›"),
    (r'(?<="(?:x|y|n)": ")[A-Za-z0-9_-]{43,342}(?=")', "‹number›"),
    (r"(?<=KEY-----\n)(?:[A-Za-z0-9+/=]{4,64}\n)+(?=-----END)", "‹base64›\n"),
    (rf"(?<!{BASE64}){BASE64}{{43}}(?!{BASE64})", "‹kid›"),
    (rf"(?<!{BASE64})(?=[a-z0-9_-]*[A-Z])(?=[A-Z0-9_-]*[a-z]){BASE64}{{24}}(?!{BASE64})", "‹id›"),
    (r"\b20\d\d-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?: UTC|\+00:00|Z)", "‹moment›"),
    (r"\b(?:1[7-9]|2\d)\d{8}(?:\.\d+)?\b", "‹epoch›"),
    (r"(?<=in )(?:9 min [345]\d s|10 min)\b", "‹10 min›"),
    (r"\b(?:now|\d{1,2} s ago)(?=  ?\(?‹moment›)", "‹just now›"),
    (r"\b(?:23 h 59 min|1 d)(?= of 1 d left|  ‹moment›)", "‹1 d›"),
    (r"(?<=127\.0\.0\.1:)\d{5}\b|(?<=127\.0\.0\.1 port )\d{5}\b", "‹port›"),
    (r"(?<=in )(?:29 d 23 h|30 d)\b", "‹30 d›"),
    (r"(?<= since )\d s\b", "‹just now›"),
    (r"(?<=secret=)[A-Z2-7]{32}\b", "‹seed›"),
    (r"(?m)(?<=secret=)[A-Z2-7]{4}$", "‹seed›"),
    (r"(?m)(?:^[█▀▄ ]{40,}\n)+", "‹QR code›\n"),
    (r"\b(?:[a-z2-7]{4}-){3}[a-z2-7]{4}\b", "‹recovery code›"),
    (r'(?<="(?:sign)": )\d+\b|(?<="(?:verify)": )\d+\b', "‹a second›"),
    (r"(?m)(?<=^HS256) +[\d,]+ +[\d,]+$", "  ‹a second›  ‹a second›"),
    (r"(?<=takes )\d+ ms: at most \d+(?= logins a second)", "‹ms›: at most ‹so many›"),
    (r"\(\d{1,5} ms\)|(?<=after )\d{1,5} ms\b", "‹ms›"),
    (r"(?<=, in )\d+\.\d s(?=; nothing is left behind)", "‹seconds›"),
    (r"(?<=kid )[A-Za-z0-9_-]{8}\.\.\. -> [A-Za-z0-9_-]{8}\.\.\.", "‹kid› -> ‹kid›"),
    (r"(?m)^( +)[A-Za-z0-9_-]{40}\.\.\.", r"\1‹signature›"),
    (r"(?<=expired )\d{1,2} s(?= ago)", "‹seconds›"),
    (r"\b5\d years(?= ago)", "‹since 1970›"),
    (r"(?<=in )7\d years", "‹until 2100›"),
)


class Exchange(NamedTuple):
    """One command of a transcript, and what came of it."""

    line: int
    command: str
    terminal: bool
    answers: dict[str, str]
    output: str
    code: int

    def __str__(self) -> str:
        typed = "".join(f"> {_quoted(text)} {_quoted(answer)}\n" for text, answer in self.answers.items())
        ended = f"[{self.code}]\n" if self.code else ""
        return f"{'tty' * self.terminal}$ {self.command}\n{typed}{self.output}{ended}"


def exchanges(transcript: Path) -> Iterator[Exchange]:
    """What a file shows."""
    _, *parts = re.split(r"^(tty)?\$ ", transcript.read_text(encoding="utf-8"), flags=re.MULTILINE)
    line = 1
    for terminal, part in zip(parts[::2], parts[1::2], strict=True):
        command, _, rest = part.partition("\n")
        answers = {}
        while rest.startswith('> "'):
            typed, _, rest = rest.partition("\n")
            text, answer = (word.replace("^C", "\x03").replace("\\n", "\n") for word in shlex.split(typed[2:]))
            answers[text] = answer
        ended = re.search(r"^\[(\d+)\]\n\Z", rest, re.MULTILINE)
        output = rest[: ended.start()] if ended else rest
        yield Exchange(line, command, bool(terminal), answers, output, int(ended[1]) if ended else 0)
        line += part.count("\n")


def run(exchange: Exchange, folder: Path, environment: Mapping[str, str]) -> tuple[Exchange, str]:
    """The exchange as it is now, and what was written, bare."""
    command = ["sh", "-c", exchange.command]
    if exchange.terminal:
        code, written = at_terminal(command, exchange.answers, folder, environment)
    else:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # no terminal to ask at
            timeout=30,
            check=False,
        )
        code, written = done.returncode, done.stdout.decode("utf-8", "backslashreplace")
    for place, name in ((folder, "‹here›"), (Path(sys.executable).parent, "‹bin›")):
        written = written.replace(str(place), name)
    return exchange._replace(output=readable(written), code=code), written


def readable(written: str) -> str:
    """The text with its volatile parts and escape codes in words."""
    text = re.sub(r"\x1b\[([0-9;]*)m", _style, written)
    for pattern, name in VOLATILE:
        text = re.sub(pattern, name, text)
    text = re.sub(r"\x1b(\[[0-9;?]*[A-Za-z])", r"‹ESC\1›", text).replace("\r", "‹CR›").replace("\x03", "‹^C›")
    # Padding: no eye sees it, and no editor keeps it.
    text = re.sub(rf" +((?:{STYLE})*)$", r"\1", text, flags=re.MULTILINE)
    text = re.sub(rf"(?<=‹/›){STYLE}‹/›$", "", text, flags=re.MULTILINE)
    return text if text.endswith("\n") or not text else text + "‹no line end›\n"


def _style(code: re.Match[str]) -> str:
    return f"‹{' '.join(SGR[number] for number in code[1].split(';'))}›"


def _quoted(text: str) -> str:
    return '"' + text.replace("\x03", "^C").replace("\n", "\\n") + '"'
