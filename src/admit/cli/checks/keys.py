"""The keys: who can read the master key, whether it opens what is stored, and whether the schedule is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from admit.cli.checks.finding import Deployment, Finding, Skip, failure, mode, ok
from admit.clock import system_clock
from admit.errors import ConfigurationError
from admit.keyring.lifecycle import State
from admit.server.run import key_beside
from admit.service import keys, keystore, rewrap
from admit.service.master import file_of, master_keys, versions

_LATE: Final = 600.0  # seconds: a service takes a step within a minute of its being due


def master(deployment: Deployment) -> Iterator[Finding]:
    """The files of the master key, a version in each: their mode, their owner, and that they open what is stored."""
    path = deployment.settings.master_key
    files = versions(path)
    for file in files.values():
        yield _kept(file)
    storage = deployment.tables
    needed = storage.read(rewrap.versions)
    if not needed:
        raise Skip("nothing is stored under it yet")
    lacking = sorted(needed.difference(files))
    for version in lacking:
        yield failure(
            f"secrets are stored under version {version} of the master key, and its file {file_of(path, version)} is"
            " not there",
            "copy it from another host, or bring it back from its backup; without it they never open, and none is ever made up"
            " beside a database",
        )
    if lacking:
        return
    try:
        given = master_keys(path, storage, needed=True)
        storage.read(lambda tx: rewrap.try_each(tx, given))
        yield ok("it opens what is stored")
    except ConfigurationError as error:
        mend = f"give the service the master key that this database was made with{key_beside(deployment.settings)}"
        yield failure(str(error), mend)


def _kept(file: Path) -> Finding:
    """Who can read one file of the master key."""
    if file.stat().st_mode & 0o077:
        return failure(f"the master key file {file} has mode {mode(file)}: others may read it", f"chmod 600 {file}")
    if os.geteuid() not in (0, file.stat().st_uid):
        return failure(f"the master key file {file} belongs to somebody else", "run as the service's own user")
    return ok(f"{file} is its owner's alone")


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
