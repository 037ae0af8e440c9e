"""Finding: what a check found and how to mend it; Deployment: what all checks look at, opened at most once."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from admit.clock import system_clock
from admit.errors import AdmitError
from admit.jose.encoding import json_object
from admit.remote.fetch import Answer, Fetcher
from admit.server.metadata import METADATA
from admit.service import migrations
from admit.service.storage import Storage
from admit.tokens.revocation import MAX_PAGE

if TYPE_CHECKING:
    from admit.server.settings import Settings

Result = Literal["ok", "warning", "failure", "skipped"]
_TIMEOUT = 5.0  # seconds for one request
DAMAGED = "see that this user may read the file; where it is damaged, restore its backup as docs/operations.md says"
"""How an SQLite file is mended that does not answer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found. `mend` says what to do about it."""

    result: Result
    told: str
    mend: str = ""


Check = Callable[["Deployment"], Iterable[Finding]]


class Skip(Exception):
    """A check that has nothing to look at; its message says why."""


def ok(told: str) -> Finding:
    """As it should be."""
    return Finding("ok", told)


def warning(told: str, mend: str) -> Finding:
    """It works, and will not always."""
    return Finding("warning", told, mend)


def failure(told: str, mend: str) -> Finding:
    """Broken, or unsafe."""
    return Finding("failure", told, mend)


class Deployment:
    """A deployment as its settings name it. Nothing here writes, makes or repairs anything."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def file(self) -> Path | None:
        """The SQLite file; None on another database."""
        from sqlalchemy.engine import make_url

        url = make_url(self.settings.database_url)
        return Path(url.database or "") if url.get_backend_name() == "sqlite" else None

    def opened(self) -> Storage:
        """The database, which answers and is only read; the caller closes it. Raises StorageUnavailable."""
        storage = Storage(self.settings.database_url if self.file is None else read_only(self.file))
        try:
            storage.read(lambda tx: migrations.current(tx.connection))
        except AdmitError:
            storage.close()
            raise
        return storage

    @cached_property
    def storage(self) -> Storage:
        """The database, which answers. Raises Skip."""
        if self.file is not None and not self.file.is_file():
            raise Skip("there is no database yet")
        try:
            return self.opened()
        except AdmitError:
            raise Skip("the database does not answer") from None

    @cached_property
    def tables(self) -> Storage:
        """The database, whose tables are those of this version. Raises Skip."""
        storage = self.storage
        try:
            migrations.must_be_head(storage.read(lambda tx: migrations.current(tx.connection)))
        except migrations.WrongRevision:
            raise Skip("the tables are those of another version") from None
        return storage

    @cached_property
    def issuer(self) -> str:
        """The issuer's URL, as clients reach it. Raises Skip."""
        if not self.settings.issuer:
            raise Skip("no issuer is set: clients can reach this service only where it listens")
        return self.settings.issuer

    @cached_property
    def fetcher(self) -> Fetcher:
        """What asks the issuer, as any client would. SSL_CERT_FILE names a private authority."""
        return Fetcher(timeout=_TIMEOUT, ssl_context=ssl.create_default_context())

    @cached_property
    def metadata(self) -> tuple[dict[str, Any], Answer, float]:
        """The issuer's document, the answer that brought it, and the seconds since 1970 when it came. Raises Skip."""
        try:
            answer = self.fetcher.get(self.issuer.rstrip("/") + METADATA)
            return json_object(answer.body), answer, system_clock()
        except AdmitError:
            raise Skip("the issuer does not answer") from None

    def named(self, member: str, **params: str) -> bytes:
        """What is served at the URL that a member of the issuer's document names. Raises Skip, AdmitError."""
        document, _, _ = self.metadata
        return self.fetcher.get(str(document.get(member)), params=params, limit=MAX_PAGE).body

    def close(self) -> None:
        """Close the connections."""
        storage = self.__dict__.get("storage")
        if isinstance(storage, Storage):
            storage.close()


def read_only(file: Path) -> str:
    """The URL of an SQLite file that is read and left as it is: its journal's mode, and what lies beside it.

    Where nobody has it open, SQLite would make -wal and -shm beside it even for a reader: it is told that nothing moves.
    """
    from sqlalchemy.engine import URL

    still = {} if beside(file, "-shm").exists() else {"immutable": "1"}
    url = URL.create("sqlite", database=file.absolute().as_uri(), query={"uri": "true", "mode": "ro", **still})
    return url.render_as_string()


def beside(file: Path, end: str) -> Path:
    """What SQLite keeps beside its file: -wal, the journal, and -shm, its index, for as long as somebody has it open."""
    return file.with_name(file.name + end)


def mode(path: Path) -> str:
    """The mode of a file as chmod writes it."""
    return f"{path.stat().st_mode & 0o777:04o}"
