"""Mutation testing of what decides about tokens: is there a test that fails where a rule is taken away or turned round?

    python -m tests.soak.mutate [names of mutants, with * in them]       make mutants where the code changed, and try them
    python -m tests.soak.mutate score                                    per file: how many were noticed, and which were not

mutmut writes the mutants, with two operators more than its own and some fewer. More: a check that is left out, which is a
`raise` or a call whose result nobody takes, gone. Fewer: no text and no argument is changed, which says nothing about a rule
and is two thirds of mutmut's own. Code outside of functions, the tables among it, is not changed: the vectors and the peers
hold the tables.

The tests are collected once, and each mutant runs in a fork, by the tests that `TESTS` names for its module, whichever
noticed the one before it first. Those that were left are tried again, but for those that `explained.py` has a reason for.
"""

from __future__ import annotations

import ast
import difflib
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

from tests.soak.explained import EXPLAINED

ROOT: Final = Path(__file__).parents[2]
TREE: Final = ROOT / "mutants"
SECONDS: Final = 240
CPU_SECONDS: Final = 30
NOTICED: Final = (1, 3, -signal.SIGALRM, -signal.SIGPROF, -signal.SIGSEGV)
"""Exit codes: a test failed, none could run, it took too long, it crashed."""
KEPT: Final = ("explained", "not tried")
WORDS: Final = (
    "threads",
    "test_any_",
    "any_single",
    "every_single",
    "every_changed",
    "every_short",
    "as_the_reference",
    "others_is_read",
    "PBES2-",
    "anything_at_all",
    "whatever_the_signer",
    "every_point",
    "six_bytes",
    "RS384",
    "RS512",
    "PS384",
    "PS512",
    "its_jwk[PS256]",
    "None-PS256",
    "hush-PS256",
    "hush-RS256",
)
"""Tests left out by a word in their name: they try thousands of inputs, or the rarer of RSA's algorithms, and a survivor
would cost all of them."""
RSA_KEYS: Final = 30
"""How many are made beforehand, for each fork the same: to make them is most of what the tests take."""
JWS: Final = ("test_jws_json", "test_arguments", "test_jws", "test_limits")
JWE: Final = ("test_jwe_json", "test_encryption_keys", "test_jwe_attacks", "test_arguments", "test_jwe")
KEYS: Final = ("test_keys", "test_strength", "test_encryption_keys")
TESTS: Final[dict[str, tuple[str, ...]]] = {
    "agreement": JWE,
    "algorithms": (*JWS, "test_keys", "test_strength"),
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
    "keys": KEYS,
    "keyset": KEYS,
    "pem": KEYS,
    "strength": KEYS,
    "inspect": ("test_inspect",),
    "inspect_claims": ("test_inspect",),
    "inspect_header": ("test_inspect",),
    "guessing": ("test_inspect",),
    "bearer": ("../web/test_bearer",),
    "cookies": ("test_cookies",),
    "lint": ("test_signer",),
    "origin": ("test_cookies",),
    "presented": ("test_presented", "test_cookies"),
    "revocation": ("test_revocation", "test_revocation_set"),
    "revocation_set": ("test_revocation_set", "test_revocation", "test_glance"),
    "revocation_table": ("test_revocation_set", "test_revocation"),
    "status_list": ("test_status_list",),
}
"""For each module; one of tokens that is not named has all of `TOKENS`, its own file first."""
TOKENS: Final = (
    *("test_batch", "test_builder", "test_cache", "test_kinds", "test_nested", "test_presets", "test_several"),
    *("test_signer", "test_verdict", "test_verifier", "test_glance"),
)


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


def make_rsa_keys() -> None:
    """Put keys in place of the making of keys, which is not ours to mutate."""
    rsa: Any = import_module("cryptography.hazmat.primitives.asymmetric.rsa")
    generate = rsa.generate_private_key
    ready = [generate(65537, 2048) for _ in range(RSA_KEYS)]
    rsa.generate_private_key = lambda e, bits: (
        ready.pop() if (e, bits, bool(ready)) == (65537, 2048, True) else generate(e, bits)
    )


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
    found = [folder / f"{name}.py" for name in TESTS.get(module, TOKENS)]
    found.sort(key=lambda path: path.stem != f"test_{module}")
    return [os.path.relpath(path, TREE) for path in found]


def changes(meta: Path) -> dict[str, tuple[str, str]]:
    """For each mutant of a module the function it changed, and the line that it has in place of another, or lacks."""
    source = (meta.parent / meta.name.removesuffix(".meta")).read_text()
    lines, bodies = source.splitlines(), {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = "\n".join(lines[node.lineno - 1 : node.end_lineno]).replace(node.name, "")
            bodies[node.name] = [line.strip() for line in body.splitlines()]
    found = {}
    for name in json.loads(meta.read_text())["exit_code_by_key"]:
        module, _, mangled = name.removeprefix("admit.").rpartition(".")
        function = mangled.rpartition("__mutmut_")[0]
        diff = list(difflib.ndiff(bodies[f"{function}__mutmut_orig"], bodies[mangled]))
        added = next((line[2:] for line in diff if line.startswith("+ ")), "pass")
        gone = next((line[2:] for line in diff if line.startswith("- ")), "")
        found[name] = f"{module}.{function[2:].replace('ǁ', '.')}", added if added != "pass" else f"without {gone}"
    return found


def judged(meta: Path, codes: dict[str, int | None]) -> dict[str, str]:
    """What became of each mutant: not tried, noticed, explained, or left."""
    made = changes(meta)

    def of(name: str, code: int | None) -> str:
        if code is None or code in NOTICED:
            return "not tried" if code is None else "noticed"
        function, change = made[name]
        return "explained" if change in EXPLAINED.get(function, {}) else "left"

    return {name: of(name, code) for name, code in codes.items()}


class Trial:
    """A pytest plugin: in place of running the tests once, it runs them for each mutant, in a fork."""

    def __init__(self, patterns: list[str]) -> None:
        self._patterns = patterns or ["*"]

    def pytest_runtestloop(self, session: Any) -> bool:
        """Try every mutant that matches and was not tried yet, or was left without an explanation."""
        tests: dict[str, list[Any]] = {}
        sound: set[frozenset[Any]] = set()
        for item in session.items:
            tests.setdefault(item.nodeid.partition("::")[0], []).append(item)
        for path, notes in metas():
            items = [item for name in files_for(path) for item in tests.get(name, ())]
            codes = notes["exit_code_by_key"]
            waiting = [name for name, what in judged(path, codes).items() if what in ("not tried", "left")]
            waiting = [name for name in waiting if any(fnmatch(name, pattern) for pattern in self._patterns)]
            if waiting and frozenset(items) not in sound and self._code(session, items, ""):
                raise RuntimeError(f"the tests of {path.name} fail without any mutant")
            sound.add(frozenset(items))
            for name in waiting:
                codes[name] = self._code(session, items, name)
                path.write_text(json.dumps(notes))
                print(name, "noticed" if codes[name] in NOTICED else "LEFT", file=sys.stderr, flush=True)
        return True

    def _code(self, session: Any, items: list[Any], mutant: str) -> int:
        """The exit code of the tests with that mutant; the one that failed comes first from now on."""
        reading, writing = os.pipe()
        child = os.fork()
        if child:
            os.close(writing)
            with open(reading, "rb") as failed:
                if first := failed.read():
                    items.insert(0, items.pop(int(first)))
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.environ["MUTANT_UNDER_TEST"] = mutant
        signal.alarm(SECONDS)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        try:
            for at, (item, following) in enumerate(zip(items, [*items[1:], None], strict=True)):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if session.testsfailed:
                    os.write(writing, str(at).encode())
                    os._exit(1)
        except BaseException:  # noqa: BLE001 - whatever it is, the mutant was noticed
            os._exit(3)
        os._exit(0)


def score() -> int:
    """Print, for each file, what became of its mutants, and what the others changed. 1 where an explanation is out of date."""
    total: Counter[str] = Counter()
    stale: set[str] = set()
    for path, notes in metas():
        made, found = changes(path), judged(path, notes["exit_code_by_key"])
        total += (counts := Counter(found.values()))
        module = f"{path.parent.name}.{path.name.removesuffix('.py.meta')}"
        print(f"{module:28} {dict(sorted(counts.items()))}")
        print("".join(f"    {name}: {made[name][1]}\n" for name, what in found.items() if what == "left"), end="")
        mine = {(each, line) for each in EXPLAINED if each.startswith(f"{module}.") for line in EXPLAINED[each]}
        stale |= {f"{each}: {line}" for each, line in mine - {made[n] for n, what in found.items() if what in KEPT}}
    print(f"{'all':28} {dict(sorted(total.items()))}")
    print("".join(f"explained, and no survivor: {each}\n" for each in sorted(stale)), end="")
    return 1 if stale else 0


def main() -> int:
    """Make mutants and try them, or say how it went."""
    import pytest

    if sys.argv[1:] == ["score"]:
        return score()
    os.chdir(ROOT)
    generate()
    os.chdir(TREE)
    os.environ["MUTANT_UNDER_TEST"] = ""
    sys.path[:0] = [str(TREE / "src"), str(TREE)]
    make_rsa_keys()
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
