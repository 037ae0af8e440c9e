"""The master key: given, or kept in a file beside the SQLite database."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from admit import clock
from admit.errors import ConfigurationError
from admit.keyring.wrapping import KEY_BYTES, MasterKeys

if TYPE_CHECKING:
    from admit.service.storage import Storage


def master_keys(given: bytes | Mapping[int, bytes] | Path | None, storage: Storage, *, needed: bool) -> MasterKeys:
    """The master keys from what TokenService was given. `needed`: the database already holds wrapped rows.

    A key is never made up beside such a database: it would look like a fresh start and open nothing.
    """
    if isinstance(given, bytes):
        return MasterKeys({1: given})
    if isinstance(given, Mapping):
        return MasterKeys(given)
    if given is None:
        if not storage.sqlite:
            raise ConfigurationError(
                "give master_key: on PostgreSQL there is no one place beside the database to keep it"
            )
        given = Path(f"{storage.url.database}.key")
    if not isinstance(given, Path):
        raise ConfigurationError("master_key is 32 bytes, a mapping of versions to 32 bytes, or a Path")
    try:
        if not given.exists():
            if needed:
                raise ConfigurationError(
                    f"the database holds wrapped keys, and the master key file {given} is not there"
                )
            _create(given)
        return MasterKeys({1: given.read_bytes()})
    except OSError as error:
        raise ConfigurationError(f"the master key file {given} cannot be used: {error.strerror}") from None


def _create(path: Path) -> None:
    # Written beside its name and linked there whole: processes that start together agree on one, a crash leaves none.
    draft = path.with_name(f"{path.name}.{os.getpid()}.{clock.random_id()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(clock.random_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the key is on the disk before anything is wrapped under it
    finally:
        os.close(folder)
