"""Mutation testing of what decides about tokens: is there a test that fails where a rule is taken away or turned round?

    python -m tests.soak.mutate run [names of mutants, with * in them] [--max-children N]
    python -m tests.soak.mutate score                  per file: how many were noticed
    mutmut results; mutmut show NAME                   the others

It is mutmut, with two operators more and some fewer. More: a check that is left out, which is a `raise` or a call whose result
nobody takes, gone. Fewer: no text and no argument is changed, which says nothing about a rule and is two thirds of mutmut's own.
Code outside of functions, the tables among it, is not changed: the vectors and the peers hold the tables.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
MUTANTS: Final = ROOT / "mutants" / "src" / "admit"
KILLED: Final = (1, 3, -11)  # pytest's failures, its internal error, and a crash
TIMED_OUT: Final = (36, 24, -24)


def choose_operators() -> None:
    """Leave out mutmut's operators for text and arguments, and add the deletion of checks."""
    import libcst as cst
    from mutmut.mutation import mutators

    def left_out(node: Any) -> Iterable[Any]:
        if isinstance(node, cst.Raise) or isinstance(node.value, cst.Call):
            yield cst.Pass()

    kept = ("name", "remove_unary_ops", "keywords", "swap_op", "if_exp", "match", "number")
    operators: list[Any] = mutators.mutation_operators  # type: ignore[assignment]
    operators[:] = [each for each in operators if each[1].__name__.removeprefix("operator_") in kept]
    operators += [(cst.Raise, left_out), (cst.Expr, left_out)]


def score() -> None:
    """Print, for each file, how many mutants there are, how many were noticed, and the names of the others."""
    total: Counter[str] = Counter()
    for path in sorted(MUTANTS.rglob("*.meta")):
        codes = json.loads(path.read_text())["exit_code_by_key"]
        one = Counter("noticed" if code in (*KILLED, *TIMED_OUT) else "left" if code == 0 else f"{code}"
                      for code in codes.values())  # fmt: skip
        total += one
        if codes:
            print(f"{path.relative_to(MUTANTS).with_suffix('')!s:32} {dict(one)}")
    print(f"{'all':32} {dict(total)}")


def main() -> None:
    """Run mutmut's own command, with these operators; or say how it went."""
    if sys.argv[1:] == ["score"]:
        return score()
    choose_operators()
    from mutmut.__main__ import cli

    cli()
    return None


if __name__ == "__main__":
    main()
