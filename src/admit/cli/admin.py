"""`jwt admin`: users, clients, sessions and keys, straight in the service's database; no service needs to run."""

from __future__ import annotations

from typing import Final

from admit.cli.group import LazyGroup

ADMIN: Final = {
    "db": ("database:db", "The tables in the database: upgrade, check, current revision."),
    "users": ("users:users", "The service's own users."),
    "clients": ("clients:clients", "Applications that get tokens from the service."),
    "sessions": ("sessions:sessions", "The live sessions of a user."),
    "keys": ("signing_keys:keys", "The keys that sign access tokens and the revocation feed."),
    "audit": ("audit:audit", "What happened at the service, in order."),
    "doctor": ("doctor:doctor", "Check a deployment, and say how to mend what is wrong with it."),
}

admin: Final = LazyGroup("admin", ADMIN, help="Users, clients, sessions and keys of a service, in its database.")
