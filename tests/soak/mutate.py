"""Mutation testing of what decides about tokens: is there a test that fails where a rule is taken away or turned round?

    python -m tests.soak.mutate [names of mutants, with * in them]       make mutants where the code changed, and try them
    python -m tests.soak.mutate score                                    per file: how many were noticed, and which were not
    mutmut show NAME                                                     what one of them changed

mutmut writes the mutants, with two operators more than its own and some fewer. More: a check that is left out, which is a
`raise` or a call whose result nobody takes, gone. Fewer: no text and no argument is changed, which says nothing about a rule
and is two thirds of mutmut's own. Code outside of functions, the tables among it, is not changed: the vectors and the peers
hold the tables.

The tests are collected once, and each mutant runs in a fork, by the tests that `TESTS` names for its module.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
TREE: Final = ROOT / "mutants"
SECONDS: Final = 120
NOTICED: Final = (1, 3, -signal.SIGALRM, -signal.SIGSEGV)
"""Exit codes: a test failed, none could run, it took too long, it crashed."""
WORDS: Final = (
    "threads",
    "test_any_",
    "any_single",
    "every_single",
    "every_changed",
    "every_short",
    "reference",
    "others_is_read",
    "PBES2-",
)
"""Tests left out by a word in their name: they try thousands of inputs, and a survivor would cost all of them."""
JWS: Final = ("test_jws_json", "test_arguments", "test_jws", "test_limits")
JWE: Final = ("test_jwe_json", "test_encryption_keys", "test_jwe_attacks", "test_arguments", "test_jwe")
KEYS: Final = ("test_encryption_keys", "test_keys", "test_strength", "test_arguments")
TESTS: Final[dict[str, tuple[str, ...]]] = {
    "agreement": JWE,
    "algorithms": JWS,
    "content_encryption": JWE,
    "detached": JWS,
    "encoding": ("test_encoding", *JWS),
    "header": (*JWS, "test_jwe_attacks"),
    "jwe": JWE,
    "jwe_json": JWE,
    "jwk": KEYS,
    "jws": JWS,
    "jws_json": JWS,
    "key_management": JWE,
    "keys": (*KEYS, "test_jws", "test_jwe"),
    "keyset": (*KEYS, "test_jws_json"),
    "pem": KEYS,
    "strength": KEYS,
}
"""For each module of jose; one of tokens has all that is in tests/tokens, its own file first."""


def choose_operators() -> None:
    """Leave out mutmut's operators for text and arguments, and add the deletion of checks."""
    cst: Any = import_module("libcst")
    mutators: Any = import_module("mutmut.mutation.mutators")

    def left_out(node: Any) -> Iterable[Any]:
        if isinstance(node, cst.Raise) or isinstance(node.value, cst.Call):
            yield cst.Pass()

    kept = ("name", "remove_unary_ops", "keywords", "swap_op", "if_exp", "match", "number")
    operators: list[Any] = mutators.mutation_operators
    operators[:] = [each for each in operators if each[1].__name__.removeprefix("operator_") in kept]
    operators += [(cst.Raise, left_out), (cst.Expr, left_out)]


def generate() -> None:
    """Let mutmut write the mutants of what changed, below mutants/."""
    mutmut: Any = import_module("mutmut.__main__")
    choose_operators()
    TREE.mkdir(exist_ok=True)
    mutmut.set_mutant_under_test("mutant_generation")
    mutmut.copy_src_dir()
    mutmut.copy_also_copy_files()
    mutmut.setup_source_paths()
    mutmut.store_lines_covered_by_tests()
    mutmut.create_mutants(os.cpu_count() or 1)
    mutmut.set_mutant_under_test(None)


def metas() -> Iterator[tuple[Path, dict[str, Any]]]:
    """mutmut's notes on each module: the exit code of each mutant, None where it was not tried."""
    for path in sorted((TREE / "src" / "admit").rglob("*.meta")):
        notes = json.loads(path.read_text())
        if notes["exit_code_by_key"]:
            yield path, notes


def files_for(meta: Path) -> list[str]:
    """The files of tests for a module, those most likely to notice first."""
    package, module = meta.parent.name, meta.name.partition(".")[0]
    folder = TREE / "tests" / package
    names = TESTS.get(module) if package == "jose" else None
    found = [folder / f"{name}.py" for name in names] if names else sorted(folder.glob("test_*.py"))
    found.sort(key=lambda path: path.stem != f"test_{module}")
    return [str(path.relative_to(TREE)) for path in found]


class Trial:
    """A pytest plugin: in place of running the tests once, it runs them for each mutant, in a fork."""

    def __init__(self, patterns: list[str]) -> None:
        self._patterns = patterns or ["*"]

    def pytest_runtestloop(self, session: Any) -> bool:
        """Try every mutant that matches and was not tried yet."""
        tests: dict[str, list[Any]] = {}
        for item in session.items:
            tests.setdefault(item.nodeid.partition("::")[0], []).append(item)
        for path, notes in metas():
            items = [item for name in files_for(path) for item in tests.get(name, ())]
            codes = notes["exit_code_by_key"]
            waiting = [name for name, code in codes.items() if code is None]
            waiting = [name for name in waiting if any(fnmatch(name, pattern) for pattern in self._patterns)]
            if waiting and self._code(session, items, ""):
                raise RuntimeError(f"the tests of {path.name} fail without any mutant")
            for name in waiting:
                codes[name] = self._code(session, items, name)
                path.write_text(json.dumps(notes))
                print(name, "noticed" if codes[name] in NOTICED else "LEFT", file=sys.stderr, flush=True)
        return True

    def _code(self, session: Any, items: list[Any], mutant: str) -> int:
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.environ["MUTANT_UNDER_TEST"] = mutant
        signal.alarm(SECONDS)
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        try:
            for item, following in zip(items, [*items[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if session.testsfailed:
                    os._exit(1)
        except BaseException:  # noqa: BLE001 - whatever it is, the mutant was noticed
            os._exit(3)
        os._exit(0)


def score() -> None:
    """Print, for each file, how many mutants were noticed, and the names of the others."""
    total: Counter[str] = Counter()
    for path, notes in metas():
        codes = notes["exit_code_by_key"]
        counts = Counter("not tried" if c is None else "noticed" if c in NOTICED else "left" for c in codes.values())
        total += counts
        print(f"{path.parent.name}/{path.name.removesuffix('.meta'):28} {dict(sorted(counts.items()))}")
        print("".join(f"    {name}\n" for name, code in codes.items() if code == 0), end="")
    print(f"{'all':34} {dict(sorted(total.items()))}")


def main() -> int:
    """Make mutants and try them, or say how it went."""
    import pytest

    if sys.argv[1:] == ["score"]:
        score()
        return 0
    os.chdir(ROOT)
    generate()
    os.chdir(TREE)
    os.environ["MUTANT_UNDER_TEST"] = ""
    sys.path[:0] = [str(TREE / "src"), str(TREE)]
    files = sorted({name for path, _ in metas() for name in files_for(path)})
    options = [
        "-q",
        "-s",
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        "-k",
        " and ".join(f"not {word}" for word in WORDS),
    ]
    return int(pytest.main([f"--rootdir={TREE}", *options, *files], plugins=[Trial(sys.argv[1:])]))


if __name__ == "__main__":
    sys.exit(main())
