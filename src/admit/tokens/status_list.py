"""Token Status Lists: one number for each token, packed and compressed, in a signed token (draft-ietf-oauth-status-list).

    an access token says {"status": {"status_list": {"idx": 7, "uri": U}}}
    GET U answers a JWT of type statuslist+jwt with sub U, and the status of that token at place 7: 0 is valid

Both ends go by this file: a service signs lists, a resource server reads them. Nothing but 0 is ever valid here.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import msgspec

from admit.errors import ExpiredToken, ImmatureToken, InvalidClaim, MalformedToken, WrongIssuer
from admit.jose import jws
from admit.jose.encoding import b64url_decode, b64url_encode, json_bytes, json_object, prepare
from admit.tokens.claims import NumericDate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from admit.jose.keys import Key
    from admit.jose.keyset import KeySet

STATUS_LIST_TYP: Final = "statuslist+jwt"
MEDIA_TYPE: Final = "application/statuslist+jwt"
VALID, INVALID, SUSPENDED = 0, 1, 2
"""The registered statuses (7.1). All others mean what an application says, which is not "valid"."""
BITS: Final = (1, 2, 4, 8)
MAX_LIST: Final = 2 * 1024 * 1024
"""Bytes of an inflated list: 16 million tokens of one bit. Zeros inflate a thousandfold, hence the cap."""
_SKEW: Final = 60.0  # seconds by which the issuer's clock may be ahead


class Reference(NamedTuple):
    """Where a token's status stands: the place in a list, and the list's URI (6.2)."""

    idx: int
    uri: str

    @classmethod
    def of(cls, claims: Mapping[str, Any]) -> Reference | None:
        """The reference in a token's claims; None where the token has no status list. Raises InvalidClaim."""
        status = claims.get("status")
        if status is None and "status" not in claims:
            return None
        if not isinstance(status, dict):
            raise InvalidClaim("the claim status is not an object", "status")
        if "status_list" not in status:
            return None
        member = status["status_list"]
        idx, uri = (member.get("idx"), member.get("uri")) if isinstance(member, dict) else (None, None)
        if type(idx) is not int or idx < 0 or not isinstance(uri, str) or not uri:
            raise InvalidClaim("the claim status has no idx and uri as a status list wants them", "status")
        return cls(idx, uri)

    def claim(self) -> dict[str, object]:
        """The value of the claim `status`."""
        return {"status_list": {"idx": self.idx, "uri": self.uri}}


class StatusList(NamedTuple):
    """The statuses of many tokens, `bits` each, from the least significant bit of the first byte on (4.1)."""

    bits: int
    data: bytes

    @classmethod
    def of(cls, statuses: Mapping[int, int], size: int, bits: int = 1) -> StatusList:
        """A list of `size` places, at each place the status given or 0.

        Raises InvalidClaim for what does not fit: a place outside, a status that `bits` cannot say.
        """
        if bits not in BITS or size < 1 or size * bits % 8:
            raise InvalidClaim("a status list has 1, 2, 4 or 8 bits a token, and whole bytes", "bits")
        data, each = bytearray(size * bits // 8), 8 // bits
        for place, status in statuses.items():
            if not 0 <= place < size or not 0 <= status < 1 << bits:
                raise InvalidClaim("a place or a status does not fit into the status list", "lst")
            data[place // each] |= status << place % each * bits
        return cls(bits, bytes(data))

    @classmethod
    def decode(cls, member: object, limit: int = MAX_LIST) -> StatusList:
        """The list in the claim `status_list` (4.2), of at most `limit` bytes. Raises InvalidClaim or MalformedToken."""
        bits, lst = (member.get("bits"), member.get("lst")) if isinstance(member, dict) else (None, None)
        if type(bits) is not int or bits not in BITS or not isinstance(lst, str):
            raise InvalidClaim("a status list is an object with bits (1, 2, 4 or 8) and lst", "status_list")
        return cls(bits, _inflate(b64url_decode(lst.encode("utf-8", "replace")), limit))

    def encode(self) -> dict[str, object]:
        """The claim `status_list`."""
        return {"bits": self.bits, "lst": b64url_encode(zlib.compress(self.data, 9)).decode("ascii")}

    def __len__(self) -> int:
        return len(self.data) * 8 // self.bits

    def status(self, idx: int) -> int:
        """The status at a place. Raises InvalidClaim outside the list: nothing is known of such a token (8.3)."""
        if not 0 <= idx < len(self):
            raise InvalidClaim("the token's place is outside its status list", "status")
        each = 8 // self.bits
        return self.data[idx // each] >> idx % each * self.bits & (1 << self.bits) - 1

    def __repr__(self) -> str:
        return f"<StatusList of {len(self)}>"


class _Claims(msgspec.Struct, frozen=True):
    """What a Status List Token claims (5.1); further claims are passed over."""

    sub: str
    iat: NumericDate
    status_list: dict[str, Any]
    iss: str | msgspec.UnsetType = msgspec.UNSET
    exp: NumericDate | msgspec.UnsetType = msgspec.UNSET
    nbf: NumericDate | msgspec.UnsetType = msgspec.UNSET
    ttl: Annotated[int, msgspec.Meta(gt=0)] | Annotated[float, msgspec.Meta(gt=0)] | msgspec.UnsetType = msgspec.UNSET


prepare(_Claims)


class StatusListToken(NamedTuple):
    """What a Status List Token says. Times are seconds since 1970, ttl is in seconds; None: it does not say."""

    uri: str
    iat: float
    statuses: StatusList
    exp: float | None = None
    ttl: float | None = None
    key: Key | None = None
    """The key that signed it; None where nobody has yet."""

    def sign(self, key: Key, issuer: str) -> str:
        """The token as a compact JWS, in the name of `issuer`."""
        claims: dict[str, object] = {"iss": issuer, "sub": self.uri, "iat": int(self.iat)}
        claims |= {name: int(value) for name in ("exp", "ttl") if (value := getattr(self, name)) is not None}
        return jws.sign(key, json_bytes({**claims, "status_list": self.statuses.encode()}), typ=STATUS_LIST_TYP)

    @classmethod
    def read(
        cls, token: bytes, keys: KeySet, *, uri: str, issuer: str, now: float, limit: int = MAX_LIST
    ) -> StatusListToken:
        """The token found at `uri`, if its signature holds and each of its claims does (8.3).

        issuer: its iss, where it has one (the draft does not ask for it). now: seconds since 1970. limit: bytes, inflated.
        Raises MalformedToken, WrongType, UnknownKey, BadSignature, InvalidClaim, WrongIssuer, ExpiredToken, ImmatureToken.
        """
        signed = jws.verify(token, keys, typ=STATUS_LIST_TYP, limit=token_limit(limit))
        payload = json_object(signed.payload)
        try:
            claims = msgspec.convert(payload, _Claims)
        except msgspec.ValidationError:
            raise InvalidClaim("the status list token lacks a claim, or one has the wrong type") from None
        if claims.sub != uri:
            # Or the list of other tokens, signed by the same issuer, could stand in for this one.
            raise InvalidClaim("the status list token is of another list (sub)", "sub")
        if claims.iss is not msgspec.UNSET and claims.iss != issuer:
            raise WrongIssuer("the status list token is another issuer's")
        if not claims.iat <= now + _SKEW:
            raise ImmatureToken(f"the status list token was signed {claims.iat - now:.0f} s in the future")
        if claims.nbf is not msgspec.UNSET and not claims.nbf <= now + _SKEW:  # RFC 7519 4.1.5
            raise ImmatureToken(f"the status list token becomes valid in {claims.nbf - now:.0f} s (nbf)")
        if claims.exp is not msgspec.UNSET and not now < claims.exp:
            raise ExpiredToken(f"the status list token expired {now - claims.exp:.0f} s ago")
        statuses = StatusList.decode(claims.status_list, limit)
        return cls(claims.sub, claims.iat, statuses, claims.exp or None, claims.ttl or None, signed.key)


def token_limit(limit: int) -> int:
    """Bytes of a token whose list has `limit` bytes and does not shrink: base64url twice, and the rest of the token."""
    return limit * 16 // 9 + 4096


def _inflate(data: bytes, limit: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        found = unpacker.decompress(data, limit + 1)
    except zlib.error:
        raise MalformedToken("lst is not ZLIB-compressed (RFC 1950)") from None
    if len(found) > limit:
        raise MalformedToken(f"lst inflates to more than {limit} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise MalformedToken("lst is not one whole ZLIB stream")
    return found
