"""The database: reachable, of this version, writable, durable, for its owner alone, with connections enough."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import text

from admit.cli.checks.finding import DAMAGED, Deployment, Finding, Skip, beside, failure, mode, ok, warning
from admit.errors import AdmitError
from admit.service import migrations
from admit.service.storage import CONNECTIONS

_OLDEST: Final = 13  # major version of PostgreSQL that its makers still mend, and that the tests stand for
_ROOM: Final = 8_000_000  # bytes: SQLite's journal is written back at 4 MB (1,000 pages), and the file grows as it is
_REMOTE: Final = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "fuse.glusterfs", "lustre", "afs", "ncpfs")
)


def reachable(deployment: Deployment) -> Iterator[Finding]:
    """The database answers."""
    if deployment.file is not None and not deployment.file.is_file():
        yield failure(
            f"there is no database at {deployment.file}",
            "name it with --data or --database; `jwt serve` makes a new one, which knows no user",
        )
        return
    try:
        deployment.opened().close()
        yield ok("it answers")
    except AdmitError as error:
        mend = "start the database, and see that this host, user and password may connect to it"
        yield failure(str(error), mend if deployment.file is None else DAMAGED)


def schema(deployment: Deployment) -> Iterator[Finding]:
    """The tables are those of this version of Admit."""
    revision, lacking = deployment.storage.read(
        lambda tx: (migrations.current(tx.connection), migrations.missing(tx.connection))
    )
    try:
        migrations.must_be_head(revision)
    except migrations.WrongRevision as error:
        newer = revision is not None and revision > migrations.HEAD
        yield failure(str(error), "install the newer Admit" if newer else "back up, then run `jwt admin db upgrade`")
        return
    if lacking:
        yield failure(
            f"at revision {revision}, and yet without {', '.join(lacking)}", "restore the backup of the tables"
        )
    else:
        yield ok(f"the tables are at revision {revision}")


def sqlite(deployment: Deployment) -> Iterator[Finding]:
    """The file: its mode, where it lies, whether it can be written, its journal."""
    path = deployment.file
    if path is None or not path.is_file():
        raise Skip("the database is no SQLite file" if path is None else "there is no database yet")
    journal, index = (beside(path, end) for end in ("-wal", "-shm"))
    open_to_others = [each for each in (path, journal, index) if _open(each)]
    for each in open_to_others:
        yield failure(f"{each} has mode {mode(each)}: others may read what it holds", f"chmod 600 {each}")
    if not open_to_others:
        yield ok("its files are their owner's alone")
    for each in (path.parent, path):
        if not os.access(each, os.W_OK):
            yield failure(
                f"{each} cannot be written by this user",
                "run as the service's own user; where it is that user, see its owner, and whether its disk is mounted read-only",
            )
    free = shutil.disk_usage(path.parent).free
    if free < _ROOM:
        yield failure(
            f"its disk is full, or about to be: {free / 1e6:.1f} MB left",
            "make room: what cannot be written is answered with 503",
        )
    kind = filesystem(path)
    if kind in _REMOTE:
        yield failure(
            f"it lies on a network filesystem ({kind}), whose locks do not hold",
            "move it to a local disk, or use PostgreSQL",
        )
    if _writes_ahead(path):
        yield ok("its journal is WAL, and each commit is flushed (synchronous = FULL)")
    else:
        yield warning(
            "its journal is not WAL: readers wait for writers",
            "something else changed it; the service turns it back when it starts",
        )
    if journal.exists() and journal.stat().st_size and not index.exists():
        yield warning(
            f"{journal} is a journal that nobody has open: what is in it was passed over here",
            "it may be another database's: see what docs/operations.md says of a restore, before anything opens the two",
        )


def postgresql(deployment: Deployment) -> Iterator[Finding]:
    """The server: its version, whether a commit is flushed, whether its connections are enough."""
    if deployment.file is not None:
        raise Skip("the database is an SQLite file")
    names = ("server_version_num", "synchronous_commit", "fsync", "max_connections", "transaction_read_only")
    query = text("SELECT " + ", ".join(f"current_setting('{name}')" for name in names))  # constants
    version, commit, fsync, most, reads = deployment.storage.read(lambda tx: tuple(tx.execute(query).one()))
    major = int(version) // 10000
    if major < _OLDEST:
        yield warning(f"PostgreSQL {major} is no longer mended", f"upgrade to {_OLDEST} or later")
    else:
        yield ok(f"PostgreSQL {major}")
    if reads == "on":
        yield failure(
            "it can only be read: it is a standby, or default_transaction_read_only is on",
            "name the primary in --database, or turn default_transaction_read_only off",
        )
    if fsync != "on":
        yield failure("fsync is off: a power cut can destroy the database", "set fsync = on")
    if commit == "off":
        yield failure(
            "synchronous_commit is off: a revocation that was answered can be lost in a crash",
            "set synchronous_commit = on for this database",
        )
    needed = deployment.settings.workers * CONNECTIONS
    if needed > int(most) - 3:  # superuser_reserved_connections
        yield failure(
            f"{deployment.settings.workers} workers can open {needed} connections, and max_connections is {most}",
            "raise max_connections, or run fewer workers",
        )
    else:
        yield ok(f"{needed} connections at most from this host, of {most}")


def filesystem(path: Path) -> str:
    """The kind of filesystem that a file lies on, as /proc/mounts names it; empty where nobody knows."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return mounted(os.path.realpath(path), [line.split() for line in lines])


def mounted(path: str, mounts: list[list[str]]) -> str:
    """The kind of the mount that holds a path: the one with the longest mount point above it."""
    best, kind = -1, ""
    for _, point, this, *_ in mounts:
        above = point.replace("\\040", " ")
        if (path == above or path.startswith(above.rstrip("/") + "/")) and len(above) >= best:
            best, kind = len(above), this
    return kind


def _open(path: Path) -> bool:
    return path.exists() and bool(path.stat().st_mode & 0o077)


def _writes_ahead(path: Path) -> bool:
    """Whether its journal is WAL, as its header says (sqlite.org/fileformat2.html 1.3.3): to ask SQLite is to open it."""
    with path.open("rb") as file:
        return file.read(20)[18:] == b"\2\2"
