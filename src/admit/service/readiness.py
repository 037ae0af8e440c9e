"""Whether a service can work, one dependency at a time: which is down is told, and nothing that helps a stranger."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from sqlalchemy.dialects import postgresql, sqlite

from admit.clock import monotonic
from admit.errors import ConfigurationError, KeysUnavailable, Unavailable
from admit.service import migrations, rewrap
from admit.service.schema import assertions

if TYPE_CHECKING:
    from admit.service.core import Core
    from admit.service.storage import Tx

UP: Final = "ok"
DOWN: Final = "down"
UNKNOWN: Final = "unknown"
"""What it needs is down, so nobody knows."""
DEPENDENCIES: Final = ("database", "schema", "master_key", "keys", "follower")
_PERIOD: Final = 3.0  # seconds for each write: whoever asks all the time must not keep the disk busy
_ROW: Final = b"readiness"  # shorter than a digest: no client's assertion is taken for it
_KEPT: Final = 86_400_000  # milliseconds; then cleanup removes the row of a service that nobody asks any more


class Readiness:
    """Looks at what one service needs, in this process."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._written = -inf

    def look(self) -> dict[str, str]:
        """Each of the `DEPENDENCIES`, in the order in which one needs the other, as `ok`, `down` or `unknown`."""
        down = self._first_down()
        if down is None:
            return dict.fromkeys(DEPENDENCIES, UP)
        place = DEPENDENCIES.index(down)
        return {
            name: UP if index < place else DOWN if index == place else UNKNOWN
            for index, name in enumerate(DEPENDENCIES)
        }

    def must_write(self) -> None:
        """Commit a row, where that was not done within the last seconds. Raises StorageUnavailable.

        An empty transaction passes on a full disk and on a PostgreSQL that only reads, and one that is rolled back on a full disk.
        """
        if monotonic() - self._written > _PERIOD:
            self._core.write(_mark)
            self._written = monotonic()

    def _first_down(self) -> str | None:
        core = self._core
        try:
            self.must_write()
            migrations.must_be_head(core.read(lambda tx: migrations.current(tx.connection)))
            core.read(lambda tx: rewrap.must_know(tx, core.master))
            core.follower.look()
        except migrations.WrongRevision:
            return "schema"
        except ConfigurationError:
            return "master_key"  # what lies in the database is under another one
        except KeysUnavailable:
            return "keys"
        except Unavailable:
            return "database"
        return None if core.follower.follows() else "follower"


def _mark(tx: Tx) -> None:
    dialect = postgresql if tx.connection.dialect.name == "postgresql" else sqlite
    moved = {"exp": tx.now + _KEPT}  # SQLite passes over an update that changes nothing
    row = dialect.insert(assertions).values(digest=_ROW, **moved)
    tx.execute(row.on_conflict_do_update(index_elements=[assertions.c.digest], set_=moved))
