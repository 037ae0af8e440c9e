"""The types that users see: checked by mypy, and true when run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.typing import inferred

ROOT = Path(__file__).resolve().parents[2]
MISUSE = """
from datetime import timedelta
from admit import Key, KeySet, Verifier, peek
keys = KeySet([Key.generate("HS256")])
Verifier(keys)
Verifier(keys, issuer="i")
Verifier(keys, issuer=None, audience="a")
Verifier([Key.generate("HS256")], issuer="i", audience="a")
Verifier(keys, issuer="i", audience="a", leeway=60)
Verifier(keys, issuer="i", audience="a", extra=5)
Verifier(keys, issuer="i", audience="a").verify(None)
Verifier(keys, issuer="i", audience="a").verify("t").sub = "mallory"
peek("t").sub
"""


def mypy(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--no-error-summary", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.once
def test_what_is_inferred_is_what_is_pinned() -> None:
    found = mypy(Path(inferred.__file__))
    assert (found.stdout, found.returncode) == ("", 0)


def test_what_is_pinned_is_what_happens() -> None:
    inferred.main()


def test_misuse_is_told_by_the_type_checker(tmp_path: Path) -> None:
    page = tmp_path / "misuse.py"
    page.write_text(MISUSE)
    found = mypy(page)
    wrong = {
        int(line.rpartition("misuse.py:")[2].split(":")[0]) for line in found.stdout.splitlines() if "error:" in line
    }
    expected = {number for number, line in enumerate(MISUSE.splitlines(), 1) if number > 4 and line}
    assert wrong == expected, found.stdout


@pytest.mark.parametrize("name", ["__init__", "verify"])
def test_no_public_signature_says_any(name: str) -> None:
    import admit

    for owner in (admit.Verifier, admit.Signer, admit.Key, admit.KeySet, admit.Claims):
        for method in (getattr(owner, name, None), getattr(owner, "sign", None)):
            returned = getattr(method, "__annotations__", {}).get("return")
            assert returned != "Any"
