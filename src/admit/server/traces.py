"""Traces: OpenTelemetry's spans for requests and database transactions, where this process has a tracer provider.

Attributes are rows of our own tables, codes and numbers: no path, query, header, address, name, statement or message of an
exception. Who configures the SDK (the application, or `opentelemetry-instrument`) decides where spans go.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from admit import __version__
from admit.errors import AdmitError, StorageUnavailable
from admit.server import logs
from admit.server.proxy import within

try:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:  # the extra `otel` is not installed
    _INSTALLED = False
else:
    _INSTALLED = True

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from ipaddress import IPv4Network, IPv6Network

    from opentelemetry.context import Context
    from opentelemetry.trace import SpanContext, Tracer, TracerProvider
    from starlette.requests import Request
    from starlette.responses import Response

    from admit.server.endpoint import Answered
    from admit.service.facade import TokenService

_FLUSH: Final = 2000  # milliseconds for the last spans to leave when the process ends


@dataclass(frozen=True, slots=True)
class Traces:
    """believed: the networks whose `traceparent` is continued; whoever calls could otherwise have every request recorded."""

    tracer: Tracer
    believed: Sequence[IPv4Network | IPv6Network]

    async def request(
        self, method: str, route: str, request: Request, answer: Callable[[Request], Awaitable[Answered]]
    ) -> Response:
        """The answer to a request, in a span. Below a span of the host application's it is no server's span itself."""
        outer = trace.get_current_span().get_span_context().is_valid
        caller = None if outer else _caller(request)
        remote = caller if caller is not None and _is_within(request, self.believed) else None
        with self.tracer.start_as_current_span(
            f"{method} {route}",
            context=None if remote is None else _below(remote),
            kind=trace.SpanKind.INTERNAL if outer else trace.SpanKind.SERVER,
            attributes={"http.request.method": method, "http.route": route},
            links=[trace.Link(_named(caller))] if caller is not None and remote is None else None,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            if (seen := logs.request.get()) is not None:
                seen.trace = trace.format_trace_id(span.get_span_context().trace_id)
            response, outcome, error = await answer(request)
            span.set_attribute("http.response.status_code", response.status_code)
            span.set_attribute("admit.outcome", outcome)
            if response.status_code >= 500:
                span.set_attribute("error.type", outcome if error is None else kind_of(error))
                span.set_status(trace.StatusCode.ERROR)
            return response

    def watch(self, service: TokenService) -> None:
        """Spans for the transactions of this service too, around whoever measures them already."""
        storage = service._storage
        if not isinstance(storage.around, _Transactions):
            storage.around = _Transactions(self.tracer, "sqlite" if storage.sqlite else "postgresql", storage.around)


@dataclass(frozen=True, slots=True)
class _Transactions:
    """`Storage.around`. The service's own threads, which nobody waits for, make no spans."""

    tracer: Tracer
    system: str
    inner: Callable[[str], AbstractContextManager[None]] | None

    @contextmanager
    def __call__(self, operation: str) -> Iterator[None]:
        measured = nullcontext() if self.inner is None else self.inner(operation)
        if not trace.get_current_span().is_recording():
            with measured:
                yield
            return
        with (
            self.tracer.start_as_current_span(
                f"{operation} {self.system}",
                kind=trace.SpanKind.CLIENT,
                attributes={"db.system.name": self.system, "db.operation.name": operation},
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
            measured,
        ):
            try:
                yield
            except Exception as error:
                # A refusal that a transaction comes to is no failure of the database.
                if isinstance(error, StorageUnavailable) or not isinstance(error, AdmitError):
                    span.set_attribute("error.type", kind_of(error))
                    span.set_status(trace.StatusCode.ERROR)
                raise


def find(believed: Sequence[IPv4Network | IPv6Network], provider: TracerProvider | None) -> Traces | None:
    """The traces of this provider, or else of the process's; None where there is none, or no package for it."""
    if not _INSTALLED:
        return None
    found = provider or trace.get_tracer_provider()
    if isinstance(found, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None  # what the API has where nobody configured anything
    return Traces(found.get_tracer("admit", __version__), believed)


def flush() -> None:
    """Send what the process's provider still holds: a worker that was forked runs no exit handlers of its parent."""
    if _INSTALLED:
        send: Callable[[int], object] | None = getattr(trace.get_tracer_provider(), "force_flush", None)
        if send is not None:
            send(_FLUSH)


def kind_of(error: BaseException) -> str:
    """An error's code, or its type: never its message."""
    return error.code if isinstance(error, AdmitError) else f"{type(error).__module__}.{type(error).__qualname__}"


def _is_within(request: Request, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    return request.client is not None and within(request.client.host, networks)


def _caller(request: Request) -> SpanContext | None:
    """The span that a request says it comes from (W3C Trace Context 3.2); two say nothing, and baggage is not read."""
    parents = request.headers.getlist("traceparent")
    if len(parents) != 1:
        return None
    carrier = {"traceparent": parents[0], "tracestate": ",".join(request.headers.getlist("tracestate"))}
    found = trace.get_current_span(TraceContextTextMapPropagator().extract(carrier)).get_span_context()
    return found if found.is_valid else None


def _named(caller: SpanContext) -> SpanContext:
    """Its ids alone: a `tracestate` is text, and a stranger's is not recorded."""
    return trace.SpanContext(caller.trace_id, caller.span_id, is_remote=True, trace_flags=caller.trace_flags)


def _below(caller: SpanContext) -> Context:
    return trace.set_span_in_context(trace.NonRecordingSpan(caller))
