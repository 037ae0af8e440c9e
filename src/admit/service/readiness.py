"""Whether a service can work, one dependency at a time: which is down is told, and nothing that helps a stranger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from admit.errors import ConfigurationError, KeysUnavailable, Unavailable
from admit.service import migrations

if TYPE_CHECKING:
    from admit.service.core import Core

UP: Final = "ok"
DOWN: Final = "down"
UNKNOWN: Final = "unknown"
"""What it needs is down, so nobody knows."""
DEPENDENCIES: Final = ("database", "schema", "master_key", "keys", "follower")


def readiness(core: Core) -> dict[str, str]:
    """Each of the `DEPENDENCIES`, in the order in which one needs the other, as `ok`, `down` or `unknown`."""
    down = _first_down(core)
    if down is None:
        return dict.fromkeys(DEPENDENCIES, UP)
    place = DEPENDENCIES.index(down)
    return {
        name: UP if index < place else DOWN if index == place else UNKNOWN for index, name in enumerate(DEPENDENCIES)
    }


def _first_down(core: Core) -> str | None:
    try:
        core.write(lambda _: None)  # a database that only reads would answer every login with an error
        migrations.must_be_head(core.read(lambda tx: migrations.current(tx.connection)))
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
