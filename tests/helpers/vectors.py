"""Public test vectors, read from a directory beside the checkout and never copied into it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(os.environ.get("ADMIT_VECTORS") or Path(__file__).resolve().parents[3] / "shared" / "vectors")
PRESENT = ROOT.is_dir()
needed = pytest.mark.skipif(not PRESENT, reason="no test vectors here: name their directory in ADMIT_VECTORS")


def load(name: str) -> Any:
    """A file of vectors; an empty list where there are none, so that collecting works and the mark skips."""
    return json.loads((ROOT / name).read_text(encoding="utf-8")) if PRESENT else []


def folder(name: str) -> list[tuple[str, Any]]:
    """Each JSON file of a directory, with its name."""
    return [(path.name, json.loads(path.read_text(encoding="utf-8"))) for path in sorted((ROOT / name).glob("*.json"))]
