"""What processes would be slow to try in every way: reading damaged tokens, times, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admit import Key, Signer, errors, peek
from admit.cli.exits import MEANING, Exit, Stop, exit_code
from admit.cli.lint import catalog
from admit.cli.output import safe, to_json
from admit.cli.reading import NEITHER, OPAQUE, UNSIGNED, read
from admit.cli.times import parse_span, relative, span
from admit.errors import AdmitError
from admit.jose.encoding import b64url_encode
from admit.jose.jwe import encrypt
from admit.tokens.kinds import PLAIN

TOKEN = Signer(Key.generate("Ed25519"), issuer="me", kind=PLAIN).sign(sub="alice", claims={"roles": ["a", {"b": 1}]})
ALL_ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AdmitError)]


def with_payload(payload: bytes) -> str:
    return f"{TOKEN.partition('.')[0]}.{b64url_encode(payload).decode()}"


def test_a_whole_token_reads_as_peek_reads_it() -> None:
    reading, peeked = read(TOKEN), peek(TOKEN)
    assert (reading.header, reading.claims, reading.problems) == (peeked.header, peeked.claims, ())
    assert reading.signature == 64


@pytest.mark.parametrize("length", range(1, len(TOKEN)))
def test_a_token_cut_anywhere_still_reads_and_says_so(length: int) -> None:
    reading = read(TOKEN[:length])
    assert reading.problems
    if length > TOKEN.index("."):
        assert reading.header == peek(TOKEN).header


@pytest.mark.parametrize("cut", [b"179572000", b"-1", b"1.5", b"true", b"false", b"null", b"tr", b"-", b"1e"])
def test_a_value_that_may_go_on_where_the_text_breaks_off_is_not_shown(cut: bytes) -> None:
    reading = read(with_payload(b'{"sub":"a","exp":' + cut))
    assert reading.claims == {"sub": "a"}
    assert "its JSON breaks off inside the member 'exp'" in reading.problems[-1]


@pytest.mark.parametrize("whole", [b'"a"', b"[1]", b'{"b": 1}', b"17 ", b"17,"])
def test_a_value_that_ends_before_the_text_breaks_off_is_shown(whole: bytes) -> None:
    reading = read(with_payload(b'{"a":' + whole))
    assert reading.claims.keys() == {"a"}
    assert "breaks off after the member 'a'" in reading.problems[-1]


def test_five_parts_are_encrypted_only_where_the_header_says_so_or_says_nothing() -> None:
    signed = read(f"{TOKEN}.AAAA.AAAA")
    assert not signed.encrypted
    assert (signed.problems[0], signed.claims) == ("the token has 5 parts instead of 3", peek(TOKEN).claims)
    sealed = b64url_encode(b'{"alg":"dir","enc":"A128GCM"}').decode()
    assert read(f"{sealed}..AAAA.AAAA.AAAA").encrypted
    assert read("a.b.c.d.e").encrypted
    assert read(f"{sealed}..AAAA.AAAA.AAAA.AAAA").problems[0] == "the token has 6 parts instead of 3"


@pytest.mark.parametrize("length", [1, 20, 80, 200])
def test_an_encrypted_token_that_was_cut_is_not_told_of_payload_and_signature(length: int) -> None:
    sealed = encrypt(Key.generate("RSA-OAEP"), b"x" * 400)
    header = sealed.index(".")
    for part, name in enumerate(("encrypted key", "ciphertext")):
        cut = sealed[: header + length] if not part else sealed[: -length - 23]
        reading = read(cut)
        assert reading.sealed
        assert not reading.encrypted
        assert reading.problems[0] == f"the token is encrypted and ends inside its {name}, after {len(cut)} characters"
        assert not any("payload" in problem or "signature" in problem for problem in reading.problems)


def test_enc_in_a_signed_header_hides_no_claims() -> None:
    token = Signer(Key.generate("ES256"), issuer="me", kind=PLAIN).sign()
    _, payload, signature = token.split(".")
    header = b64url_encode(b'{"alg":"ES256","enc":"x"}').decode()
    reading = read(f"{header}.{payload}.{signature}")
    assert (reading.sealed, reading.claims) == (False, peek(token).claims)


@pytest.mark.parametrize("text", ["hello", "gho_abcdefgh", "admit_rt_AAAA", "a", "0"])
def test_what_has_no_dots_and_no_header_is_called_opaque(text: str) -> None:
    assert read(text).problems == (OPAQUE,)


@pytest.mark.parametrize("text", ['{"error": "invalid_grant"}', "hello world", "[]", "caf\xe9", "\0"])
def test_what_can_be_no_token_is_not_called_one(text: str) -> None:
    assert read(text).problems == (NEITHER,)


def test_a_whole_token_that_says_it_is_unsigned_is_not_called_damaged() -> None:
    assert read("eyJhbGciOiJub25lIn0.eyJleHAiOjF9.").problems == (UNSIGNED,)
    for other in (
        "eyJhbGciOiJub25lIn0.eyJleHAiOjF9",
        "eyJhbGciOiJub25lIn0.eyJleHAiOjF9..",
        "eyJhbGciOiJIUzI1NiJ9.e30.",
    ):
        assert UNSIGNED not in read(other).problems


@settings(max_examples=300)
@given(st.one_of(st.text(), st.binary().map(lambda junk: b64url_encode(junk).decode()), st.text('eyJ.=+/ -_{}[]"\\0')))
def test_anything_at_all_gives_a_reading_that_can_be_shown(junk: str) -> None:
    for token in (junk, f"{junk}.{junk}.{junk}", TOKEN[:50] + junk, TOKEN.replace(".", f"{junk}.")):
        reading = read(token)
        shown = to_json({"header": reading.header, "claims": reading.claims, "problems": reading.problems}, 2)
        json.loads(shown)
        assert all(line.isprintable() for line in shown.split("\n"))


@settings(max_examples=300)
@given(st.binary(max_size=80))
def test_any_bytes_as_a_payload_can_be_shown(payload: bytes) -> None:
    reading = read(f"{TOKEN.partition('.')[0]}.{b64url_encode(b'{' + payload).decode()}.AAAA")
    json.loads(to_json(reading.claims))


@pytest.mark.parametrize(
    "payload",
    [
        b'{"a": ' + b"[" * 100_000,
        b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}",
        b'{"a": ' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}",
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": NaN, "b": -Infinity}',
        b'{"a": "\\ud800"}',
        b'{"a": 1} {"b": 2}',
        b'{"\\ud800": 1, "a": 1e999}',
        b"{" + b'"a":1,' * 2000,
    ],
)
def test_hostile_payloads_are_named_and_can_be_shown(payload: bytes) -> None:
    reading = read(f"{TOKEN.partition('.')[0]}.{b64url_encode(payload).decode()}.AAAA")
    assert any(problem.startswith("the payload is damaged") for problem in reading.problems)
    assert len(to_json(reading.claims, 2)) < 10_000


def test_times_are_said_in_their_two_largest_units() -> None:
    assert span(2 * 3600 + 3 * 60 + 59) == "2 h 3 min"
    assert [span(n) for n in (0, 1.9, 60, 61, 3600, 86400, 90000)] == [
        "0 s",
        "1 s",
        "1 min",
        "1 min 1 s",
        "1 h",
        "1 d",
        "1 d 1 h",
    ]
    assert span(57 * 31_556_952) == "57 years"
    assert (relative(100, 100), relative(160, 100), relative(40, 100)) == ("now", "in 1 min", "1 min ago")


def test_a_length_of_time_has_a_unit() -> None:
    assert parse_span("1h30m").total_seconds() == 5400
    assert parse_span("7d").days == 7
    assert parse_span("1.5h500ms").total_seconds() == 5400.5
    for text in ("", "10", "m", "10 m", "-5m", "1.5", "10x", "٣m"):
        with pytest.raises(Stop):
            parse_span(text)


@pytest.mark.parametrize("kind", ALL_ERRORS)
def test_every_error_of_admit_has_a_documented_exit_code(kind: type[AdmitError]) -> None:
    code = exit_code(kind("x"))
    assert code in MEANING
    if issubclass(kind, errors.InvalidToken):
        assert code >= 10


def test_exit_codes_stay_what_scripts_rely_on() -> None:
    codes = {
        error: exit_code(getattr(errors, error)("x")) for error in ("BadSignature", "ExpiredToken", "ImmatureToken")
    }
    assert codes == {"BadSignature": 10, "ExpiredToken": 11, "ImmatureToken": 11}
    assert [Exit.OK, Exit.UNEXPECTED, Exit.USAGE, Exit.CLAIMS, Exit.NO_KEY] == [0, 1, 2, 12, 13]
    assert [Exit.NETWORK, Exit.MALFORMED, Exit.REVOKED, Exit.INTERRUPTED, Exit.CLOSED_PIPE] == [14, 15, 16, 130, 141]
    assert exit_code(errors.RevokedToken("x")) == Exit.REVOKED
    assert exit_code(errors.WrongAudience("x")) == Exit.CLAIMS
    assert exit_code(RuntimeError()) == Exit.UNEXPECTED


def test_a_number_that_is_not_finite_is_a_string_of_json() -> None:
    odd = {"a": float("inf"), "b": [float("-inf"), {"c": float("nan")}], "d": 1.5, "e": "NaN"}
    expected = {"a": "Infinity", "b": ["-Infinity", {"c": "NaN"}], "d": 1.5, "e": "NaN"}
    assert json.loads(to_json(odd), parse_constant=pytest.fail) == expected
    assert to_json(read(with_payload(b'{"exp":1e400}')).claims) == '{"exp": "Infinity"}'


def test_safe_text_keeps_letters_and_escapes_what_steers() -> None:
    assert safe("Zoë 漢字 \x1b[0m\u202e\U000e0001") == "Zoë 漢字 \\u001b[0m\\u202e\\udb40\\udc01"


def test_the_page_on_lint_is_the_list_of_rules() -> None:
    page = Path(__file__).parents[2] / "docs" / "lint.md"
    assert page.read_text(encoding="utf-8").endswith(f"writes them:\n\n{catalog()}")
