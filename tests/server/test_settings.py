"""Settings: which file a database is, for whoever looks whether it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from admit.server.settings import Settings


@pytest.mark.parametrize(
    ("database", "file"),
    [
        ("", Path("data/admit.db")),
        ("sqlite:///auth.db", Path("auth.db")),
        ("sqlite+pysqlite:////srv/auth.db?timeout=5", Path("/srv/auth.db")),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("sqlite:///file:auth.db?mode=ro&uri=true", None),
        ("postgresql+psycopg://db.example/auth", None),
    ],
)
def test_a_database_is_a_file_where_sqlite_opens_one_of_that_name(database: str, file: Path | None) -> None:
    assert Settings(data=Path("data"), database=database).sqlite == file
