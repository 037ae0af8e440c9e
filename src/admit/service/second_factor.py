"""The second factor where it is asked for: after the right password, each try counted, and a right code used up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from admit.errors import AdmitError, InvalidGrant, MfaRequired, TooManyRequests
from admit.service import audit, throttle, totp

if TYPE_CHECKING:
    from admit.service.core import Core
    from admit.service.storage import Tx

_REFUSED: Final[dict[throttle.Place, str]] = {
    "login": "login.failed",
    "home": "login.failed",
    "password": "user.password_refused",
}


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
    found = totp.tried(tx, core, sub, code, place)
    if isinstance(found, TooManyRequests):
        throttle.given_back(tx, attempt)
        return found
    if isinstance(found, InvalidGrant):
        audit.record(tx, _REFUSED[place], detail="second factor", **told)
        return found
    if found is totp.Method.RECOVERY:
        audit.record(tx, "login.recovery_code", **told)
    return None
