"""JWE in JSON: flattened and general, with several recipients, unprotected headers and aad (RFC 7516 7.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from admit.errors import ConfigurationError, DecryptionFailed, InvalidToken, MalformedToken, UnknownKey
from admit.jose import header as headers
from admit.jose import jwe
from admit.jose.content_encryption import ContentEncryption, failed
from admit.jose.encoding import (
    MAX_TOKEN,
    b64url_decode,
    b64url_encode,
    json_document,
    octets,
    written,
)
from admit.jose.header import Header
from admit.jose.jws import check_type
from admit.jose.key_management import KEY_MANAGEMENT, KeyManagement
from admit.jose.keys import Key
from admit.jose.keyset import KeySet, find, sources

MAX_RECIPIENTS: Final = 64
"""Recipients that are looked at."""
MAX_TRIES: Final = 4
"""Recipients that are tried with one key, where no kid says which is meant: each costs an operation with it."""
_SHARED: Final = frozenset(("protected", "unprotected", "iv", "aad", "ciphertext", "tag"))
_SIGNED: Final = frozenset(("signature", "signatures", "payload"))
_EACH: Final = frozenset(("header", "encrypted_key"))


@dataclass(frozen=True, slots=True)
class Recipient:
    """One who shall be able to read: the key, and further parameters of its own header, which nothing protects."""

    key: Key
    header: Mapping[str, object] | None = None
    kid: bool = True


@dataclass(frozen=True, slots=True)
class EncryptedDocument:
    """A decrypted document: what it says, to which of its recipients we belong (`index`), and what was authenticated."""

    plaintext: bytes
    aad: bytes | None
    index: int
    header: Header
    key: Key


def encrypt_flattened(
    recipient: Recipient | Key,
    plaintext: bytes,
    *,
    enc: str | None = None,
    typ: str | None = None,
    header: Mapping[str, object] | None = None,
    unprotected: Mapping[str, object] | None = None,
    aad: bytes | None = None,
    compress: bool = False,
) -> str:
    """A flattened JWE (RFC 7516 7.2.2). header: further protected parameters; unprotected: those of all recipients.

    aad: authenticated along, and readable. Raises as `jwe.encrypt` does.
    """
    one, *_ = _recipients([recipient])
    row, material = jwe.sealing(one.key)
    content, shared, own = jwe.chosen(row, enc), jwe.further(unprotected), jwe.further(one.header)
    protected = {"enc": content.name} | jwe.further(header) | ({"zip": "DEF"} if compress else {})
    cek, encrypted, needed = row.seal(row, material, content, None, protected | shared | own)
    # There is one recipient only, so that what is said about the key is protected, too.
    head = headers.encode(row.alg, one.key.kid if one.kid else None, typ, protected | needed)
    headers.join(head, _joined(shared, own))
    entry = {"header": own} if own else {}
    return written(_closed(content, cek, plaintext, head, shared, aad, compress) | entry | _wrapped(encrypted)).decode()


def encrypt_general(
    recipients: Iterable[Recipient | Key],
    plaintext: bytes,
    *,
    enc: str | None = None,
    typ: str | None = None,
    header: Mapping[str, object] | None = None,
    unprotected: Mapping[str, object] | None = None,
    aad: bytes | None = None,
    compress: bool = False,
) -> str:
    """A general JWE, which each of the recipients can read (RFC 7516 7.2.1). Arguments as for `encrypt_flattened`.

    Raises ConfigurationError for no recipient, or for several where the key of one is, or agrees on, the content key.
    """
    everyone = _recipients(recipients)
    rows = [jwe.sealing(one.key)[0] for one in everyone]
    if len(rows) > 1 and any(row.direct for row in rows):
        raise ConfigurationError("dir and ECDH-ES have one recipient only: the content key is not free to choose")
    content = jwe.chosen(rows[0], enc)
    shared, entries = _sealed(everyone, content, plaintext, typ, header, unprotected, aad, compress)
    return written(shared | {"recipients": entries}).decode()


def decrypt(
    document: str | bytes,
    keys: Key | KeySet | Sequence[Key | KeySet],
    *,
    enc: str | Iterable[str] = jwe.ANY_ENC,
    typ: str | None = None,
    inflate: bool = False,
    limit: int = MAX_TOKEN,
) -> EncryptedDocument:
    """The plaintext of a flattened or general JWE for one of whose recipients a key is given (RFC 7516 5.2).

    enc, inflate and limit as for `jwe.decrypt`; typ must be in the protected header. Raises MalformedToken, WrongType,
    UnknownKey, or DecryptionFailed, which never says why.
    """
    allowed = jwe.accepted(enc)
    members, entries = _read(document, limit)
    head = _text(members, "protected")
    shared = _object(members, "unprotected")
    read = [_entry(head, shared, entry) for entry in entries]
    for each in read:
        check_type(each.header, typ)
    contents = {jwe.content_of(each.header, allowed, inflate=inflate).name for each in read}
    if len(contents) > 1:
        raise MalformedToken("the recipients of one document differ in enc (RFC 7516 7.2.1)")
    content = jwe.content_of(read[0].header, allowed, inflate=inflate)
    if len(read) > 1 and any(_is_direct(each.header) for each in read):
        raise MalformedToken("dir and ECDH-ES have one recipient only (RFC 7516 7.2.1)")
    aad = _optional(members, "aad")
    sealed = tuple(b64url_decode(_text(members, name, needed=True) or b"") for name in ("iv", "ciphertext", "tag"))
    jwe.check_sizes(content, sealed[0], sealed[2])
    bound = _bound(head or b"", aad)
    for index, key in _fitting(read, keys):
        each = read[index]
        cek = jwe.content_key(key, content, each.encrypted, each.header)
        try:
            plaintext = jwe.open_content(content, cek, (sealed[0], sealed[1], sealed[2]), bound, each.header)
        except DecryptionFailed:
            continue  # without a kid, another recipient may be the one
        return EncryptedDocument(plaintext, aad, index, each.header, key)
    raise failed()


class _Entry(NamedTuple):
    header: Header
    encrypted: bytes


def _recipients(recipients: Iterable[Recipient | Key]) -> list[Recipient]:
    everyone = [Recipient(one) if isinstance(one, Key) else one for one in recipients]
    if not 0 < len(everyone) <= MAX_RECIPIENTS or not all(isinstance(one, Recipient) for one in everyone):
        raise ConfigurationError(
            f"an encrypted document has 1 to {MAX_RECIPIENTS} recipients, each a Recipient or a Key"
        )
    if sum(not one.kid for one in everyone) > MAX_TRIES:
        raise ConfigurationError(f"at most {MAX_TRIES} recipients are left without a kid: no reader tries more")
    return everyone


def _sealed(
    recipients: Sequence[Recipient],
    content: ContentEncryption,
    plaintext: bytes,
    typ: str | None,
    header: Mapping[str, object] | None,
    unprotected: Mapping[str, object] | None,
    aad: bytes | None,
    compress: bool,
) -> tuple[dict[str, object], list[dict[str, object]]]:
    """What the recipients share, and what each has alone."""
    protected = {"enc": content.name} | ({"typ": typ} if typ is not None else {}) | jwe.further(header)
    protected |= {"zip": "DEF"} if compress else {}
    head, shared = b64url_encode(written(protected)), jwe.further(unprotected)
    cek: bytes | None = None
    entries: list[dict[str, object]] = []
    for one in recipients:
        row, material = jwe.sealing(one.key)
        own = {"alg": row.alg} | ({"kid": one.key.kid} if one.kid else {}) | jwe.further(one.header)
        cek, encrypted, needed = row.seal(row, material, content, cek, protected | shared | own)
        own |= needed
        headers.join(head, _joined(shared, own))
        entries.append({"header": own} | _wrapped(encrypted))
    assert cek is not None  # noqa: S101 - narrows the type: there is a recipient
    return _closed(content, cek, plaintext, head, shared, aad, compress), entries


def _closed(
    content: ContentEncryption,
    cek: bytes,
    plaintext: bytes,
    head: bytes,
    shared: Mapping[str, object],
    aad: bytes | None,
    compress: bool,
) -> dict[str, object]:
    """The members that recipients share."""
    if aad is not None and not octets(aad, "aad"):
        raise ConfigurationError("aad is left out where it is empty (RFC 7516 7.2.1)")
    bound = _bound(head, aad)
    iv, ciphertext, tag = jwe.close(content, cek, plaintext, bound, compress=compress)
    parts = {"iv": iv, "ciphertext": ciphertext, "tag": tag} | ({} if aad is None else {"aad": aad})
    common: dict[str, object] = {"protected": head.decode()} | ({"unprotected": shared} if shared else {})
    return common | {name: b64url_encode(data).decode() for name, data in parts.items()}


def _wrapped(encrypted: bytes) -> dict[str, object]:
    return {"encrypted_key": b64url_encode(encrypted).decode()} if encrypted else {}


def _bound(head: bytes, aad: bytes | None) -> bytes:
    """What the tag authenticates beside the ciphertext (RFC 7516 5.1 step 14)."""
    return head if aad is None else head + b"." + b64url_encode(aad)


def _joined(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    if shared.keys() & own.keys():
        raise MalformedToken("the shared and a recipient's header share a name (RFC 7516 7.2.1)")
    return {**shared, **own}


def _read(document: str | bytes, limit: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The members that recipients share, and each one's own; a document that could be read as two forms is refused."""
    members = json_document(document, limit, "JWE")
    if _SIGNED & members.keys():
        raise MalformedToken("a signed document (JWS) where an encrypted one is expected")
    if "recipients" not in members:
        return members, [{name: members[name] for name in _EACH & members.keys()}]
    if _EACH & members.keys():
        raise MalformedToken("a JWE is flattened or general, not both (RFC 7516 7.2.2)")
    entries = members["recipients"]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise MalformedToken("recipients is not a list of objects (RFC 7516 7.2.1)")
    if not 0 < len(entries) <= MAX_RECIPIENTS:
        raise MalformedToken(f"the document has {len(entries)} recipients; 1 to {MAX_RECIPIENTS} are read")
    if any((_SHARED | _SIGNED) & entry.keys() for entry in entries):
        raise MalformedToken("what recipients share does not stand among what one has alone (RFC 7516 7.2.1)")
    return members, entries


def _entry(head: bytes | None, shared: Mapping[str, Any], entry: Mapping[str, Any]) -> _Entry:
    header = headers.join(head, _joined(shared, _object(entry, "header")))
    return _Entry(header, _optional(entry, "encrypted_key") or b"")


def _fitting(read: Sequence[_Entry], keys: Key | KeySet | Sequence[Key | KeySet]) -> list[tuple[int, Key]]:
    """The recipients for whom there is a key here. Raises UnknownKey for none, MalformedToken for several by password."""
    found: list[tuple[int, Key]] = []
    problem: InvalidToken = UnknownKey("no key was given")
    given = sources(keys)
    for index, each in enumerate(read):
        for source in given:
            try:
                found.append((index, find(source, each.header.alg, each.header.kid)))
            except InvalidToken as error:
                problem = error
    if not found:
        raise problem
    if max(Counter(id(key) for _, key in found).values()) > MAX_TRIES:
        raise MalformedToken(f"more than {MAX_TRIES} recipients would be tried with one key: name each by its kid")
    if len(found) > 1 and any(
        isinstance(key.algorithm, KeyManagement) and key.algorithm.from_password for _, key in found
    ):
        raise MalformedToken("more than one recipient would be tried with a password, each at the price of its p2c")
    return found


def _is_direct(header: Header) -> bool:
    return header.alg == "dir" or (header.alg in KEY_MANAGEMENT and KEY_MANAGEMENT[header.alg].direct)


def _object(members: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = members.get(name, {})
    if not isinstance(value, dict) or (name in members and not value):
        raise MalformedToken(f"{name} is an object, and left out where it is empty (RFC 7516 7.2.1)")
    return value


def _optional(members: Mapping[str, Any], name: str) -> bytes | None:
    text = _text(members, name)
    if text == b"":
        raise MalformedToken(f"{name} is left out where it is empty (RFC 7516 7.2.1)")
    return None if text is None else b64url_decode(text)


def _text(members: Mapping[str, Any], name: str, *, needed: bool = False) -> bytes | None:
    if name not in members and not needed:
        return None
    value = members.get(name)
    if not isinstance(value, str) or not value.isascii():
        raise MalformedToken(f"{name} is missing or is not a string of base64url (RFC 7516 7.2.1)")
    return value.encode()
