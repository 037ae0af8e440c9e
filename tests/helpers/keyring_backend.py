"""A keyring that `keyring` loads like any other (PYTHON_KEYRING_BACKEND): its entries are in the folder KEYRING_FOLDER."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError


class FolderKeyring(KeyringBackend):
    priority = 5

    def _file(self, service: str, username: str) -> Path:
        folder = Path(os.environ["KEYRING_FOLDER"])
        if not folder.exists():
            raise KeyringLocked
        return folder / hashlib.sha256(f"{service}\0{username}".encode()).hexdigest()

    def get_password(self, service: str, username: str) -> str | None:
        file = self._file(service, username)
        return file.read_text() if file.exists() else None

    def set_password(self, service: str, username: str, password: str) -> None:
        self._file(service, username).write_text(password)

    def delete_password(self, service: str, username: str) -> None:
        try:
            self._file(service, username).unlink()
        except FileNotFoundError:
            raise PasswordDeleteError from None
