"""Strict base64url, strict JSON, size caps: one canonical spelling of everything, and no other (RFC 7515 2, RFC 8259)."""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Annotated, Any, Final

import msgspec

from admit.errors import ConfigurationError, MalformedToken, shown
from admit.process_lock import ProcessLock

MAX_TOKEN: Final = 16 * 1024
"""Bytes of a token, by default: an ML-DSA-87 token is about 6.4 kB, an HTTP header line rarely over 16 kB."""

MAX_DEPTH: Final = 32
"""Levels of nesting in a header or payload; real claims have three or four."""

MAX_INTEGER: Final = 2**64
"""Integers stay below it on either side: what other languages' JSON readers can hold at the very most."""

_STANDARD: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URL: Final = _STANDARD[:-2] + b"-_"
# Everything outside the URL alphabet becomes "!", which decoding refuses: so +, / and = never pass (RFC 7515 2).
_FROM_URL: Final = bytes(_STANDARD[_URL.index(c)] if c in _URL else 0x21 for c in range(256))
_CLOSING: Final = (b'"', b'==="', b'=="', b'="')
# The last character's spare bits are zero, or several spellings of one token would verify (GHSA-hxm8-2xgr-2p9m).
_LAST: Final = (_URL, b"", _URL[::16], _URL[::4])


def b64url_encode(data: bytes) -> bytes:
    """Base64url without padding (RFC 7515 2)."""
    # Three searches for bytes that JSON hardly ever spells cost a third of translating each byte.
    return b2a_base64(data, newline=False).replace(b"+", b"-").replace(b"/", b"_").rstrip(b"=")


def b64url_decode(text: bytes) -> bytes:
    """The bytes that canonical base64url spells.

    Raises MalformedToken for padding, white space, other alphabets, an impossible length, or spare bits that are not zero.
    """
    if not text:
        return b""
    remainder = len(text) & 3
    if text[-1] not in _LAST[remainder]:
        raise _foreign(
            text, "base64url is not canonical: impossible length, a foreign last character, or spare bits set"
        )
    # Letters and digits are the same in both alphabets, and JSON in ASCII is hardly ever spelled otherwise.
    spelled = text if text.isalnum() else text.translate(_FROM_URL)
    try:
        # A JSON string of base64 is what msgspec decodes at less than half of binascii's price.
        return _decode_base64(b'"' + spelled + _CLOSING[remainder])
    except msgspec.DecodeError:
        raise _foreign(text, "base64url holds a character outside A-Z a-z 0-9 - _") from None


def _foreign(text: bytes, otherwise: str) -> MalformedToken:
    """What is said of text that is no base64url; of what a token is copied with, by its name."""
    if text[:7].lower() == b"bearer ":
        return MalformedToken("the text begins with Bearer: pass the token alone")
    if text != text.strip():
        return MalformedToken("there is white space around it: pass the token alone")
    return MalformedToken(otherwise)


_decode_base64: Final[Callable[[bytes], bytes]] = msgspec.json.Decoder(bytes).decode
_PREPARING: Final = ProcessLock()


def prepare(kind: object) -> None:
    """Let msgspec learn a type before any thread needs it. Raises TypeError for what it cannot learn.

    It learns a type on first use and shares what it knows half-way: two threads that meet there crash the process.
    """
    with _PREPARING:
        msgspec.json.Decoder(kind)


_Scalar = str | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | float | bool | None
_decode_flat: Final[Callable[[bytes], dict[str, Any]]] = msgspec.json.Decoder(dict[str, _Scalar | list[_Scalar]]).decode
_decode: Final[Callable[[bytes], object]] = msgspec.json.Decoder().decode
_encode: Final[Callable[[object], bytes]] = msgspec.json.Encoder().encode
# One without an end goes to the end of all: no start is tried twice.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_SHORT: Final = 512  # bytes that hold no hundred numbers
_FEW: Final = 64  # commas
# Such a number takes 20 us, a thousand times one of its length without: 64 kB of them before any signature would stop a service.
_FAR: Final = re.compile(rb"[0-9][eE][-+]?0*+[1-9][0-9]{2}")


def json_object(data: bytes) -> dict[str, Any]:
    """A JSON object, read strictly (RFC 8259, RFC 7519 4: member names are unique).

    Raises MalformedToken for anything but one UTF-8 object without duplicate names at any depth, with at most
    `MAX_DEPTH` levels and integers below `MAX_INTEGER` in size; NaN, infinities and lone surrogates included. Beside many other
    values none may be a number whose exponent has three digits.
    """
    if len(data) > _SHORT and data.count(b",") > _FEW and _FAR.search(data) and _FAR.search(_STRING.sub(b"", data)):
        raise MalformedToken("a number with an exponent of three digits, among many values")
    # The usual payload is compact and flat. Written anew it is the same bytes, exactly where no member was lost to a duplicate;
    # the type of `_decode_flat` leaves nothing that nests and no integer over 64 bits.
    try:
        flat = _decode_flat(data)
        if _encode(flat) == data:
            return flat
    except (ValueError, RecursionError, OverflowError):
        pass  # not usual: nesting, or not JSON at all
    value = _decoded(data)
    if value is ...:
        raise MalformedToken("not strict JSON in UTF-8")
    if type(value) is not dict:
        raise MalformedToken("JSON, but not an object")
    _look_exactly(data, value)
    return value


def json_document(document: str | bytes, limit: int, what: str) -> dict[str, Any]:
    """The members of a JWS or JWE in JSON of at most `limit` bytes or characters. Raises MalformedToken."""
    must_be_bytes_allowed(limit, "limit")
    if type(document) is not str and type(document) is not bytes:
        raise MalformedToken(f"a {what} in JSON is text, not {type(document).__name__}")
    if len(document) > limit:
        raise MalformedToken(f"the document has {len(document)} characters, at most {limit} are read")
    return json_object(document.encode("utf-8", "surrogatepass") if isinstance(document, str) else document)


def _decoded(data: bytes) -> object:
    """What `data` says, or an ellipsis where it is not JSON: an error raised in the handler would carry the input along."""
    try:
        return _decode(data)
    except (ValueError, RecursionError):  # DecodeError and UnicodeDecodeError are ValueErrors
        return ...


def _look_exactly(data: bytes, value: dict[str, Any]) -> None:
    level: list[Any] = [value]
    members = depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise MalformedToken(f"JSON nests deeper than {MAX_DEPTH} levels")
        below: list[Any] = []
        for item in level:
            if type(item) is dict:
                members += len(item)
                below.extend(item.values())
            else:
                below.extend(item)
        if any(type(item) is int and not -MAX_INTEGER < item < MAX_INTEGER for item in below):
            raise MalformedToken("JSON with an integer of more than 64 bits")
        level = [item for item in below if type(item) is dict or type(item) is list]
    if _STRING.sub(b"", data).count(b":") != members:  # with the strings gone, each colon left is a member
        raise MalformedToken("JSON with a duplicate member name")


def json_bytes(value: Mapping[str, object]) -> bytes:
    """Compact JSON in UTF-8. Raises TypeError or ValueError where JSON has no word for a value."""
    return _encode(value)


def written(members: Mapping[str, object]) -> bytes:
    """The same for members that a caller chose. Raises ConfigurationError where JSON has no word for one of them."""
    data = _encoded(members)
    if data is None:
        raise ConfigurationError("a header's parameters have names that are text, and values that JSON can say")
    return data


def _encoded(members: Mapping[str, object]) -> bytes | None:
    try:
        data = _encode(members)
        return data if b"null" not in data or _finite(members) else None  # it says null for NaN and infinities
    except (TypeError, ValueError, OverflowError, RecursionError):  # whose messages may quote what could not be written
        return None


def _finite(members: Mapping[str, object]) -> bool:
    waiting: list[Any] = [msgspec.to_builtins(members)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, float) and not isfinite(value):
            return False
        waiting.extend(value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ())
    return True


def octets(data: object, what: str) -> bytes:
    """`data`, which is bytes. Raises ConfigurationError for anything else: text has more than one encoding."""
    if not isinstance(data, bytes):
        raise ConfigurationError(f"{what} is bytes, not {type(data).__name__}")
    return data


def must_be_bytes_allowed(value: object, name: str) -> None:
    """Raise ConfigurationError for what is no whole number of bytes, at least 1."""
    if type(value) is not int or value < 1:
        raise ConfigurationError(
            f"{name} is a whole number of bytes, at least 1 byte, such as 16384, not {shown(value)}"
        )
