"""How a token is given, and what it was copied with: each is found, and what is not plain is said."""

from __future__ import annotations

import pytest

from admit import Key, Signer
from admit.tokens.kinds import PLAIN
from tests.helpers.command import run

SIGNER = Signer(Key.generate("ES256"), issuer="me", kind=PLAIN)
T = SIGNER.sign(sub="alice")


@pytest.mark.parametrize("command", [("decode",), ("verify", "--unchecked"), ("lint",), ("revoke",), ("explain",)])
@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_argument_is_not_stdin(command: tuple[str, ...], empty: str) -> None:
    done = run(*command, empty, given=T)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("jwt: the argument is empty")


@pytest.mark.parametrize("words", [(), ("-",)])
def test_no_argument_or_a_hyphen_is_stdin(words: tuple[str, ...]) -> None:
    assert run("decode", "-q", "--field", "sub", *words, given=T).stdout == "alice\n"
