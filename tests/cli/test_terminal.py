"""What a person sees: the command in a pseudo-terminal."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from admit import Key, Signer
from admit.tokens.kinds import PLAIN
from tests.helpers.terminal import JWT, SECONDS, in_terminal

COLOR = "\x1b["


def plain(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)


@pytest.fixture
def key() -> Key:
    return Key.generate("ES256")


@pytest.fixture
def token(key: Key) -> str:
    signer = Signer(key, issuer="https://auth.example", audience="orders", kind=PLAIN)
    return signer.sign(sub="alice", claims={"pieces": 3, "roles": ["buyer"]})


@pytest.fixture
def key_file(key: Key, tmp_path: Path) -> str:
    path = tmp_path / "public.pem"
    path.write_bytes(key.to_pem())
    return str(path)


def test_people_get_color_alignment_and_times_in_words(token: str) -> None:
    code, shown = in_terminal(["decode", token])
    assert code == 0
    assert COLOR in shown
    text = plain(shown)
    assert "UNVERIFIED" in text
    assert re.search(r'^sub +"alice" *$', text, re.MULTILINE)
    assert re.search(r"^exp +\d+  in 9 min 5\d s \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+\) *$", text, re.MULTILINE)
    assert re.search(r"^pieces +3 *$", text, re.MULTILINE)
    assert "Signature: 64 bytes, not checked" in text


@pytest.mark.parametrize("columns", [10, 20, 36, 60, 70, 90])
def test_a_narrow_terminal_loses_no_character(key: Key, columns: int) -> None:
    token = Signer(key, issuer="https://auth.example", kind=PLAIN).sign(
        claims={"name_of_a_claim_that_is_long": "!" * 70}
    )
    _, shown = in_terminal(["decode", "-q", token], COLUMNS=str(columns))
    assert plain(shown).count("!") == 70
    assert ('name_of_a_claim_that_is_long\n  "' + "!" * 70 + '"\n' in plain(shown)) is (columns < 64)


def test_no_color_is_respected(token: str) -> None:
    for arguments in (["decode", token], ["verify", token, "--unchecked"]):
        _, shown = in_terminal(arguments, NO_COLOR="1")
        assert not re.search(r"\x1b\[[0-9;]*3\d", shown)


def test_json_is_to_be_had_in_a_terminal_too(token: str) -> None:
    code, shown = in_terminal(["decode", token, "--json", "-q"])
    assert code == 0
    assert shown.startswith('{\n  "verified": false,\n')


def test_a_token_cannot_steer_the_terminal() -> None:
    signer = Signer(Key.generate("ES256"), issuer="i", kind=PLAIN)
    token = signer.sign(claims={"a\x1b[2Jb": "\x1b]0;title\x07 \x9b31m \u202egnp.exe", "bold": "[bold]x[/bold]"})
    for more in ([], ["--json"], ["--field", "a\x1b[2Jb"], ["--field", "\x1b[2Jabsent"]):
        _, shown = in_terminal(["decode", token, *more])
        assert not re.search(r"\x1b(?!\[[0-9;]*m)|[\x07\x9b\u202e]", shown)
    _, shown = in_terminal(["decode", token])
    assert '"[bold]x[/bold]"' in plain(shown)


def test_a_refusal_is_one_line(token: str, key_file: str) -> None:
    code, shown = in_terminal(["verify", token, "--key", key_file, "--iss", "me", "--aud", "billing"])
    assert code == 12
    expected = "REFUSED: iss is 'https://auth.example', expected 'me'; aud is 'orders', expected 'billing'\n"
    assert plain(shown) == expected


def test_a_valid_token_shows_its_claims(token: str, key_file: str) -> None:
    code, shown = in_terminal(["verify", token, "--key", key_file, "--iss", "https://auth.example", "--aud", "orders"])
    assert code == 0
    assert re.match(r"valid: signed by key \S+ \(ES256\), expires in 9 min 5\d s\n", plain(shown))
    assert re.search(r'^sub +"alice" *$', plain(shown), re.MULTILINE)


def test_a_token_is_asked_for_where_none_is_given(token: str) -> None:
    code, shown = in_terminal(["decode", "--field", "sub"], {"press Enter": f"Bearer {token}\n"})
    assert code == 0
    assert plain(shown).endswith("\nalice\n")


def test_a_pasted_token_may_be_longer_than_a_line_of_the_terminal() -> None:
    claims = {"groups": [f"group {number}" for number in range(400)]}
    token = Signer(Key.generate("ML-DSA-65"), issuer="me", kind=PLAIN).sign(sub="alice", claims=claims)
    assert len(token) > 8192
    code, shown = in_terminal(["decode", "--field", "sub"], {"press Enter": f"{token}\n"})
    assert (code, plain(shown).endswith("\nalice\n")) == (0, True), shown[-300:]


def test_what_is_typed_can_be_taken_back_and_ended_with_ctrl_d(token: str) -> None:
    code, shown = in_terminal(["decode", "--field", "sub"], {"press Enter": f"{token}xy\x7f\x7f\x04"})
    assert (code, plain(shown).endswith("\nalice\n")) == (0, True), shown
    code, shown = in_terminal(["decode"], {"press Enter": "\x04"})
    assert (code, "no token: stdin is empty" in shown) == (2, True), shown


def test_a_secret_is_asked_for_and_never_shown() -> None:
    secret = "correct horse battery staple, twice over"
    token = Signer(Key.from_secret(secret.encode(), "HS256"), issuer="me", audience="x", kind=PLAIN).sign()
    arguments = ["verify", token, "--secret-prompt", "--iss", "me", "--aud", "x"]
    code, shown = in_terminal(arguments, {"Secret: ": f"{secret}\n"})
    assert code == 0, shown
    assert secret not in shown
    code, shown = in_terminal(arguments, {"Secret: ": "another secret that is long enough, too\n"})
    assert code == 10
    assert "another secret" not in shown


def test_an_encrypted_key_asks_for_its_password_and_never_shows_it(tmp_path: Path) -> None:
    path = str(tmp_path / "key.pem")
    typed = {"Password: ": "open sesame\n", "Repeat for confirmation: ": "open sesame\n"}
    code, shown = in_terminal(["key", "generate", path, "--encrypt"], typed)
    assert code == 0, shown
    assert "sesame" not in shown
    assert b"ENCRYPTED" in Path(path).read_bytes()
    code, shown = in_terminal(["key", "show", path], {"Password of the key: ": "open sesame\n"})
    assert code == 0, shown
    assert "ES256 (private)" in plain(shown)


def test_binary_is_not_written_to_a_terminal(key_file: str) -> None:
    code, shown = in_terminal(["key", "public", key_file, "--to", "der"])
    assert code == 2
    assert plain(shown) == "jwt: DER is binary; write it to a file\n"


@pytest.mark.parametrize(
    ("arguments", "prompt"),
    [(["decode"], "press Enter"), (["verify", "a.b.c", "--unchecked", "--secret-prompt"], "Secret")],
)
@pytest.mark.parametrize("interruption", ["\x03", signal.SIGINT])
def test_ctrl_c_ends_without_a_traceback(
    arguments: list[str], prompt: str, interruption: str | int, token: str
) -> None:
    code, shown = in_terminal([token if word == "a.b.c" else word for word in arguments], {prompt: interruption})
    assert code == 130
    assert "Traceback" not in shown
    assert "jwt:" not in shown


def test_an_interrupted_read_of_a_pipe_ends_without_a_traceback() -> None:
    with subprocess.Popen(
        [JWT, "decode"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        time.sleep(1)  # long enough to wait for its input; earlier, the interpreter itself would be interrupted
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=SECONDS)
    assert (run.returncode, out, err.strip()) == (130, b"", b"")
