"""/healthz, /readyz, /metrics: for those who run the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from admit.errors import Unavailable
from admit.server.errors import NO_STORE, answer, refusal
from admit.server.metrics import CONTENT_TYPE, exposition, key_schedule
from admit.server.proxy import within
from admit.server.token import address

if TYPE_CHECKING:
    from starlette.requests import Request

    from admit.server.endpoint import Context


async def healthz(context: Context, request: Request) -> Response:  # noqa: ARG001
    """The process answers; nothing else is asked, so that a database outage does not make every process restart."""
    return answer({"status": "ok"})


async def readyz(context: Context, request: Request) -> Response:  # noqa: ARG001
    """Whether the service can work, and which dependency is down where it cannot (503); while it ends, it cannot."""
    checks = await context.calls.readiness()
    status = "stopping" if context.draining.on else "ready" if set(checks.values()) == {"ok"} else "unavailable"
    body: dict[str, object] = {"status": status, "checks": checks}
    if status == "ready":
        return answer(body)
    return answer(body, 503, {**NO_STORE, "Retry-After": "1"})


async def metrics(context: Context, request: Request) -> Response:
    """Prometheus' text format, for the networks it is meant for: how many logins fail is nobody else's business."""
    if not within(address(request), context.metrics_from):
        return refusal(404, "not_found", "there is nothing here")
    siblings = context.siblings
    own = {str(siblings.number) if siblings else "": context.metrics.collect()}
    others = await siblings.ask() if siblings else {}
    try:
        schedule = key_schedule(await context.calls.keys.list())
    except Unavailable:
        schedule = []  # the database is away: what this process has counted says so
    return Response(exposition(own | others, schedule), 200, NO_STORE, CONTENT_TYPE)
