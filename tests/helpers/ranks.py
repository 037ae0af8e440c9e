"""Whether two groups of times differ, by ranks: a few slow ones do not move it."""

from __future__ import annotations

from collections.abc import Sequence

APART = 3.9
"""Standard deviations: two groups alike are further apart once in 10,000 runs."""


def apart(first: Sequence[float], second: Sequence[float]) -> float:
    """How many standard deviations (Mann and Whitney's U, its normal approximation)."""
    less = sum((one < other) + (one == other) / 2 for one in first for other in second)
    pairs = len(first) * len(second)
    return abs(less - pairs / 2) / float((pairs * (len(first) + len(second) + 1) / 12) ** 0.5)
