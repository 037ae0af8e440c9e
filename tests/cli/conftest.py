"""What the tests of the command share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from keyring.backends.fail import Keyring as NoKeyring
from keyring.core import set_keyring

from tests.helpers.nursery import nursery


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PATH whose first `jwt` has no start-up time."""
    with nursery(tmp_path_factory.mktemp("n")) as folder:
        yield os.pathsep.join([str(folder), os.environ["PATH"]])


@pytest.fixture(scope="session", autouse=True)
def no_keyring() -> None:
    """Neither this machine's keyring nor that of the tests is found where no test asks for it."""
    set_keyring(NoKeyring())  # type: ignore[no-untyped-call]
