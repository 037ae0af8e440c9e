"""Mutants that no test notices, and why none should. `make mutate` counts them as explained, and fails for one that a test notices.

A mutant is named by the function it changed, and by the line it has there: `without` stands before one that it lacks.
"""

from __future__ import annotations

from typing import Final

EXPLAINED: Final[dict[str, dict[str, str]]] = {}
