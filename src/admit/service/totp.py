"""The second factor: one-time passwords by time (TOTP, RFC 6238), and recovery codes for who lost the device.

Seeds lie wrapped under the master key, recovery codes as digests. A code is used up by compare-and-swap: nobody who saw
it over a shoulder or on the wire can use it again.
"""

from __future__ import annotations

import hmac
import re
from base64 import b32encode
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

import pyotp
from sqlalchemy import delete, insert, select, update

from admit import clock
from admit.errors import AdmitError, InvalidGrant, InvalidRequest, TooManyRequests
from admit.jose.encoding import b64url_encode
from admit.service import accounts, audit, rewrap, throttle
from admit.service.schema import recovery_codes, totp

if TYPE_CHECKING:
    from collections.abc import Callable

    import segno

    from admit.keyring.wrapping import MasterKeys
    from admit.service.core import Core
    from admit.service.storage import Tx

T = TypeVar("T")
KIND: Final = "TOTP seed"
_SEED: Final = 20  # bytes, as long as the HMAC's hash (RFC 4226 4)
_STEP: Final = 30_000  # milliseconds (RFC 6238 5.2)
_WINDOW: Final = (-1, 0, 1)  # steps: clocks differ, and people type (RFC 6238 6)
_CODES: Final = 10
_CODE: Final = 10  # bytes: 80 bits, beyond any guessing, so that a plain digest hides them
_DIGITS: Final = re.compile(r"[0-9]{6}")
_LETTERS: Final = re.compile(r"[a-z2-7]{16}")


class Method(StrEnum):
    """What a code was."""

    TOTP = "totp"
    RECOVERY = "recovery code"


@dataclass(frozen=True, slots=True)
class Enrollment:
    """A seed that waits for its first code. `uri` is for an authenticator app; it and its pictures are secrets."""

    uri: str = field(repr=False)

    def svg(self) -> str:
        """The QR code as an SVG picture."""
        out = BytesIO()
        _qr(self.uri).save(out, kind="svg", scale=4, xmldecl=False)
        return out.getvalue().decode()

    def png(self) -> bytes:
        """The QR code as a PNG picture."""
        out = BytesIO()
        _qr(self.uri).save(out, kind="png", scale=4)
        return out.getvalue()

    def text(self) -> str:
        """The QR code for a terminal."""
        out = StringIO()
        _qr(self.uri).terminal(out, compact=True)
        return out.getvalue()


class Totp:
    """Second factors of a service's users, also of an application's own: `service.totp`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def enroll(self, sub: str) -> Enrollment:
        """A fresh seed for a user, in place of one that was never confirmed; logins ask for codes from `confirm` on.

        Raises InvalidRequest for nobody, and for a user who has a second factor: remove it first.
        """
        core, seed = self._core, clock.random_bytes(_SEED)

        def change(tx: Tx) -> None:
            rewrap.hold(tx)
            _hold(tx, core, sub)
            if required(tx, sub):
                raise InvalidRequest("the user has a second factor; remove it first")
            tx.execute(delete(totp).where(totp.c.user_id == sub))
            throttle.passed(tx, core, sub, "enrollment")
            wrapped = rewrap.wrap(tx, core.master, KIND, sub, seed)
            tx.execute(insert(totp), [{"user_id": sub, "seed": wrapped, "step": 0, "created_at": tx.now}])

        core.write(change)
        user = core.read(lambda tx: accounts.name_of(tx, sub))
        host = urlsplit(core.issuer).hostname or core.issuer
        return Enrollment(pyotp.TOTP(b32encode(seed).decode()).provisioning_uri(name=user or sub, issuer_name=host))

    def confirm(self, sub: str, code: str) -> list[str]:
        """Turn the second factor on with a first code; answers the recovery codes, which are shown this once.

        Raises InvalidRequest where no seed waits for confirmation, or for a wrong code; TooManyRequests after several, since
        not everybody who may ask has seen the seed.
        """
        core = self._core

        def change(tx: Tx) -> list[str] | TooManyRequests | None:
            _hold(tx, core, sub)
            if required(tx, sub):
                return None
            left = throttle.second_factor(tx, core, sub, "enrollment")
            if left:
                return throttle.refused(left)
            if not _use_step(tx, core.master, sub, code):
                return None
            throttle.passed(tx, core, sub, "enrollment")
            tx.execute(update(totp).where(totp.c.user_id == sub).values(confirmed_at=tx.now))
            audit.record(tx, "totp.confirmed", sub=sub)
            return _new_codes(tx, sub)

        codes = core.write(change)
        if codes is None:
            raise InvalidRequest("that is not the code of a second factor that waits to be confirmed")
        if isinstance(codes, TooManyRequests):
            raise codes
        return codes

    def recovery_codes(self, sub: str) -> list[str]:
        """Fresh recovery codes in place of the old ones. Raises InvalidRequest for a user without a second factor."""

        def change(tx: Tx) -> list[str] | None:
            _hold(tx, self._core, sub)
            return _renewed(tx, sub) if required(tx, sub) else None

        codes = self._core.write(change)
        if codes is None:
            raise InvalidRequest("the user has no second factor")
        return codes

    def recovery_codes_by(self, sub: str, code: str) -> list[str]:
        """The same, as the user asks: by a code, which is used up. Raises InvalidGrant for a wrong one, TooManyRequests too."""
        return self._by_code(sub, code, lambda tx: _renewed(tx, sub))

    def enrolled(self, sub: str) -> bool:
        """Whether the user's logins ask for a second factor."""
        return self._core.read(lambda tx: required(tx, sub))

    def remove(self, sub: str) -> None:
        """Take the second factor away, with its recovery codes: a password is enough again. Raises InvalidRequest."""

        if not self._core.write(lambda tx: _removed(tx, sub)):
            raise InvalidRequest("the user has no second factor")

    def remove_by(self, sub: str, code: str) -> None:
        """The same, as the user asks: by a code, which is used up. Raises InvalidGrant for a wrong one, TooManyRequests too."""
        self._by_code(sub, code, lambda tx: _removed(tx, sub))

    def _by_code(self, sub: str, code: str, change: Callable[[Tx], T]) -> T:
        core = self._core

        def proven(tx: Tx) -> T | AdmitError:
            _hold(tx, core, sub)
            if not required(tx, sub):
                return InvalidRequest("the user has no second factor")
            found = tried(tx, core, sub, code, "change")
            if isinstance(found, InvalidGrant):
                audit.record(tx, "totp.refused", sub=sub)
            if isinstance(found, AdmitError):
                return found
            return change(tx)

        answer = core.write(proven)
        if isinstance(answer, AdmitError):
            raise answer
        return answer


def required(tx: Tx, sub: str) -> bool:
    """Whether the user's logins ask for a second factor."""
    query = select(totp.c.user_id).where(totp.c.user_id == sub, totp.c.confirmed_at.is_not(None))
    return tx.execute(query).scalar() is not None


def tried(tx: Tx, core: Core, sub: str, code: str, place: throttle.Place) -> Method | InvalidGrant | TooManyRequests:
    """What the code was, counted as a try and used up; or why not. The caller holds the user's row."""
    left = throttle.second_factor(tx, core, sub, place)
    if left:
        return throttle.refused(left)
    method = used(tx, core.master, sub, code)
    if method is None:
        return InvalidGrant("the second factor's code is wrong, too old, or was used before")
    throttle.passed(tx, core, sub, place)
    return method


def used(tx: Tx, master: MasterKeys, sub: str, code: str) -> Method | None:
    """What the code was, now used up; None for a wrong one. The caller holds the user's row, and has counted the try."""
    if _use_step(tx, master, sub, code):
        return Method.TOTP
    letters = code.lower().replace("-", "").replace(" ", "")
    if not _LETTERS.fullmatch(letters):
        return None
    gone = delete(recovery_codes).where(recovery_codes.c.id == _digest(sub, letters), recovery_codes.c.user_id == sub)
    return Method.RECOVERY if tx.execute(gone).rowcount else None


def _use_step(tx: Tx, master: MasterKeys, sub: str, code: str) -> bool:
    """Use up the time step that the code belongs to, and with it every earlier one (RFC 6238 5.2)."""
    digits = code.replace(" ", "")
    wrapped = tx.execute(select(totp.c.seed).where(totp.c.user_id == sub)).scalar()
    if wrapped is None or not _DIGITS.fullmatch(digits):
        return False
    one_time = pyotp.TOTP(b32encode(master.unwrap(KIND, sub, wrapped)).decode())
    now = tx.now // _STEP
    right = [now + by for by in _WINDOW if hmac.compare_digest(one_time.generate_otp(now + by), digits)]
    swap = update(totp).where(totp.c.user_id == sub, totp.c.step < max(right, default=0))
    return bool(right) and tx.execute(swap.values(step=max(right))).rowcount == 1


def _hold(tx: Tx, core: Core, sub: str) -> None:
    """Hold the user's row, so that no login passes between. Raises InvalidRequest for nobody."""
    if not accounts.possible(sub) or accounts.lock(tx, sub) is None:
        if not core.own_users:
            raise InvalidRequest("there is no user of that id")
        accounts.check_own_id(sub)
        accounts.add_row(tx, sub, 0)


def _removed(tx: Tx, sub: str) -> bool:
    tx.execute(delete(recovery_codes).where(recovery_codes.c.user_id == sub))
    if not tx.execute(delete(totp).where(totp.c.user_id == sub)).rowcount:
        return False
    audit.record(tx, "totp.removed", sub=sub)
    return True


def _renewed(tx: Tx, sub: str) -> list[str]:
    audit.record(tx, "totp.recovery_codes", sub=sub)
    return _new_codes(tx, sub)


def _new_codes(tx: Tx, sub: str) -> list[str]:
    tx.execute(delete(recovery_codes).where(recovery_codes.c.user_id == sub))
    codes = [b32encode(clock.random_bytes(_CODE)).decode().lower() for _ in range(_CODES)]
    tx.execute(insert(recovery_codes), [{"id": _digest(sub, code), "user_id": sub} for code in codes])
    return ["-".join(code[at : at + 4] for at in range(0, len(code), 4)) for code in codes]


def _digest(sub: str, code: str) -> str:
    return b64url_encode(sha256(f"{sub}\0{code}".encode()).digest()).decode()


def _qr(uri: str) -> segno.QRCode:
    import segno  # here: a login needs no picture

    return segno.make_qr(uri, error="m")
