"""What the tests of the command share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.helpers.nursery import nursery


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PATH whose first `jwt` has no start-up time."""
    with nursery(tmp_path_factory.mktemp("n")) as folder:
        yield os.pathsep.join([str(folder), os.environ["PATH"]])
