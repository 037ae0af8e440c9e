"""The few words of man(7) that the manual pages are written in, and how they are read without `man`."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_FONT: Final = re.compile(r"\\f[BIRP]")
_UNESCAPED: Final = (("\\&", ""), ("\\-", "-"), ("\\(aq", "'"), ("\\(dq", '"'), ("\\(rs", "\\"))
_HEADINGS: Final = {".SH": "", ".SS": "  "}
_BODY: Final = 7  # columns, as man indents


def escaped(text: str) -> str:
    """Text as roff shows it unchanged: every hyphen can be copied, and no line is taken for a request."""
    text = text.replace("\\", "\\(rs").replace("-", "\\-").replace("'", "\\(aq")
    return "\n".join("\\&" + line if line.startswith(".") else line for line in text.split("\n"))


def bold(text: str) -> str:
    """Escaped, in bold."""
    return f"\\fB{escaped(text)}\\fR"


def italic(text: str) -> str:
    """Escaped, in italics."""
    return f"\\fI{escaped(text)}\\fR"


def quoted(text: str) -> str:
    """Escaped, as one argument of a request."""
    return '"' + escaped(text).replace('"', "\\(dq") + '"'


def plain(page: str, width: int) -> str:
    """A page as text of that many columns: it knows the requests that this package's pages use, and no others."""
    return "\n".join(_lines(page.splitlines(), max(width, 40))) + "\n"


def _lines(source: list[str], width: int) -> Iterator[str]:
    paragraph: list[str] = []
    indent, hang, literal, tag = _BODY, "", False, False

    def flushed() -> Iterator[str]:
        nonlocal hang
        text = " ".join(paragraph)
        paragraph.clear()
        lead, hang = hang, ""
        if lead and len(lead) >= indent - 1:
            yield lead
            lead = ""
        if text or lead:
            first = lead.ljust(indent) if lead else " " * indent
            yield from textwrap.wrap(
                text, width, initial_indent=first, subsequent_indent=" " * indent, break_on_hyphens=False
            ) or [lead]

    for line in source:
        request, _, rest = line.partition(" ")
        if line.startswith('.\\"'):
            continue
        if not line.startswith("."):
            if literal:
                yield (" " * indent + _unescaped(line)).rstrip()
            elif tag:
                hang, tag = " " * _BODY + _unescaped(line), False
            else:
                paragraph.append(_unescaped(line))
            continue
        if request in (".B", ".I"):
            paragraph.append(_unescaped(rest))
            continue
        yield from flushed()
        if request == ".TH":
            title, section, *_ = rest.split()
            yield f"{_unescaped(title)}({section})"
        elif request in _HEADINGS:
            yield ""
            yield _HEADINGS[request] + _unescaped(rest.strip('"'))
            indent = _BODY
        elif request in (".PP", ".TP"):
            yield ""
            tag = request == ".TP"
            indent = _BODY * 2 if tag else _BODY
        elif request == ".EX":
            literal = True
        elif request == ".EE":
            literal = False
    yield from flushed()


def _unescaped(text: str) -> str:
    text = _FONT.sub("", text)
    for written, shown in _UNESCAPED:
        text = text.replace(written, shown)
    return text
