"""JWS in JSON: flattened and general, with several signatures and unprotected headers (RFC 7515 7.2, RFC 7797)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from admit.errors import ConfigurationError, InvalidToken, MalformedToken, UnknownKey
from admit.jose import header as headers
from admit.jose.detached import signing_input
from admit.jose.encoding import (
    MAX_TOKEN,
    b64url_decode,
    b64url_encode,
    json_document,
    octets,
    written,
)
from admit.jose.header import Header
from admit.jose.jws import UNENCODED, check_type, checker, protected
from admit.jose.keys import Key
from admit.jose.keyset import KeySet, find, sources

MAX_SIGNATURES: Final = 64
"""Signatures that are looked at."""
MAX_TRIES: Final = 4
"""Signatures that are tried with one key: each costs an operation with it."""


@dataclass(frozen=True, slots=True)
class Signatory:
    """One who signs: the key, and what the headers say beside its alg (always protected) and its kid."""

    key: Key
    typ: str | None = None
    header: Mapping[str, object] | None = None
    """Further protected parameters."""
    unprotected: Mapping[str, object] | None = None
    kid: bool = True


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of a document that holds. `index` is its place there."""

    index: int
    header: Header
    key: Key


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """A payload, who signed it, and which signatures did not hold (always none under `need="all"`)."""

    payload: bytes
    signatures: tuple[Signature, ...]
    refused: tuple[tuple[int, InvalidToken], ...]


def sign_flattened(signatory: Signatory | Key, payload: bytes, *, detached: bool = False, b64: bool = True) -> str:
    """A flattened JWS (RFC 7515 7.2.2). `detached` leaves the payload out; `b64=False` writes it as text (RFC 7797)."""
    return _written(_body(payload, detached, b64) | _signed(signatory, payload, b64))


def sign_general(
    signatories: Iterable[Signatory | Key], payload: bytes, *, detached: bool = False, b64: bool = True
) -> str:
    """A general JWS with a signature of each (RFC 7515 7.2.1). Raises ConfigurationError where there is nobody."""
    everyone = list(signatories)
    if not 0 < len(everyone) <= MAX_SIGNATURES:
        raise ConfigurationError(f"a signed document has 1 to {MAX_SIGNATURES} signatures")
    keys = Counter(id(one.key if isinstance(one, Signatory) else one) for one in everyone)
    if max(keys.values()) > MAX_TRIES:
        raise ConfigurationError(f"one key signs a document at most {MAX_TRIES} times: no reader tries more")
    signatures = [_signed(one, payload, b64) for one in everyone]
    return _written(_body(payload, detached, b64) | {"signatures": signatures})


def verify(
    document: str | bytes,
    keys: Key | KeySet | Sequence[Key | KeySet],
    *,
    need: Literal["all"] | int = "all",
    payload: bytes | None = None,
    typ: str | None = None,
    limit: int = MAX_TOKEN,
    understood: frozenset[str] = UNENCODED,
) -> SignedDocument:
    """The payload of a flattened or general JWS, and whose signatures hold.

    `need` is `"all"`: each signature in the document holds, under a key given here; or a number: the signatures of at
    least that many different keys hold, and `.refused` tells of the others. `payload` is for a document without one,
    `typ` must be in each protected header, `limit` is in bytes. Raises the error of the first signature that does not
    hold: MalformedToken, WrongType, UnknownKey or BadSignature (RFC 7515 5.2).
    """
    if need != "all" and (type(need) is not int or need < 1):
        raise ConfigurationError('need is "all", or how many different keys must have signed, from 1')
    given = sources(keys)
    members = json_document(document, limit, "JWS")
    entries = _entries(members)
    own = _own_payload(members, payload)
    held: list[Signature] = []
    refused: list[tuple[int, InvalidToken]] = []
    contents: dict[bool, bytes] = {}
    tried = Counter[int]()
    for index, entry in enumerate(entries):
        try:
            head, header = _header_of(entry, understood)
            body = contents[header.b64] = _content(own, payload, header.b64)
            check_type(header, typ)
            key = _find(given, header)
            tried[id(key)] += 1
            if tried[id(key)] <= MAX_TRIES:  # else nothing holds: see below
                checker(key)(signing_input(head, body, b64=header.b64), _text(entry, "signature"))
        except InvalidToken as error:
            if need == "all":
                raise
            refused.append((index, error))
        else:
            held.append(Signature(index, header, key))
        if max(tried.values(), default=0) > MAX_TRIES:
            raise MalformedToken(f"the document has more than {MAX_TRIES} signatures of one key")
    if len(contents) > 1:
        raise MalformedToken("the signatures of one document differ in b64 (RFC 7797 3)")
    # One key may sign twice, or stand under two kids: it counts once.
    if need != "all" and len({signature.key.thumbprint() for signature in held}) < need:
        raise refused[0][1] if refused else UnknownKey(f"fewer than {need} different keys signed this document")
    return SignedDocument(contents.popitem()[1], tuple(held), tuple(refused))


def _written(members: Mapping[str, object]) -> str:
    return written(members).decode()


def _body(payload: bytes, detached: bool, b64: bool) -> dict[str, object]:
    if detached:
        return {}
    try:
        content = octets(payload, "what is signed")
        return {"payload": (b64url_encode(content) if b64 else content).decode()}
    except UnicodeDecodeError:
        raise MalformedToken("an unencoded payload in JSON is UTF-8; detach it, or encode it (RFC 7797 3)") from None


def _signed(signatory: Signatory | Key, payload: bytes, b64: bool) -> dict[str, object]:
    one = Signatory(signatory) if isinstance(signatory, Key) else signatory
    if not isinstance(one, Signatory):
        raise ConfigurationError(f"who signs is a Signatory or a Key, not {type(one).__name__}")
    head = protected(one.key, typ=one.typ, header=one.header, kid=one.kid, b64=b64)
    if not isinstance(one.unprotected or {}, Mapping):
        raise ConfigurationError(f"unprotected is a mapping, not {type(one.unprotected).__name__}")
    unprotected = dict(one.unprotected or {})
    headers.join(head, unprotected, understood=UNENCODED)
    signature = one.key.sign(signing_input(head, payload, b64=b64)).decode()
    header = {"header": unprotected} if unprotected else {}
    return {"protected": head.decode(), **header, "signature": signature}


def _entries(members: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The signatures, each with its headers; a document that could be read as two forms is refused."""
    if {"ciphertext", "recipients"} & members.keys():
        raise MalformedToken("an encrypted document (JWE) where a signed one is expected")
    if "signatures" not in members:
        return [dict(members)]
    if {"signature", "protected", "header"} & members.keys():
        raise MalformedToken("a JWS is flattened or general, not both (RFC 7515 7.2.2)")
    entries = members["signatures"]
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise MalformedToken("signatures is not a non-empty list of objects (RFC 7515 7.2.1)")
    if any({"payload", "signatures"} & entry.keys() for entry in entries):
        raise MalformedToken("what signatures share does not stand among what one has alone (RFC 7515 7.2.1)")
    if len(entries) > MAX_SIGNATURES:
        raise MalformedToken(f"the document has {len(entries)} signatures, at most {MAX_SIGNATURES} are read")
    return entries


def _own_payload(members: Mapping[str, Any], detached: bytes | None) -> bytes | None:
    if ("payload" in members) == (detached is not None):
        raise MalformedToken("the payload is in the document, or detached and given beside it: not both, not neither")
    return _text(members, "payload") if detached is None else None


def _text(members: Mapping[str, Any], name: str) -> bytes:
    value = members.get(name)
    if not isinstance(value, str):
        raise MalformedToken(f"{name} is missing or is not a string (RFC 7515 7.2.1)")
    return value.encode()


def _header_of(entry: Mapping[str, Any], understood: frozenset[str]) -> tuple[bytes, Header]:
    head = _text(entry, "protected") if "protected" in entry else None
    unprotected = entry.get("header", {})
    if head == b"" or not isinstance(unprotected, dict) or ("header" in entry and not unprotected):
        raise MalformedToken("an empty header is left out, and header is an object (RFC 7515 7.2.1)")
    return head or b"", headers.join(head, unprotected, understood=understood)


def _content(own: bytes | None, detached: bytes | None, b64: bool) -> bytes:
    if own is None:
        return detached or b""
    return b64url_decode(own) if b64 else own


def _find(given: Iterable[Key | KeySet], header: Header) -> Key:
    """The one key for that header among all that were given."""
    found: list[Key] = []
    problem: InvalidToken = UnknownKey("no key was given")
    for source in given:
        try:
            found.append(find(source, header.alg, header.kid))
        except InvalidToken as error:
            problem = error
    if not found:
        raise problem
    if any(key != found[0] for key in found):
        raise UnknownKey("more than one of the keys given fits this signature")
    return found[0]
