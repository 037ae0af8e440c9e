"""The page about JOSE names every algorithm, with its sizes."""

from __future__ import annotations

from pathlib import Path

import pytest

from admit.jose.algorithms import ALGORITHMS
from admit.jose.content_encryption import CONTENT_ENCRYPTION
from admit.jose.key_management import KEY_MANAGEMENT

ROWS = [
    line
    for line in (Path(__file__).parents[2] / "docs" / "jose.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| `")
]


@pytest.mark.parametrize("name", [*ALGORITHMS, *KEY_MANAGEMENT, *CONTENT_ENCRYPTION])
def test_every_algorithm_stands_in_a_table(name: str) -> None:
    rows = [row for row in ROWS if f"`{name}`" in row]
    assert rows
    if name in ALGORITHMS and ALGORITHMS[name].signature_size:
        assert any(str(ALGORITHMS[name].signature_size) in row for row in rows)
