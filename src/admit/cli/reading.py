"""Reading a token that may be damaged: what can be read, and what is wrong and where. Nothing here verifies."""

from __future__ import annotations

import json
from binascii import a2b_base64
from typing import TYPE_CHECKING, Any, Final

from admit.errors import MalformedToken, shown
from admit.jose import header as headers
from admit.jose.algorithms import ALGORITHMS
from admit.jose.encoding import MAX_DEPTH, MAX_TOKEN, b64url_decode, json_object
from admit.tokens.finding import Subject

if TYPE_CHECKING:
    from collections.abc import Callable

_URL: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_TO_STANDARD: Final = str.maketrans("-_", "+/")
_JWE_PARTS: Final = ("encrypted key", "initialization vector", "ciphertext", "tag")
_NEVER_EMPTY: Final = frozenset(("initialization vector", "tag"))  # RFC 7516 3.1; a key that is agreed on is not sent
OPAQUE: Final = "not a JWT: an opaque token, only its issuer can say what it is (jwt introspect)"
NEITHER: Final = "not a JWT, and no other token"
UNSIGNED: Final = "unsigned (alg none)"
NO_DAMAGE: Final = frozenset((OPAQUE, NEITHER, UNSIGNED))
"""The problems of what is whole, and is something else."""
_BEARER: Final = _URL | frozenset("~+/=")  # RFC 6750 2.1
_JSON: Final = ("ey", "ew")  # what base64url makes of `{` and a quote, a blank or a line end
_SPACE: Final = " \t\r\n"
_CLOSING: Final = frozenset('"]}')


def read(token: str) -> Subject:
    """Read what can be read. Never raises for what a token holds.

    Its `problems` say what is wrong and where; characters are counted from 1.
    """
    head, *parts = token.split(".")
    if not parts and not head.startswith(_JSON):
        return Subject(token, {}, {}, 0, (OPAQUE if _BEARER.issuperset(token) else NEITHER,))
    wrong_header: list[str] = []
    header = _members("header", head, 1, wrong_header)
    subject = Subject(token, header, {}, 0, ())
    problems = [*_extent(subject), *wrong_header]
    if header and not problems:
        try:
            headers.parse(head.encode("ascii"))
        except MalformedToken as error:
            problems.append(str(error))
    start = len(head) + 2
    if subject.sealed:
        for name, part in zip(_JWE_PARTS, parts, strict=False):
            _bytes(name, part, start, problems)
            if not part and name in _NEVER_EMPTY:
                problems.append(f"the {name} is empty, at character {start}")
            start += len(part) + 1
        return Subject(token, header, {}, 0, tuple(problems))
    claims = _members("payload", parts[0], start, problems) if parts else {}
    signed = 0
    if len(parts) > 1:
        start += len(parts[0]) + 1
        signed = len(_bytes("signature", parts[1], start, problems))
        if parts[1:] == [""] and subject.alg.lower() == "none":
            problems.append(UNSIGNED)
        elif not parts[1]:
            problems.append(f"the signature is empty, at character {start}")
        elif not _fits(header.get("alg"), signed):
            problems.append(f"the signature has {signed} bytes, which no {shown(header['alg'])} signature has")
    return Subject(token, header, claims, signed, tuple(problems))


def _extent(subject: Subject) -> list[str]:
    """What its length and its dots say."""
    size, dots = len(subject.token), subject.token.count(".")
    problems = []
    if size > MAX_TOKEN:
        problems.append(f"the token has {size} characters; verifiers read {MAX_TOKEN} unless told otherwise")
    if subject.sealed and not subject.encrypted:
        name = ("header", *_JWE_PARTS)[dots]
        problems.append(f"the token is encrypted and ends inside its {name}, after {size} characters")
    elif dots == 0:
        problems.append(f"the token ends inside its header, after {size} characters: there is no dot")
    elif dots == 1:
        problems.append(f"the token ends after {size} characters: there is no signature")
    elif dots > 2 and not subject.encrypted:
        problems.append(f"the token has {dots + 1} parts instead of 3")
    return problems


def _fits(alg: object, size: int) -> bool:
    """Whether an algorithm's signatures can have this size. Where the algorithm is not known, any fits."""
    rows = [row for row in ALGORITHMS.values() if alg == row.name or alg in row.aliases]
    if any(row.kty == "RSA" for row in rows):
        return size >= min(row.minimum_bits for row in rows) // 8
    return not rows or size in {row.signature_size or row.minimum_bits // 8 for row in rows}


def _bytes(name: str, part: str, start: int, problems: list[str]) -> bytes:
    """What a part's base64url spells, whatever else is in it."""
    foreign = [(index, character) for index, character in enumerate(part) if character not in _URL]
    if foreign:
        index, character = foreign[0]
        more = f" (and {len(foreign) - 1} more)" if len(foreign) > 1 else ""
        problems.append(
            f"the {name} holds {shown(character)} at character {start + index}, which is not base64url{more}"
        )
    text = "".join(c for c in part.translate(_TO_STANDARD) if c in _URL or c in "+/")
    if len(text) % 4 == 1:
        problems.append(
            f"the {name} ends in the middle of a byte, at character {start + len(part) - 1}: characters are missing"
        )
        text = text[:-1]
    elif not foreign:
        try:
            b64url_decode(part.encode("ascii"))
        except MalformedToken:
            where = start + len(part) - 1
            problems.append(
                f"the {name}'s last character, {where}, sets spare bits: it was changed, or characters are missing"
            )
    return a2b_base64(text + "=" * (-len(text) % 4))


def _members(name: str, part: str, start: int, problems: list[str]) -> dict[str, Any]:
    if not part:
        problems.append(f"the {name} is empty, at character {start}")
        return {}
    data = _bytes(name, part, start, problems)
    try:
        return json_object(data)
    except MalformedToken as error:
        strict = str(error)
    text = data.decode("utf-8", "replace")
    members, wrong = _scan(text)
    if not wrong:
        wrong = strict
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        wrong += f"; its bytes stop being UTF-8 at byte {error.start + 1}"
    problems.append(f"the {name} is damaged: {wrong}")
    return members


def _scan(text: str) -> tuple[dict[str, Any], str]:
    """The members of a JSON object up to where it breaks off, and what is wrong there (nothing, if it does not)."""
    decoder = json.JSONDecoder(parse_constant=str)
    members: dict[str, Any] = {}
    doubled: list[str] = []
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        return members, "its JSON does not begin with {"
    at = _skip(text, at + 1)
    last = ""
    while text[at : at + 1] != "}":
        name, at, good = _value(decoder.raw_decode, text, at)
        colon = _skip(text, at)
        if not good or not isinstance(name, str) or text[colon : colon + 1] != ":":
            after = f" after the member {shown(last)}" if last else ""
            return members, f"its JSON breaks off{after}, {_place(text, at)}"
        value, at, good = _value(decoder.raw_decode, text, _skip(text, colon + 1))
        comma = _skip(text, at)
        # A number at the very end may have had more digits: it is no fact.
        cut = at == len(text) and text[at - 1] not in _CLOSING
        if not good or cut or text[comma : comma + 1] not in ("", ",", "}"):
            return members, f"its JSON breaks off inside the member {shown(name)}, {_place(text, at)}"
        if name in members:
            doubled.append(name)
        members[name] = value
        last = name
        at = _skip(text, comma + 1) if text[comma : comma + 1] == "," else comma
    if doubled:
        return members, f"the member {shown(doubled[0])} is there more than once; the last one is shown"
    return members, "its JSON goes on after the end of the object" if text[at + 1 :].strip(_SPACE) else ""


def _value(decode: Callable[[str, int], tuple[Any, int]], text: str, at: int) -> tuple[Any, int, bool]:
    try:
        value, end = decode(text, at)
    except (ValueError, RecursionError):  # not JSON, more digits than Python reads, or nested without end
        return None, at, False
    return (value if _shallow(value) else f"(nested more than {MAX_DEPTH} levels deep)"), end, True


def _shallow(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return True
    return False


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _place(text: str, at: int) -> str:
    return f"after byte {len(text[:at].encode('utf-8', 'replace'))} of {len(text.encode('utf-8', 'replace'))}"
