"""Metrics for Prometheus. Labels are rows of our own tables only: never a name, an address, a client's word or a token."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from admit.clock import monotonic, system_clock
from admit.errors import StorageUnavailable
from admit.keyring.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from admit.service.facade import TokenService
    from admit.service.results import AuditEvent, SigningKey

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_FAILURES: Final = ("busy", "pool", "away", "error", "retried")


class _Counts:
    """What one process has counted: another one, forked amid a count, would wait for its lock for ever."""

    def __init__(self, look: Callable[[], Iterable[Metric]]) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter("admit_http_requests", "Requests answered.", ("endpoint", "status"), registry=registry)
        self.seconds = Histogram(
            "admit_http_request_seconds",
            "Seconds from the request's head to its answer.",
            ("endpoint",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.outcomes = Counter(
            "admit_outcomes",
            "What requests came to: ok, the code of an error, or refused where it has none.",
            ("endpoint", "outcome"),
            registry=registry,
        )
        self.events = Counter("admit_audit_events", "Events of the audit trail.", ("event",), registry=registry)
        self.transactions = Histogram(
            "admit_database_seconds",
            "Seconds in the database, waiting for a connection or a commit included.",
            ("operation", "outcome"),
            buckets=_SECONDS,
            registry=registry,
        )
        registry.register(_Now(look))
        self.children: dict[tuple[str, int, str], tuple[Counter, Histogram, Counter]] = {}


class Metrics:
    """One registry for one app in each process, so that two apps in one process do not mix.

    hashing: (passwords that are hashed now, that wait for it). followers: requests that wait for the feed.
    """

    def __init__(
        self, service: TokenService, *, followers: Callable[[], float], hashing: Callable[[], tuple[int, int]]
    ) -> None:
        self._service, self._followers, self._hashing = service, followers, hashing
        self._processes: dict[int, _Counts] = {}

    def watch(self) -> None:
        """Count what the service itself does, too. For one app in a process."""
        self._service.on_audit(self._heard)
        self._service._storage.around = self._transaction

    def done(self, endpoint: str, status: int, outcome: str, seconds: float) -> None:
        """Count one answered request; `endpoint` and `outcome` are our own words, so the labels stay bounded."""
        here = self._here()
        children = here.children.get((endpoint, status, outcome))
        if children is None:
            children = (
                here.requests.labels(endpoint, str(status)),
                here.seconds.labels(endpoint),
                here.outcomes.labels(endpoint, outcome),
            )
            here.children[endpoint, status, outcome] = children
        children[0].inc()
        children[1].observe(seconds)
        children[2].inc()

    def collect(self) -> list[Metric]:
        """What this process has counted, and how it stands now."""
        return list(self._here().registry.collect())

    def _here(self) -> _Counts:
        pid = os.getpid()
        return self._processes.get(pid) or self._processes.setdefault(pid, _Counts(self._now))

    def _heard(self, event: AuditEvent) -> None:
        self._here().events.labels(event.event).inc()

    @contextmanager
    def _transaction(self, operation: str) -> Iterator[None]:
        begun, outcome = monotonic(), "ok"
        try:
            yield
        except StorageUnavailable:
            outcome = "failed"
            raise
        finally:
            self._here().transactions.labels(operation, outcome).observe(monotonic() - begun)

    def _now(self) -> Iterator[Metric]:
        at_work, waiting = self._hashing()
        storage = self._service._storage
        in_use, most = storage.pool()
        for name, text, value in (
            ("admit_feed_followers", "Requests waiting for the revocation feed to move.", self._followers()),
            (
                "admit_feed_age_seconds",
                "Seconds since this process last read the revocations.",
                self._service.feed_age(),
            ),
            ("admit_feed_entries", "Revocations in force, as this process knows.", self._service.feed_entries()),
            ("admit_password_hashes", "Passwords that are hashed at this moment.", at_work),
            ("admit_password_hashes_waiting", "Logins that wait for their password to be hashed.", waiting),
            ("admit_database_connections", "Connections of this process's pool at work.", in_use),
            ("admit_database_connections_most", "Connections that this process's pool can have.", most),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        failures = CounterMetricFamily(
            "admit_database_failures", "What went wrong in the database; retried: nobody noticed.", labels=("kind",)
        )
        for kind in _FAILURES:
            failures.add_metric((kind,), storage.failures[kind])
        yield failures


class _Now(Collector):
    """What is looked up when it is asked for."""

    def __init__(self, look: Callable[[], Iterable[Metric]]) -> None:
        self._look = look

    def collect(self) -> Iterable[Metric]:
        return self._look()

    def describe(self) -> Iterable[Metric]:
        return ()  # or the registry would ask at once, before the service is whole


def key_schedule(keys: Sequence[SigningKey]) -> list[Metric]:
    """How many keys stand in which state, and the seconds until the one that signs is due to stop."""
    states = GaugeMetricFamily("admit_keys", "Keys, by where they stand.", labels=("use", "alg", "state"))
    due = GaugeMetricFamily(
        "admit_key_rotation_seconds",
        "Seconds until the signing key is due to be rotated; below zero: overdue.",
        labels=("use", "alg"),
    )
    for use, alg in sorted({(key.use, key.alg) for key in keys}):
        of = [key for key in keys if (key.use, key.alg) == (use, alg)]
        for state in State:
            states.add_metric((use, alg, state), sum(key.state == state for key in of))
        for key in of:
            if key.state == State.ACTIVE and key.next_at is not None:
                due.add_metric((use, alg), key.next_at - system_clock())
    return [states, due]


def exposition(metrics: Mapping[str, Sequence[Metric]], common: Sequence[Metric] = ()) -> bytes:
    """Prometheus' text format. metrics: of each worker, by its number; one alone has no label for it."""
    families: dict[str, Metric] = {}
    for worker, own in metrics.items():
        for metric in own:
            family = families.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
            for name, labels, value, *_ in metric.samples:
                family.add_sample(name, {**labels, "worker": worker} if worker else labels, value)
    registry = CollectorRegistry()
    registry.register(_Now(lambda: [*families.values(), *common]))
    return generate_latest(registry)
