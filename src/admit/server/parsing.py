"""Strict reading of requests: one spelling of each parameter, bounded, in UTF-8 (RFC 6749 3.2, appendix B)."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from starlette.requests import ClientDisconnect, Request

from admit.errors import InvalidRequest, MalformedToken
from admit.jose.encoding import json_object

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BODY: Final = 64 * 1024
"""Bytes of a body: two tokens of 16 KiB, percent-encoded, still fit."""
_DRAINED: Final = 4 * 1024 * 1024
"""Bytes of a body too large that are read and forgotten: a sender that is cut off sooner never sees the answer."""
MAX_PARAMETERS: Final = 64
BODY_SECONDS: Final = 10.0
"""How long a body may take to arrive: a client that sends a byte a second must not hold a connection for ever."""

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"

_UTF8: Final = frozenset(("utf-8", "utf8"))
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_SECONDS: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class RefusedRequest(InvalidRequest):
    """A request that cannot be read. A client may see its message: our own words and names of parameters."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.answer_status = status


class Parameters:
    """The parameters of one request, each there once. An empty value is an absent one (RFC 6749 3.2)."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def required(self, name: str) -> str:
        """The value. Raises RefusedRequest where it is missing or empty."""
        value = self.optional(name)
        if value is None:
            raise RefusedRequest(f"the parameter {name} is missing")
        return value

    def optional(self, name: str) -> str | None:
        """The value, or None where it is missing or empty. Raises RefusedRequest where JSON has no string there."""
        value = self._values.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise RefusedRequest(f"the parameter {name} is not a string")
        if "\0" in value:  # C libraries and some databases would cut the value there
            raise RefusedRequest(f"the parameter {name} holds a NUL character")
        return value

    def number(self, name: str) -> int | None:
        """The value as a decimal number below 10**18, or None. Raises RefusedRequest for anything else."""
        text = self.optional(name)
        if text is not None and not _NUMBER.fullmatch(text):
            raise RefusedRequest(f"the parameter {name} is not a decimal number")
        return None if text is None else int(text)

    def seconds(self, name: str) -> float | None:
        """The value as seconds, such as 25 or 0.5, or None. Raises RefusedRequest for anything else."""
        text = self.optional(name)
        if text is not None and not _SECONDS.fullmatch(text):
            raise RefusedRequest(f"the parameter {name} is not a number of seconds")
        return None if text is None else float(text)


async def read_body(request: Request, *, json: bool = False, may_be_absent: bool = False) -> Parameters:
    """The parameters of a POST body: a form, or, where the endpoint takes it, a JSON object of strings.

    Raises RefusedRequest for another content type (415), a body over `MAX_BODY` (413), anything repeated or malformed,
    and a query string: what belongs in the body would end in the logs of every proxy on the way (RFC 6749 2.3.1).
    """
    if request.scope["query_string"]:
        raise RefusedRequest("this endpoint takes no query string; parameters belong in the body")
    kind = content_type(request)
    if may_be_absent and not kind and not await _bytes(request):
        return Parameters({})
    if kind == JSON and json:
        return Parameters(_json(await _bytes(request)))
    if kind != FORM:
        raise RefusedRequest(f"the content type must be {FORM}" + (f" or {JSON}" if json else ""), 415)
    return Parameters(read_form(await _bytes(request)))


def read_query(request: Request) -> Parameters:
    """The parameters of a query string. Raises RefusedRequest for anything repeated or malformed."""
    return Parameters(read_form(request.scope["query_string"]))


def header(request: Request, name: str) -> str | None:
    """The one value of a header, or None. Raises RefusedRequest where it is repeated: readers differ."""
    wanted = name.encode("ascii")
    values = [value for key, value in request.scope["headers"] if key == wanted]
    if len(values) > 1:
        raise RefusedRequest(f"the header {name} is repeated")
    return values[0].decode("latin-1") if values else None


def content_type(request: Request) -> str:
    """The media type in lower case, without parameters; only UTF-8 is a charset. Raises RefusedRequest (415)."""
    media, _, rest = (header(request, "content-type") or "").partition(";")
    for parameter in rest.split(";") if rest else ():
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "charset" and value.strip('"').lower() not in _UTF8:
            raise RefusedRequest("the charset must be UTF-8", 415)
    if (header(request, "content-encoding") or "identity").lower() != "identity":
        raise RefusedRequest("compressed bodies are not read", 415)
    return media.strip().lower()


def read_form(data: bytes) -> dict[str, str]:
    """The fields of a urlencoded form. Raises RefusedRequest for repeated names, bad escapes and bad UTF-8."""
    if not data:
        return {}
    pairs = data.split(b"&", MAX_PARAMETERS)
    if len(pairs) > MAX_PARAMETERS:
        raise RefusedRequest("there are too many parameters")
    if _BAD_ESCAPE.search(data):
        raise RefusedRequest("a percent sign is not followed by two hexadecimal digits")
    fields: dict[str, str] = {}
    for pair in pairs:
        if not pair:
            continue
        name, _, value = pair.partition(b"=")
        key = text(unquote_to_bytes(name.replace(b"+", b" ")))
        if key in fields:
            raise RefusedRequest("a parameter is repeated")
        fields[key] = text(unquote_to_bytes(value.replace(b"+", b" ")))
    return fields


def text(data: bytes) -> str:
    """UTF-8 as a string. Raises RefusedRequest."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedRequest("a parameter is not UTF-8") from None


def _json(data: bytes) -> dict[str, object]:
    try:
        return json_object(data)
    except MalformedToken:
        raise RefusedRequest("the body is not one strict JSON object in UTF-8 without duplicate members") from None


async def _bytes(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > _DRAINED:
                    break
                if size <= MAX_BODY:
                    chunks.append(chunk)
    except TimeoutError:
        raise RefusedRequest("the body took too long to arrive", 408) from None
    except ClientDisconnect:
        raise RefusedRequest("the connection was closed") from None
    if size > MAX_BODY:
        raise RefusedRequest(f"the body has more than {MAX_BODY} bytes", 413)
    return b"".join(chunks)
