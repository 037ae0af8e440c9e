"""Siblings: the workers of one supervisor, who ask each other for their metrics, each on a socket in a folder of theirs.

A scrape reaches whichever worker accepts it. Counters kept in each process, told apart by a label and added up by
Prometheus, need no shared files, keep gauges of this moment, and a worker that is replaced starts at zero as any process does.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
from prometheus_client.core import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_PATIENCE: Final = 1.0  # seconds: a worker that does not answer is left out of this scrape
_MOST: Final = 4 * 1024 * 1024  # bytes of one answer


class Siblings:
    """folder: theirs alone (0700). number: which of the `count` this one is."""

    def __init__(self, folder: Path, number: int, count: int) -> None:
        self._folder, self.number, self._count = folder, number, count
        self._server: asyncio.Server | None = None

    async def listen(self, own: Callable[[], Sequence[Metric]]) -> None:
        """Answer the others with what `own` collects."""

        async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                writer.write(_packed(own()))
                await writer.drain()
            writer.close()

        path = self._folder / str(self.number)
        path.unlink(missing_ok=True)  # of the worker whose place this one takes
        self._server = await asyncio.start_unix_server(tell, path)

    def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()

    async def ask(self) -> dict[str, list[Metric]]:
        """What the others have counted, by their number."""
        others = [number for number in range(self._count) if number != self.number]
        answers = await asyncio.gather(*(self._ask(number) for number in others))
        return {str(number): answer for number, answer in zip(others, answers, strict=True) if answer is not None}

    async def _ask(self, number: int) -> list[Metric] | None:
        try:
            async with asyncio.timeout(_PATIENCE):
                reader, writer = await asyncio.open_unix_connection(self._folder / str(number), limit=_MOST)
                try:
                    return _unpacked(await reader.read(-1))
                finally:
                    writer.close()
        except (OSError, TimeoutError, msgspec.DecodeError):
            return None


def _packed(metrics: Sequence[Metric]) -> bytes:
    return msgspec.json.encode(
        [
            (each.name, each.documentation, each.type, [(s.name, s.labels, s.value) for s in each.samples])
            for each in metrics
        ]
    )


def _unpacked(data: bytes) -> list[Metric]:
    metrics = []
    told: list[tuple[str, str, str, list[tuple[str, dict[str, str], Any]]]] = msgspec.json.decode(data)
    for name, documentation, kind, samples in told:
        metric = Metric(name, documentation, kind)
        for sample, labels, value in samples:
            metric.add_sample(sample, labels, value if value is not None else float("inf"))
        metrics.append(metric)
    return metrics
