"""The second factor where it is asked for: after the right password, each try counted, and a right code used up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from admit.errors import AdmitError, InvalidGrant, MfaRequired
from admit.service import audit, throttle, totp

if TYPE_CHECKING:
    from admit.service.core import Core
    from admit.service.storage import Tx

_REFUSED: Final[dict[throttle.Place, str]] = {"login": "login.failed", "password": "user.password_refused"}


def refusal(
    tx: Tx,
    core: Core,
    attempt: throttle.Attempt,
    sub: str,
    code: str | None,
    place: throttle.Place,
    told: dict[str, str],
) -> AdmitError | None:
    """Why the second factor lets nobody pass; None where it does. What is written here stays, either way.

    The caller holds the user's row: tries come one by one. told: what the audit trail says of it.
    """
    if code is None:
        throttle.given_back(tx, attempt)
        return MfaRequired("the user has a second factor, and the password came without its code")
    left = throttle.second_factor(tx, core, sub, place)
    if left:
        throttle.given_back(tx, attempt)
        return throttle.refused(left)
    method = totp.used(tx, core.master, sub, code)
    if method is None:
        audit.record(tx, _REFUSED[place], detail="second factor", **told)
        return InvalidGrant("the second factor's code is wrong, too old, or was used before")
    throttle.passed(tx, core, sub, place)
    if method is totp.Method.RECOVERY:
        audit.record(tx, "login.recovery_code", **told)
    return None
