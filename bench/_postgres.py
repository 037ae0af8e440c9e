"""The tests' PostgreSQL for measurements: nothing made faster than it is, on a real disk or in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.helpers.postgres import Postgres, missing

MEMORY = Path("/dev/shm")


@contextmanager
def postgres(parent: Path | None = None) -> Iterator[Postgres | None]:
    """A running server with PostgreSQL's own settings (fsync, synchronous_commit); None where there is none."""
    if why := missing():
        print(why)
        yield None
        return
    server = Postgres(parent, settings=())
    try:
        server.start()
        yield server
    finally:
        server.close()
