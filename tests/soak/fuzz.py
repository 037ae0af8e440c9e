"""Let atheris loose on one parser.

    python -m tests.soak.fuzz jws -runs=10000000 [libFuzzer's other options] [directory of a corpus]

Needs the extra `fuzz`. The targets are in targets.py, imported late: only what is imported under instrumentation is seen.
"""

from __future__ import annotations

import sys
from json import decoder, scanner
from pathlib import Path
from tempfile import TemporaryDirectory


def main() -> None:
    """Fuzz the target that argv names."""
    import atheris

    for function in (scanner.py_make_scanner, decoder.JSONObject, decoder.JSONArray, decoder.py_scanstring):  # type: ignore[attr-defined]
        atheris.instrument_func(function)
    with atheris.instrument_imports(include=["admit", "tests.soak.targets"]):
        from tests.soak.targets import TARGETS, WORDS, seeds
    name = sys.argv.pop(1)
    target, given = TARGETS[name], seeds()[name]
    with TemporaryDirectory() as directory:
        corpus, words = Path(directory, "corpus"), Path(directory, "words")
        corpus.mkdir()
        for number, seed in enumerate(given):
            (corpus / str(number)).write_bytes(seed)
        words.write_text("".join(f'"\\"{word}\\""\n' for word in WORDS))
        atheris.Setup([*sys.argv, f"-dict={words}", str(corpus)], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
