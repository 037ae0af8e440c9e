"""/healthz, /readyz, /metrics: for those who run the service."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from starlette.responses import Response

from admit.server.errors import NO_STORE, answer, refusal
from admit.server.metrics import CONTENT_TYPE
from admit.server.token import address

if TYPE_CHECKING:
    from starlette.requests import Request

    from admit.server.endpoint import Context


async def healthz(context: Context, request: Request) -> Response:  # noqa: ARG001
    """The process answers; nothing else is asked, so that a database outage does not make every process restart."""
    return answer({"status": "ok"})


async def readyz(context: Context, request: Request) -> Response:  # noqa: ARG001
    """The service can work: database, schema and keys; else 503."""
    await context.calls.ready()
    return answer({"status": "ready"})


async def metrics(context: Context, request: Request) -> Response:
    """Prometheus' text format, on loopback only: how many logins fail is nobody else's business."""
    if not _loopback(address(request)):
        return refusal(404, "not_found", "there is nothing here")
    return Response(context.metrics.exposition(), 200, NO_STORE, CONTENT_TYPE)


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
