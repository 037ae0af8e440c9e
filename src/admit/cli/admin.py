"""`jwt admin`: users, clients, sessions and keys, straight in the service's database; no service needs to run."""

from __future__ import annotations

from typing import Final

from admit.cli.group import LazyGroup

ADMIN: Final = {
    "db": "admit.cli.database:db",
    "users": "admit.cli.users:users",
    "clients": "admit.cli.clients:clients",
    "sessions": "admit.cli.sessions:sessions",
    "keys": "admit.cli.signing_keys:keys",
    "audit": "admit.cli.audit:audit",
}

admin: Final = LazyGroup("admin", ADMIN, help="Users, clients, sessions and keys of a service, in its database.")
