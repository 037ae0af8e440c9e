"""Migrations: up from every revision with data in place, by hand on PostgreSQL, by two processes at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Boolean, Column, Integer, LargeBinary, MetaData, insert, select, text

from admit.cli.commands import invoke
from admit.errors import ConfigurationError
from admit.service import migrations
from admit.service.facade import TokenService
from admit.service.schema import metadata
from admit.service.storage import Storage, Tx
from tests.helpers.postgres import Postgres

REVISIONS = [script.revision for script in ScriptDirectory(str(Path(migrations.__file__).parent)).walk_revisions()]
ON_BOTH = pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        return server.empty()
    return f"sqlite:///{tmp_path}/auth.db"


@pytest.fixture
def storage(url: str) -> Iterator[Storage]:
    storage = Storage(url)
    yield storage
    storage.close()


def upgrade(revision: str) -> Callable[[Tx], None]:
    return lambda tx: migrations.upgrade(tx.connection, revision)


@ON_BOTH
@pytest.mark.parametrize("revision", REVISIONS)
def test_every_row_of_every_revision_comes_through(storage: Storage, revision: str) -> None:
    storage.write(upgrade(revision))
    then = MetaData()
    storage.read(lambda tx: then.reflect(tx.connection))
    tables = [table for table in then.sorted_tables if table.name != migrations.VERSION_TABLE]
    rows = {table.name: {column.name: value(column) for column in table.columns} for table in tables}
    storage.write(lambda tx: [tx.execute(insert(table), [rows[table.name]]) for table in tables])
    storage.write(upgrade("head"))
    assert storage.read(lambda tx: migrations.current(tx.connection)) == migrations.HEAD
    assert storage.read(lambda tx: migrations.missing(tx.connection)) == []
    for table in tables:
        now = stored(storage, table.name)
        assert {name: now[name] for name in rows[table.name] if name in now} == rows[table.name]


def stored(storage: Storage, table: str) -> dict[str, Any]:
    return dict(storage.read(lambda tx: tx.execute(select(metadata.tables[table])).mappings().one()))


def value(column: Column[Any]) -> object:
    """Something that a column of this type holds; for foreign keys, what their table holds too."""
    kind = column.type
    if isinstance(kind, Boolean):
        return True
    if isinstance(kind, LargeBinary):
        return b"kept"
    return 7 if isinstance(kind, Integer) else "kept"


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_on_postgresql_a_service_refuses_other_tables_and_names_the_command(url: str, storage: Storage) -> None:
    def start() -> TokenService:
        return TokenService(url, issuer="https://auth.example", audience="orders", master_key=bytes(32))

    with pytest.raises(ConfigurationError, match="`jwt admin db upgrade`"):
        start()
    storage.write(upgrade("head"))
    start().close()
    storage.write(lambda tx: tx.execute(text(f"UPDATE {migrations.VERSION_TABLE} SET version_num = '9999'")))
    with pytest.raises(ConfigurationError, match="newer"):
        start()


@ON_BOTH
def test_the_commands_say_what_is_there_and_bring_it_up(
    url: str, storage: Storage, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIT_DATABASE", url)

    def jwt(command: str) -> tuple[int, str]:
        code = invoke(["admin", "db", command], "jwt")
        return code, capfd.readouterr().out.strip()

    assert jwt("current") == (0, "none")
    assert jwt("check")[0] == 22
    assert jwt("upgrade") == (0, migrations.HEAD)
    assert jwt("upgrade") == (0, migrations.HEAD)
    assert jwt("current") == (0, migrations.HEAD)
    assert jwt("check")[0] == 0
    storage.write(lambda tx: tx.execute(text("ALTER TABLE admit_clients DROP COLUMN scopes")))
    assert jwt("check")[0] == 22
    storage.write(lambda tx: tx.execute(text(f"UPDATE {migrations.VERSION_TABLE} SET version_num = '9999'")))
    assert jwt("check")[0] != 0
    assert jwt("upgrade")[0] != 0
    assert jwt("current") == (0, "9999")


UPGRADE = """
import sys
from admit.service import migrations
from admit.service.storage import Storage
storage = Storage(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
storage.write(lambda tx: migrations.upgrade(tx.connection))
print(storage.read(lambda tx: migrations.current(tx.connection)), flush=True)
"""


@ON_BOTH
def test_two_processes_that_upgrade_at_once_wait_for_each_other(url: str) -> None:
    command = [sys.executable, "-c", UPGRADE, url]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(2)
        ]
        for process in processes:
            stack.callback(process.kill)
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.communicate(timeout=30)[0].strip() for process in processes] == [migrations.HEAD] * 2
