"""Accounts."""

from __future__ import annotations

from typing import Protocol


class UserStore(Protocol):
    """An application's own user table. Both methods are called from worker threads."""

    def find(self, name: str) -> str | None:
        """The immutable id of the user who logs in under that name; None for nobody, or a user who may not log in."""

    def check(self, sub: str | None, password: str) -> bool:
        """Whether it is that user's password. With sub None, spend the usual time and answer False (no user probing)."""
