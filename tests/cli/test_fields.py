"""`--field`: one value a line, whichever it is, and why one cannot be had."""

from __future__ import annotations

import pytest

from admit import Key, Signer
from admit.jose.jwe import encrypt
from admit.tokens.kinds import PLAIN
from tests.helpers.command import run

CLAIMS = {
    "name": "José",
    "address": {"country": "PE", "a.b": 1, "in": {"n": [1]}},
    "address.country": "whole",
    "header": {"alg": "x"},
}
TOKEN = Signer(Key.generate("ES256"), issuer="me", kind=PLAIN).sign(sub="alice", claims=CLAIMS)
SECRET = "0123456789abcdef0123456789abcdef"
WITH = ("--secret-env", "SECRET", "--alg", "A256KW")


@pytest.mark.parametrize(
    ("name", "bare", "as_json"),
    [
        ("name", "José", '"José"'),
        ("address.country", "whole", '"whole"'),
        ("address.a.b", "1", "1"),
        ("address.in", '{"n": [1]}', '{"n": [1]}'),
        ("address.in.n", "[1]", "[1]"),
        ("header.alg", "ES256", '"ES256"'),
        ("header", '{"alg": "x"}', '{"alg": "x"}'),
    ],
)
def test_a_field_is_bare_or_json_and_may_be_a_member_of_a_member(name: str, bare: str, as_json: str) -> None:
    assert run("decode", "-q", "--field", name, TOKEN).stdout == f"{bare}\n"
    assert run("decode", "-q", "--json", "--field", name, TOKEN).stdout == f"{as_json}\n"


@pytest.mark.parametrize("name", ["nickname", "name.first", "address.", "address.in.n.0", ".", "header.kidd"])
def test_a_field_that_is_not_there_is_12(name: str) -> None:
    done = run("decode", "-q", "--field", name, TOKEN)
    assert (done.returncode, done.stderr) == (12, f"jwt: the token has no {name}\n")


def test_a_damaged_token_says_so_before_what_it_lacks() -> None:
    done = run("decode", "-q", "--field", "sub", TOKEN[:120])
    assert done.returncode == 15
    *damage, last = done.stderr.splitlines()
    assert last == "jwt: the token has no sub"
    assert all(line.startswith("damaged: ") for line in damage)
    assert damage


def test_what_hides_a_field_is_told() -> None:
    nested = encrypt(Key.from_secret(SECRET.encode(), "A256KW"), TOKEN.encode(), header={"cty": "JWT"})
    done = run("decode", "-q", "--field", "sub", nested)
    assert (done.returncode, done.stderr) == (
        12,
        "jwt: the token has no sub: it is encrypted, and jwt decrypt opens it\n",
    )
    done = run("decrypt", "-q", "--field", "sub", nested, *WITH, env={"SECRET": SECRET})
    assert (done.returncode, done.stderr) == (
        12,
        "jwt: the token has no sub: a signed token is inside; pipe it to jwt verify\n",
    )


def test_decrypt_does_not_call_an_encrypted_token_that_was_cut_signed() -> None:
    sealed = encrypt(Key.from_secret(SECRET.encode(), "A256KW"), b"x")
    done = run("decrypt", sealed.rpartition(".")[0].rpartition(".")[0], *WITH, env={"SECRET": SECRET})
    assert done.returncode == 15
    assert "signed" not in done.stderr
