"""Metrics for Prometheus. Labels are endpoints and statuses only: never a name, an address or a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """One registry for one app, so that two apps in one process do not mix."""

    def __init__(self, followers: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "admit_http_requests", "Requests answered.", ("endpoint", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "admit_http_request_seconds",
            "Seconds from the request's head to its answer.",
            ("endpoint",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        gauge = Gauge(
            "admit_feed_followers", "Requests waiting for the revocation feed to move.", registry=self._registry
        )
        gauge.set_function(followers)
        self._children: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def done(self, endpoint: str, status: int, seconds: float) -> None:
        """Count one answered request; `endpoint` is a row of our own table, so the labels stay bounded."""
        children = self._children.get((endpoint, status))
        if children is None:
            children = self._requests.labels(endpoint, str(status)), self._seconds.labels(endpoint)
            self._children[endpoint, status] = children
        children[0].inc()
        children[1].observe(seconds)

    def exposition(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self._registry)
