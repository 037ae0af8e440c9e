"""The master key: given, or kept in a file. Its next version lies beside it: master.key, master.key.2, master.key.3."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from admit import clock
from admit.errors import ConfigurationError
from admit.keyring.wrapping import KEY_BYTES, LARGEST_VERSION, MasterKeys

if TYPE_CHECKING:
    from admit.service.storage import Storage


def master_keys(given: bytes | Mapping[int, bytes] | Path | None, storage: Storage, *, needed: bool) -> MasterKeys:
    """The master keys from what TokenService was given. `needed`: the database already holds wrapped rows.

    A key is never made up beside such a database: it would look like a fresh start and open nothing. Raises
    ConfigurationError.
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
        files = versions(given)
        if not files:
            if needed:
                raise ConfigurationError(
                    f"the database holds wrapped keys, and the master key file {given} is not there: copy it from another host,"
                    " or bring it back from its backup"
                )
            _create(given)
            files = {1: given}
        return MasterKeys({version: _read(path) for version, path in files.items()})
    except OSError as error:
        raise ConfigurationError(f"the master key file {given} cannot be used: {error.strerror}") from None


def _read(path: Path) -> bytes:
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"the master key file {path} has {len(key)} bytes and not {KEY_BYTES}: take it from its backup, no other one opens"
            " what the database holds"
        )
    return key


def versions(path: Path) -> dict[int, Path]:
    """The files of a master key that are there, by version."""
    found = {1: path} if path.exists() else {}
    for file in path.parent.glob(f"{glob.escape(path.name)}.*"):
        number = file.name.removeprefix(f"{path.name}.")
        if re.fullmatch("[1-9][0-9]{0,4}", number) and 1 < int(number) <= LARGEST_VERSION:
            found[int(number)] = file
    return found


def file_of(path: Path, version: int) -> Path:
    """Where a version of a master key lies."""
    return path if version == 1 else path.with_name(f"{path.name}.{version}")


def add_version(path: Path) -> Path:
    """Make the next version of a master key in a file of its own; answers its name. Raises ConfigurationError."""
    try:
        there = versions(path)
        if not there:
            raise ConfigurationError(f"the master key file {path} is not there: the first one is made by a service")
        new = file_of(path, max(there) + 1)
        _create(new)
    except OSError as error:
        raise ConfigurationError(f"beside {path} no file can be made: {error.strerror}") from None
    return new


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
