"""What is explained of a mutant is about code that is there: `make mutate` looks closer, and only it runs the mutants."""

from __future__ import annotations

import ast
from difflib import get_close_matches
from pathlib import Path

import pytest

from tests.soak.explained import EXPLAINED

SOURCE = Path(__file__).parents[2] / "src" / "admit"


def lines_of(function: str) -> list[str]:
    package, module, *names = function.split(".")
    text = (SOURCE / package / f"{module}.py").read_text()
    node: ast.AST = ast.parse(text)
    for name in names:
        node = [each for each in ast.iter_child_nodes(node) if getattr(each, "name", None) == name][
            -1
        ]  # after overloads
    return [line.strip() for line in (ast.get_source_segment(text, node) or "").splitlines()]


@pytest.mark.parametrize("function", EXPLAINED)
def test_what_is_explained_is_about_a_line_that_is_there(function: str) -> None:
    lines = lines_of(function)
    for change in EXPLAINED[function]:
        assert change.removeprefix("without ") in lines or get_close_matches(change, lines, cutoff=0.8), change
        assert change not in lines, "a mutant differs from the code"
