"""How a token is given, and what it was copied with: each is found, and what is not plain is said."""

from __future__ import annotations

import codecs
import contextlib
import json
import textwrap
import time
from pathlib import Path

import pytest

from admit import Key, Signer
from admit.cli.exits import Stop
from admit.cli.paste import unwrap
from admit.jose import jwe, jwe_json, jws_json
from admit.jose.encoding import b64url_encode
from admit.tokens.kinds import PLAIN
from tests.helpers.command import run

SIGNER = Signer(Key.generate("ES256"), issuer="me", kind=PLAIN)
T = SIGNER.sign(sub="alice")
ID = SIGNER.sign(sub="id")
SEALED = jwe.encrypt(Key.generate("ECDH-ES"), b"x")


@pytest.mark.parametrize("command", [("decode",), ("verify", "--unchecked"), ("lint",), ("revoke",), ("explain",)])
@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_argument_is_not_stdin(command: tuple[str, ...], empty: str) -> None:
    done = run(*command, empty, given=T)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("jwt: the argument is empty")


@pytest.mark.parametrize("words", [(), ("-",)])
def test_no_argument_or_a_hyphen_is_stdin(words: tuple[str, ...]) -> None:
    assert run("decode", "-q", "--field", "sub", *words, given=T).stdout == "alice\n"


@pytest.mark.parametrize(
    "text",
    [
        " a.b.c \n",
        "'a.b.c'",
        '"a.b.c",',
        "`a.b.c`",
        "Bearer a.b.c",
        "bearer  a.b.c;",
        "DPoP a.b.c",
        "Authorization: Bearer a.b.c",
        "authorization: a.b.c",
        '"Authorization": "Bearer a.b.c"',
        "curl https://api.example -H 'Authorization: Bearer a.b.c' -d x",
        'curl -H "authorization:bearer a.b.c" https://api.example',
        "\ufeffa.b.c",
    ],
)
def test_a_token_is_found_in_what_it_was_copied_with(text: str) -> None:
    assert unwrap(text) == ("a.b.c", "")


@pytest.mark.parametrize(
    "text",
    [
        "curl -b 'session=eyJa.eyJb.c' https://api.example",
        "curl --oauth2-bearer eyJa.eyJb.c https://api.example",
        "curl -H 'X-Api-Token: eyJa.eyJb.c' https://api.example",
        "https://api.example/?access_token=eyJa.eyJb.c&x=1",
        "TOKEN=eyJa.eyJb.c",
    ],
)
def test_a_token_is_found_in_a_pasted_command(text: str) -> None:
    assert unwrap(text) == ("eyJa.eyJb.c", "")


@pytest.mark.parametrize("text", ["a b.c.d", "a.b*c.d", "bearer.a.b", "a.b.c=", "é.b.c", "dGVzdA=="])
def test_what_belongs_to_a_damaged_token_is_left_in_it(text: str) -> None:
    assert unwrap(text) == (text, "")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
def test_a_token_in_utf_16_is_read_by_its_mark(encoding: str, tmp_path: Path) -> None:
    data = f"{T}\r\n".encode(encoding)
    data = codecs.BOM_UTF16_BE + data if encoding == "utf-16-be" else data
    (tmp_path / "token").write_bytes(data)
    for done in (
        run("decode", "-q", "--field", "sub", given=data),
        run("decode", "-q", "--field", "sub", f"@{tmp_path}/token"),
    ):
        assert done.stdout == "alice\n"


EVERYDAY = {
    "Chrome's cmd curl": 'curl ^"https://api.example/^" -H ^"authorization: Bearer {}^"',
    "Cookie": "Cookie: session={}; a=b",
    "Set-Cookie": "Set-Cookie: session={}; Path=/; HttpOnly",
    "JWT scheme": "Authorization: JWT {}",
    "Token scheme": "Authorization: Token {}",
    "export": "export TOKEN={}",
    "export in quotes": 'export TOKEN="{}"',
    "prompt": "$ curl -H 'Authorization: Bearer {}' https://api.example",
    "curl.exe": 'curl.exe -H "X-Token: {}" https://api.example',
    "angles": "<{}>",
    "curly quotes": "“{}”",
    "fragment": "https://app.example/#token={}&state=x",
    "another JSON": '{{"token": "{}", "user": {{"id": 1}}}}',
    "JSON in JSON": r'"{{\"jwt\":\"{}\"}}"',
    "prose": "the bearer token is {} and it fails",
    "parentheses": "see ({})",
    "a log": "12:00 GET / ({}) 401\n12:01 GET / 200",
}


@pytest.mark.parametrize("wrapping", EVERYDAY)
@pytest.mark.parametrize("token", [T, SEALED], ids=["signed", "encrypted"])
def test_the_one_token_in_a_text_is_taken(wrapping: str, token: str) -> None:
    assert unwrap(EVERYDAY[wrapping].format(token)) == (token, "")


def test_a_dot_may_be_escaped_as_in_a_url() -> None:
    assert unwrap(T.replace(".", "%2E")) == unwrap(f"?token={T.replace('.', '%2e')}") == (T, "")


@pytest.mark.parametrize("damaged", ["eyJa.ey*b.c", "eyJa.eyJb=.c", "eyJa.eyJb.c+c", "opaque"])
@pytest.mark.parametrize("before", ["Bearer ", "Authorization: JWT ", "export TOKEN=", "TOKEN=", "X-Token: "])
def test_a_damaged_token_is_taken_whole_out_of_what_is_before_it(before: str, damaged: str) -> None:
    assert unwrap(before + damaged) == (damaged, "")


@pytest.mark.parametrize("indent", [None, 2])
def test_a_token_endpoints_answer_gives_its_access_token_and_says_so(indent: int | None) -> None:
    answer = {"id_token": ID, "access_token": T, "token_type": "Bearer", "refresh_token": "opaque"}
    assert unwrap(json.dumps(answer, indent=indent)) == (T, "This is the access_token of a JSON answer.")
    assert unwrap(f'"access_token": "{T}",') == (T, "This is the access_token of a JSON answer.")
    del answer["access_token"]
    assert unwrap(json.dumps(answer, indent=indent)) == (ID, "This is the id_token of a JSON answer.")
    assert unwrap('{"access_token": "opaque"}')[0] == "opaque"


def test_the_remark_is_no_part_of_the_answer_and_can_be_left_out() -> None:
    answer = json.dumps({"access_token": T})
    assert run("decode", "--field", "sub", answer).stderr.startswith("This is the access_token of a JSON answer.\n")
    assert run("decode", "--field", "sub", answer).stdout == "alice\n"
    assert run("decode", "-q", "--field", "sub", answer).stderr == ""


@pytest.mark.parametrize("width", [20, 64, 76, len(T) - 1])
@pytest.mark.parametrize("between", ["\n", "\r\n", "\n  "])
def test_a_token_that_a_mail_wrapped_is_joined_and_that_is_said(width: int, between: str) -> None:
    for token in (T, SEALED):
        lines = textwrap.wrap(token, width, break_on_hyphens=False)
        joined, remark = unwrap(between.join(lines))
        assert (joined, remark) == (token, f"The token was line-wrapped: {len(lines)} lines are joined.")


def test_what_follows_a_token_is_not_joined_to_it() -> None:
    assert unwrap(f"{T}\nexpired") == (T, "")
    head, payload, signature = (b64url_encode(each).decode() for each in (b'{"alg":"RS256"}', b"{}", bytes(256)))
    rsa = f"{head}.{payload}.{signature}"  # any longer signature could be one of a larger key
    assert unwrap(f"{rsa} a b") == (rsa, "")


@pytest.mark.parametrize(
    "text",
    [
        f"{T}{T}",
        f"{T}{ID}{T}",
        f"{T}\n{T}",
        f"{T} {ID}",
        f"access_token={T}&id_token={ID}",
        f"Cookie: a={T}; b={ID}",
        f"Bearer {T}\nBearer {ID}",
    ],
)
def test_of_two_tokens_none_is_chosen(text: str) -> None:
    with pytest.raises(Stop, match="more than one token was given; give one"):
        unwrap(text)
    assert run("verify", "--unchecked", text).returncode == 2


@pytest.mark.parametrize("command", [("decode",), ("explain",), ("verify", "--unchecked")])
def test_a_document_in_json_is_called_what_it_is(command: tuple[str, ...]) -> None:
    signing, sealing = Key.generate("ES256"), Key.generate("ECDH-ES+A256KW")
    for document, reader in (
        (jws_json.sign_general([signing], b"x"), "jws_json"),
        (jws_json.sign_flattened(signing, b"x"), "jws_json"),
        (jwe_json.encrypt_general([sealing], b"x"), "jwe_json"),
    ):
        done = run(*command, document)
        assert (done.returncode, done.stdout) == (15, "")
        assert f"not a JWT: admit.jose.{reader} reads it" in done.stderr
    assert unwrap(json.dumps({"signature": "of something else", "token": T})) == (T, "")


def test_a_proof_beside_a_bearer_token_is_not_meant() -> None:
    assert unwrap(f"curl -H 'Authorization: DPoP {T}' -H 'DPoP: {ID}' https://api.example") == (T, "")


@pytest.mark.parametrize(
    "junk", ["eyJ", "eyJ.", "eyJ eyJ.", "bearer ", "bearer \t", '"access_token" ', "a:", "%2e", "a ", '"']
)
def test_junk_takes_no_longer_than_it_is_long(junk: str) -> None:
    began = time.process_time()
    for text in (junk * (65536 // len(junk)), junk + " " * 65536 + "x", "eyJ" + junk * (65536 // len(junk))):
        with contextlib.suppress(Stop):
            unwrap(text)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "words",
    [
        ("decode", "--{}"),
        ("decode", "-{}"),
        ("decode", "@{}"),
        ("decode", "env:{}"),
        ("decode", T, "--field", "{}"),
        ("verify", T, "--unchecked", "--key", "{}"),
        ("verify", T, "--unchecked", "--alg", "{}"),
        ("verify", T, "--unchecked", "--kind", "{}"),
        ("verify", T, "--unchecked", "--secret-file", "{}"),
        ("verify", T, "--unchecked", "--secret-env", "{}"),
        ("decode", "--json={}", T),
        ("{}",),
        ("key", "{}"),
        ("key", "show", "--{}"),
    ],
)
@pytest.mark.parametrize("given", [ID, ID[:60], "admit_rt_" + "x" * 100], ids=["whole", "cut", "opaque"])
def test_no_error_repeats_a_token_or_more_than_forty_characters(words: tuple[str, ...], given: str) -> None:
    done = run(*(word.format(given) for word in words))
    assert done.returncode != 0
    assert given[-41:] not in done.stderr
    assert "eyJ" not in done.stderr


def test_a_name_that_is_short_is_repeated_and_of_a_long_one_the_end() -> None:
    assert run("decode", "@absent").stderr == "jwt: cannot read absent: No such file or directory\n"
    said = run("decode", f"@/{'folder/' * 9}absent").stderr
    assert said == "jwt: cannot read ...er/folder/folder/folder/folder/absent: No such file or directory\n"
