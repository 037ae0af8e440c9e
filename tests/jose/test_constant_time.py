"""Nothing secret is compared with ==, which stops at the first difference and so tells how much was right."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import admit

SOURCE = Path(admit.__file__).parent
FILES = sorted(path for path in SOURCE.rglob("*.py"))
SECRET = re.compile(
    r"(^|_)(mac|tag|tags|secret|secrets|password|digest|hash|hashed|signature|cek|token|refresh_token|code)$"
)
# What is compared there is no secret, and why.
PUBLIC = {
    ("service/accounts.py", "password_hash"): "the database compares, in a compare-and-swap of what was read",
    ("service/sessions.py", "hash"): "the database looks a row up by the hash of 256 random bits",
}


def names(node: ast.expr) -> set[str]:
    """What the two sides of a comparison are called; sizes and kinds of things are no secrets."""
    if isinstance(node, ast.Name):
        return {node.id}
    if isinstance(node, ast.Attribute):
        return {node.attr}
    if isinstance(node, ast.Subscript):
        return names(node.value)
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("digest", "finalize", "hexdigest")
    ):
        return {"digest"}
    return set()


def compared(tree: ast.AST) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
            sides = [node.left, *node.comparators]
            if any(isinstance(side, ast.Constant) for side in sides):
                continue  # against a constant of the program, such as the empty string
            found += [(node.lineno, name) for side in sides for name in names(side) if SECRET.search(name)]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_secret_is_compared_with_equals(path: Path) -> None:
    where = str(path.relative_to(SOURCE))
    wrong = [(line, name) for line, name in compared(ast.parse(path.read_text())) if (where, name) not in PUBLIC]
    assert not wrong, f"{where}: compare these with hmac.compare_digest"


@pytest.mark.parametrize(
    "code",
    [
        "tag == expected",
        "if own_tag != tag: pass",
        "x = mac.finalize() == given",
        "self.secret == other.secret",
        "a[0] == digest[:16]",
    ],
)
def test_the_test_finds_such_comparisons(code: str) -> None:
    assert compared(ast.parse(code))
