"""What was cut off early: hashed entries, and the signed page that carries them.

    revoke -> Entry -> Page.sign -> GET {issuer}/revocations?since=SEQ -> Page.read -> RevocationSet.apply -> check

A page is a compact JWS of its own typ under a key that signs nothing else. Both ends go by this file: a token service
writes pages, a resource server follows them, and a service's own verifiers ask a RevocationSet fed from the database.
"""

from __future__ import annotations

import hashlib
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Final, Literal, get_args

import msgspec

from admit.errors import InvalidClaim, MalformedToken, WrongIssuer
from admit.jose import jws
from admit.jose.encoding import b64url_decode, b64url_encode, json_bytes, json_object, prepare

if TYPE_CHECKING:
    from admit.jose.keys import Key
    from admit.jose.keyset import KeySet

EntryKind = Literal["jti", "sid", "sub", "client", "kid"]
"""What can be cut off: one token, a session, a subject below an epoch, a client, a key."""

KINDS: Final[tuple[EntryKind, ...]] = get_args(EntryKind)
FEED_TYP: Final = "revocations+jwt"
MAX_PAGE: Final = 2 * 1024 * 1024
"""Bytes of one signed page; an entry takes about 60 bytes."""
PAGE_ENTRIES: Final = 200
"""How many entries a service puts into one page, or twice as many; where there are more, the page says so."""
_DIGEST: Final = 12  # bytes: 16 characters, and 2^96 against a stranger's token that is cut off by chance


def digest(kind: EntryKind, value: str) -> bytes:
    """The CRC-32 of a value, and the truncated SHA-256 of kind and value.

    The checksum costs a fifth of the hash, and mostly shows that nothing of the sort was cut off. Of an id that a feed's
    reader does not hold it learns 32 bits, of the 144 of a session or a token.
    """
    raw = value.encode("utf-8", "surrogatepass")
    hashed = hashlib.sha256(kind.encode() + b"\0" + raw, usedforsecurity=False).digest()
    return zlib.crc32(raw).to_bytes(4) + hashed[: _DIGEST - 4]


_Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Entry(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """One thing cut off; on the wire an array. exp: when its last token is over, in seconds since 1970; None: never."""

    kind: EntryKind
    digest: str
    """Base64url of `digest(kind, value)`."""
    seq: _Whole
    exp: _Whole | None
    epoch: _Whole | None = None
    """For `sub` alone, and there required: tokens whose epoch claim is lower, or missing, are cut off."""

    @classmethod
    def of(cls, kind: EntryKind, value: str, *, seq: int, exp: int | None, epoch: int | None = None) -> Entry:
        """The entry for a jti, sid, sub, client_id or kid."""
        return cls(kind, b64url_encode(digest(kind, value)).decode("ascii"), seq, exp, epoch)


class Page(msgspec.Struct, frozen=True, kw_only=True, rename={"since": "from"}):
    """One answer of a feed: what came after the number `since`, up to and including the number `to`.

    feed: an id drawn anew whenever the numbers may have gone back (a restored database). full: start from nothing, not
    from what is already known; `since` is then 0. more: ask for the next page at once, what is known is not complete
    before. iat: seconds since 1970, when the feed's key signed; it alone says how fresh the answer is.
    """

    iss: str
    feed: str
    since: _Whole
    to: _Whole
    iat: _Whole
    entries: tuple[Entry, ...] = ()
    full: bool = False
    more: bool = False

    def sign(self, key: Key) -> str:
        """The page as a compact JWS."""
        return jws.sign(key, json_bytes(msgspec.to_builtins(self)), typ=FEED_TYP)

    @classmethod
    def read(cls, answer: bytes, keys: KeySet, issuer: str) -> Page:
        """The page in an answer whose signature holds and that is this issuer's.

        Raises MalformedToken, WrongType, UnknownKey, BadSignature, InvalidClaim or WrongIssuer; what is not understood
        whole is refused whole, since a skipped entry would let its token pass.
        """
        page = _page(jws.verify(answer, keys, typ=FEED_TYP, limit=MAX_PAGE).payload)
        if page.iss != issuer:
            raise WrongIssuer("the revocation page is another issuer's")
        if not 0 <= page.since <= page.to or (page.full and page.since):
            raise InvalidClaim("the revocation page's numbers contradict each other", "to")
        for entry in page.entries:
            if not page.since < entry.seq <= page.to or (entry.kind == "sub") != (entry.epoch is not None):
                raise InvalidClaim("an entry of the revocation page has a number or an epoch that cannot be", "entries")
            if len(b64url_decode(entry.digest.encode())) != _DIGEST:
                raise MalformedToken("an entry of the revocation page has a hash of the wrong length")
        return page


prepare(Page)
_decode: Final = msgspec.json.Decoder(Page).decode


def _page(payload: bytes) -> Page:
    """What a page's payload says, read as strictly as any JSON. Raises MalformedToken or InvalidClaim."""
    # Read at once as what it should be, it takes a quarter of the memory; and where it is the same bytes when written anew, nothing
    # was passed over unseen: no member twice, none unknown.
    with suppress(ValueError, RecursionError, OverflowError):
        page = _decode(payload)
        if msgspec.json.encode(page) == payload:
            return page
    try:
        return msgspec.convert(json_object(payload), Page)
    except msgspec.ValidationError:
        raise InvalidClaim("the revocation page has members that are missing, of the wrong type, or unknown") from None
