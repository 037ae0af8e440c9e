"""A user's own change of password: by the old one and the second factor, slowed like a login; the end of every session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import update

from admit.errors import AdmitError, ConfigurationError, InvalidGrant, InvalidRequest
from admit.service import accounts, audit, passwords, second_factor, throttle, totp
from admit.service.schema import users
from admit.service.turns import Lane, Line

if TYPE_CHECKING:
    from admit.service.core import Core
    from admit.service.storage import Tx


def line(sub: str) -> Line:
    """Where the user waits for a turn: among those who are known, since nobody else has a session of the user's."""
    return Line(Lane.KNOWN, sub)


def change(core: Core, sub: str, old: str, new: str, *, address: str, otp: str | None) -> None:
    """Give the user another password. Whoever holds a session, a thief too, must log in again (ASVS 5.0 7.4.3)."""
    if not isinstance(core.users, accounts.BuiltInUsers):
        raise ConfigurationError("users of an own table are changed there")
    if not accounts.possible(sub):
        raise InvalidGrant("there is no user of that id")
    core.passwords.must_be_good(new, core.read(lambda tx: accounts.name_of(tx, sub)))
    if passwords.same(old, new):  # before anything is counted: it tells nobody whether the old one is right
        raise InvalidRequest("the new password is the old one")
    epoch, disabled = core.read(lambda tx: accounts.standing(tx, sub))
    attempt = throttle.admitted(core, f"sub {sub}", address)
    with core.turns.turn(line(sub)):
        attempt = throttle.count(core, attempt, sub)
        right = core.users.judge(sub, old, decoy="", renew=False) and not disabled
        renewed = core.passwords.hash(new) if right else ""
    if not right:
        core.write(lambda tx: audit.record(tx, "user.password_refused", sub=sub, address=address))
        raise InvalidGrant("the old password is wrong")

    told = {"sub": sub, "address": address}

    def swap(tx: Tx) -> AdmitError | None:
        if accounts.lock(tx, sub) != epoch:
            throttle.given_back(tx, attempt)
            return InvalidGrant("the user was cut off while changing the password")
        if totp.required(tx, sub):
            refused = second_factor.refusal(tx, core, attempt, sub, otp, "password", told)
            if refused is not None:
                return refused
        throttle.succeeded(tx, attempt, core.policy.kept)
        throttle.forgiven(tx, core, sub)
        tx.execute(update(users).where(users.c.id == sub).values(password_hash=renewed))
        accounts.raise_epoch(tx, sub, False, "user.password")
        return None

    refused = core.write(swap)
    if refused is not None:
        raise refused
