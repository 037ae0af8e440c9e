"""What holds for every test: Ctrl-C is not ignored, as it would be by children of a suite that runs in the background.

Bytecode is kept, or each of the many processes that tests start would compile all of Admit again. Hypothesis has no
deadline, which a busy machine would miss. And a PostgreSQL, for those that ask for it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.helpers.leaks import Listener

if TYPE_CHECKING:
    from tests.helpers.postgres import Postgres

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
settings.register_profile("admit", settings.default, deadline=None)
settings.load_profile("admit")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The PostgreSQL of this test process, started on first need."""
    server = pytest.importorskip("tests.helpers.postgres", exc_type=ImportError)
    if why := server.missing():
        pytest.skip(why)
    running: Postgres = server.Postgres()
    try:
        running.start()
        yield running
    finally:
        running.close()


@pytest.fixture(scope="session", autouse=True)
def nothing_secret_is_logged() -> Iterator[None]:
    """Whatever Admit logs in this test process, in any test, holds no token, key or password."""
    listener, log = Listener(), logging.getLogger("admit")
    log.addHandler(listener)
    yield
    log.removeHandler(listener)
    assert listener.found == []
