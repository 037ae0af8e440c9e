"""/second-factor: a user's own second factor, by a first-party token for the issuer (or the page's cookie), soon after a login.

Whoever finds a session open, or takes a token out of one, has minutes at most to put a second factor of his own upon it; and
without a code of it, none to take one away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from anyio import to_thread
from starlette.responses import Response

from admit.errors import InvalidRequest, StaleAuthentication
from admit.server.cookies import read_subject
from admit.server.errors import NO_STORE, answer
from admit.server.parsing import RefusedRequest, read_body

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.requests import Request

    from admit.server.endpoint import Context

T = TypeVar("T")
RECENT: Final = 300
"""Seconds that the login may be ago (RFC 9470)."""


async def show(context: Context, request: Request) -> Response:
    """Whether logins ask for it."""
    who = await read_subject(context, request)
    return answer({"enrolled": await context.calls.totp.enrolled(who.sub)})


async def begin(context: Context, request: Request) -> Response:
    """A fresh seed, as a URI and as a picture of it for the authenticator app; nothing is asked for until it is confirmed."""
    sub = await _recent(context, request)
    enrollment = await _explained(context.calls.totp.enroll(sub))
    return answer({"uri": enrollment.uri, "svg": await to_thread.run_sync(enrollment.svg)})


async def confirm(context: Context, request: Request) -> Response:
    """Turn it on with a first code; the answer has the recovery codes, this once."""
    sub, code = await _recent_with_code(context, request)
    return answer({"recovery_codes": await _explained(context.calls.totp.confirm(sub, code))})


async def renew(context: Context, request: Request) -> Response:
    """Fresh recovery codes in place of the old ones, by a code."""
    sub, code = await _recent_with_code(context, request)
    return answer({"recovery_codes": await _explained(context.calls.totp.recovery_codes_by(sub, code))})


async def remove(context: Context, request: Request) -> Response:
    """Take it away, by a code."""
    sub, code = await _recent_with_code(context, request)
    await _explained(context.calls.totp.remove_by(sub, code))
    return Response(None, 204, NO_STORE)


async def _explained(call: Awaitable[T]) -> T:
    """What the call answers; the user has to know why it cannot be."""
    try:
        return await call
    except InvalidRequest as error:
        raise RefusedRequest(str(error)) from None


async def _recent_with_code(context: Context, request: Request) -> tuple[str, str]:
    """The subject of `_recent`, and the code in the body."""
    sub = await _recent(context, request)
    return sub, (await read_body(request, json=True)).required("otp")


async def _recent(context: Context, request: Request) -> str:
    """The subject, who logged in a moment ago. Raises StaleAuthentication, and as `read_subject`."""
    who = await read_subject(context, request)
    if who.auth_time is None or context.verifier.clock() - who.auth_time > RECENT:
        raise StaleAuthentication("a second factor is looked after soon after a login alone", RECENT)
    return who.sub
