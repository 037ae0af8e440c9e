"""The application's own user table in place of Admit's: an object with two methods, `find` and `check`."""

import sqlite3

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from admit import TokenService


class MyUsers:
    """A table `people(id, email, hash, blocked)` that the application had before. Called from several threads."""

    def __init__(self, path: str) -> None:
        self.path, self.hasher = path, PasswordHasher()
        self.nobody = self.hasher.hash("nobody's password")

    def find(self, name: str) -> str | None:
        """The id for a login name: one that is never given to somebody else. None for nobody, and for the blocked."""
        row = self._one("SELECT id FROM people WHERE email = ? AND NOT blocked", name.lower())
        return row and row[0]

    def check(self, sub: str | None, password: str) -> bool:
        """Whether it is that person's password. Nobody's takes just as long, or strangers could learn who exists."""
        row = self._one("SELECT hash FROM people WHERE id = ?", sub)
        try:
            return self.hasher.verify(row[0] if row else self.nobody, password) and row is not None
        except VerifyMismatchError:
            return False

    def _one(self, query: str, value: str | None) -> tuple[str] | None:
        connection = sqlite3.connect(self.path)
        try:
            row: tuple[str] | None = connection.execute(query, (value,)).fetchone()
            return row
        finally:
            connection.close()


def make_auth(path: str) -> TokenService:
    """A service whose tables (`admit_...`) live in the application's own database, beside its own."""
    return TokenService(f"sqlite:///{path}", issuer="http://127.0.0.1:8000", audience="shop", users=MyUsers(path))
