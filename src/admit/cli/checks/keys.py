"""The keys: who can read the master key, whether it opens what is stored, and whether the schedule is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from sqlalchemy import exists, select

from admit.cli.checks.finding import Deployment, Finding, Skip, failure, mode, ok
from admit.clock import system_clock
from admit.errors import AdmitError
from admit.keyring.lifecycle import State
from admit.service import keys, keystore, token_secrets
from admit.service.master import master_keys
from admit.service.schema import secrets

_LATE: Final = 600.0  # seconds: a service takes a step within a minute of its being due


def master(deployment: Deployment) -> Iterator[Finding]:
    """The file of the master key: its mode, its owner, and that it is the one that wrapped what is stored."""
    path = deployment.settings.master_key
    if not path.is_file():
        yield failure(
            f"the master key file {path} is not there",
            "bring it back from its backup; without it no stored key opens, and none is ever made up beside a database",
        )
        return
    if path.stat().st_mode & 0o077:
        yield failure(f"the master key file {path} has mode {mode(path)}: others may read it", f"chmod 600 {path}")
    elif os.geteuid() not in (0, path.stat().st_uid):
        yield failure(f"the master key file {path} belongs to somebody else", "run as the service's own user")
    else:
        yield ok(f"{path} is its owner's alone")
    storage = deployment.tables
    if not storage.read(lambda tx: tx.execute(select(exists().where(secrets.c.id > 0))).scalar()):
        raise Skip("nothing is stored under it yet")
    try:
        given = master_keys(path, storage, needed=True)
        storage.read(lambda tx: token_secrets.read(tx, given, deployment.settings.policy))
        yield ok("it opens what is stored")
    except AdmitError as error:
        yield failure(str(error), "give the service the master key that this database was made with")


def schedule(deployment: Deployment) -> Iterator[Finding]:
    """For each use and algorithm: one key signs, a standby is published, nothing is overdue."""
    policy = deployment.settings.policy
    listed = deployment.tables.read(lambda tx: keys.listed(tx, keystore.timing(tx, policy)))
    if not listed:
        raise Skip("there are no keys yet")
    now = system_clock()
    for use, alg in sorted({(key.use, key.alg) for key in listed if key.state in _ALIVE}):
        of = [key for key in listed if (key.use, key.alg) == (use, alg)]
        active = [key for key in of if key.state == State.ACTIVE]
        if not any(key.state == State.PENDING for key in of):
            yield failure(
                f"{use} {alg}: no standby is published; in an emergency verifiers would know no successor",
                "let the service run: it adds one within a minute; see its log where it does not",
            )
        late = [key for key in active if key.next_at is not None and now - key.next_at > _LATE]
        for key in late:
            yield failure(
                f"{use} {alg}: the rotation is overdue by {(now - (key.next_at or now)) / 3600:.1f} h",
                "let the service run: it rotates by itself; or `jwt admin keys rotate`",
            )
        if active and not late:
            until = min((key.next_at or now) - now for key in active) / 86400
            yield ok(f"{use} {alg}: signs, and is rotated in {until:.1f} days")
    for use in (keystore.ACCESS, keystore.FEED):
        if not any(key.use == use and key.state == State.ACTIVE for key in listed):
            yield failure(
                f"no {use} key is active: nothing can be signed", "start the service: it makes what is missing"
            )


_ALIVE: Final = frozenset((State.PENDING, State.ACTIVE))
