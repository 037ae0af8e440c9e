"""Compact JWE: encrypt and decrypt bytes (RFC 7516 3.1, 5.1, 5.2)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from admit import clock
from admit.errors import ConfigurationError, InvalidKey, MalformedToken, UnknownKey, shown
from admit.jose import header as headers
from admit.jose.content_encryption import CONTENT_ENCRYPTION, ContentEncryption, content_encryption
from admit.jose.encoding import MAX_TOKEN, b64url_decode, b64url_encode, must_be_bytes_allowed, octets
from admit.jose.header import Header
from admit.jose.jws import check_type
from admit.jose.key_management import KeyManagement
from admit.jose.keys import Key
from admit.jose.keyset import KeySet, find

MAX_INFLATED: Final = 250_000
"""Bytes that `zip: DEF` may become: a token of 16 kB could else ask for 16 MB (CVE-2024-28102)."""
ANY_ENC: Final = tuple(CONTENT_ENCRYPTION)
"""Every content encryption there is. All of them are authenticated."""
_OWN: Final = frozenset(("alg", "enc", "kid", "typ", "zip", "epk", "iv", "tag", "p2s", "p2c", "crit", "b64"))


class Jwe(msgspec.Struct, frozen=True):
    """A decrypted JWE. Nothing says who wrote it: whoever has a public key can encrypt to it."""

    header: Header
    plaintext: bytes
    key: Key


def encrypt(
    key: Key,
    plaintext: bytes,
    *,
    enc: str | None = None,
    typ: str | None = None,
    header: Mapping[str, object] | None = None,
    kid: bool = True,
    compress: bool = False,
) -> str:
    """A compact JWE for the holder of `key`.

    enc: A256GCM unless given; a key for `dir` has its own. header: further protected parameters, such as cty, apu and apv.
    compress: `zip: DEF`, whose sizes tell of the content where an attacker can choose a part of it (RFC 8725 3.6).
    Raises InvalidKey, UnsupportedAlgorithm, MalformedToken.
    """
    row, material = sealing(key)
    content = chosen(row, enc)
    members = {"enc": content.name} | ({"zip": "DEF"} if compress else {}) | further(header)
    cek, encrypted, needed = row.seal(row, material, content, None, members)
    head = headers.encode(row.alg, key.kid if kid else None, typ, members | needed)
    headers.parse(head)
    iv, ciphertext, tag = close(content, cek, plaintext, head, compress=compress)
    return b".".join((head, *map(b64url_encode, (encrypted, iv, ciphertext, tag)))).decode("ascii")


def decrypt(
    token: str | bytes,
    keys: KeySet | Key,
    *,
    enc: str | Iterable[str] = ANY_ENC,
    typ: str | None = None,
    inflate: bool = False,
    limit: int = MAX_TOKEN,
) -> Jwe:
    """The plaintext of a compact JWE. Who encrypted it is not shown by it: see `admit.tokens.nested` for what is signed, too.

    enc: the content encryption accepted, which no header widens. inflate: read `zip: DEF`, at most 250 kB. limit: bytes.
    Raises MalformedToken, WrongType, UnknownKey, or DecryptionFailed, which never says why (RFC 7516 11.5).
    """
    allowed = accepted(enc)
    must_be_bytes_allowed(limit, "limit")
    head, *others = _split(token, limit)
    header = headers.parse(head)
    check_type(header, typ)
    content = content_of(header, allowed, inflate=inflate)
    key = find(keys, header.alg, header.kid)
    encrypted, iv, ciphertext, tag = map(b64url_decode, others)
    check_sizes(content, iv, tag)
    cek = content_key(key, content, encrypted, header)
    return Jwe(header, open_content(content, cek, (iv, ciphertext, tag), head, header), key)


# --- Both serializations


def sealing(key: Key) -> tuple[KeyManagement, Any]:
    """The row and the half that encrypts. Raises InvalidKey where the key may not, ConfigurationError for what is none."""
    if not isinstance(key, Key):
        raise ConfigurationError(f"who shall read it is a Key, not {type(key).__name__}")
    return key.sealing()


def further(header: Mapping[str, object] | None) -> dict[str, object]:
    """Header parameters of the caller's. Raises MalformedToken where they are not the caller's to set."""
    if header is not None and not isinstance(header, Mapping):
        raise ConfigurationError(f"further header parameters are a mapping, not {type(header).__name__}")
    if header and not _OWN.isdisjoint(header):
        raise MalformedToken("alg, enc, kid, typ, zip, crit and what the algorithm needs are not set by header")
    return dict(header or {})


def chosen(row: KeyManagement, enc: str | None) -> ContentEncryption:
    """The content encryption asked for, A256GCM otherwise. Raises InvalidKey where the key is bound to another."""
    content = content_encryption(enc if enc is not None else row.name if row.header_alg else "A256GCM")
    _fits(row, content)
    return content


def accepted(enc: str | Iterable[str]) -> frozenset[str]:
    """The names of content encryption accepted. Raises UnsupportedAlgorithm, and ConfigurationError for none."""
    names = enc if isinstance(enc, Iterable) and not isinstance(enc, str) else (enc,)
    allowed = frozenset(content_encryption(name).name for name in names)
    if not allowed:
        raise ConfigurationError("enc is empty: nothing would be accepted")
    return allowed


def close(
    content: ContentEncryption, cek: bytes, plaintext: bytes, aad: bytes, *, compress: bool
) -> tuple[bytes, bytes, bytes]:
    """(IV, ciphertext, tag)"""
    octets(plaintext, "what is encrypted")
    iv = clock.random_bytes(content.iv_size)
    return iv, *content.seal(content, cek, iv, _deflate(plaintext) if compress else plaintext, aad)


def content_of(header: Header, allowed: frozenset[str], *, inflate: bool) -> ContentEncryption:
    """The content encryption of a header. Raises MalformedToken where it, or compression, is not accepted."""
    name = header.members.get("enc")
    if not isinstance(name, str) or name not in allowed:
        raise MalformedToken(f"enc is {shown(name)}, which is not among those accepted")
    if "zip" in header.members and not (inflate and header.members["zip"] == "DEF"):
        raise MalformedToken("the token is compressed (zip), and nobody asked for that")
    if "zip" in header.unprotected:
        raise MalformedToken("zip belongs in the protected header (RFC 7516 4.1.3)")
    return CONTENT_ENCRYPTION[name]


def check_sizes(content: ContentEncryption, iv: bytes, tag: bytes) -> None:
    """Raise MalformedToken for sizes that anybody can see are wrong, before a key is used: that may take long."""
    if len(iv) != content.iv_size or len(tag) != content.tag_size:
        raise MalformedToken(f"{content.name} has an IV of {content.iv_size} bytes and a tag of {content.tag_size}")


def content_key(key: Key, content: ContentEncryption, encrypted: bytes, header: Header) -> bytes:
    """The content key that `encrypted` holds for `key`, a random one where it does not unwrap."""
    try:
        row, material = key.opening()
    except InvalidKey as error:
        raise UnknownKey(str(error)) from None
    try:
        _fits(row, content)
    except InvalidKey as error:
        raise MalformedToken(str(error)) from None
    return row.open(row, material, content, encrypted, header.members)


def open_content(
    content: ContentEncryption, cek: bytes, sealed: tuple[bytes, bytes, bytes], aad: bytes, header: Header
) -> bytes:
    """The plaintext of (IV, ciphertext, tag), whose sizes were checked. Raises DecryptionFailed."""
    iv, ciphertext, tag = sealed
    plaintext = content.open(content, cek, iv, ciphertext, tag, aad)
    return _inflate(plaintext) if "zip" in header.members else plaintext


def _fits(row: KeyManagement, content: ContentEncryption) -> None:
    if row.header_alg and row.name != content.name:
        raise InvalidKey(f"this key is a content key for {row.name} only")


def _split(token: str | bytes, limit: int) -> list[bytes]:
    if type(token) is not str and type(token) is not bytes:
        raise MalformedToken(f"a token is text, not {type(token).__name__}")
    if len(token) > limit:  # before anything else, so that a huge token costs nothing
        raise MalformedToken(f"the token has {len(token)} bytes, at most {limit} are read")
    if not token.isascii():
        raise MalformedToken("the token holds characters outside ASCII")
    data = token.encode() if isinstance(token, str) else token
    parts = data.split(b".", 5)
    if len(parts) != 5:
        raise MalformedToken(f"not a compact JWE: its parts are {data.count(b'.') + 1}, not 5")
    return parts


def _deflate(plaintext: bytes) -> bytes:
    if len(plaintext) > MAX_INFLATED:
        raise MalformedToken(f"at most {MAX_INFLATED} bytes are compressed: no reader inflates more")
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(plaintext) + packer.flush()


def _inflate(data: bytes) -> bytes:
    unpacker: Any = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plaintext: bytes = unpacker.decompress(data, MAX_INFLATED + 1)
    except zlib.error:
        raise MalformedToken("the content is not DEFLATE (RFC 1951)") from None
    if len(plaintext) > MAX_INFLATED:
        raise MalformedToken(f"the content inflates to more than {MAX_INFLATED} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise MalformedToken("the content is not one whole DEFLATE stream")
    return plaintext
