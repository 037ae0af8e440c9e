"""The commands that fetch keys: against a server of this command's own, and against what cannot be trusted."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from admit import Key, KeySet, Kind, Signer
from admit.tokens.kinds import PLAIN
from tests.helpers.command import run

JWT = str(Path(sys.executable).parent / "jwt")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def keys() -> tuple[Key, Key]:
    return Key.generate("ES256"), Key.generate("ES256")


@pytest.fixture(scope="module")
def served(keys: tuple[Key, Key], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The issuer's URL, and the file of the key that it publishes."""
    file = tmp_path_factory.mktemp("served") / "key.jwk"
    file.write_text(json.dumps(keys[0].to_jwk(private=True)))
    with subprocess.Popen(
        [JWT, "jwks", "serve", str(file), "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())["issuer"], file
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(20) == 0


def signed(key: Key, issuer: str, audience: str = "orders") -> str:
    return Signer(key, issuer=issuer, audience=audience, kind=PLAIN).sign(sub="alice")


def test_a_token_is_verified_with_keys_that_its_issuer_publishes(
    served: tuple[str, Path], keys: tuple[Key, Key]
) -> None:
    issuer = served[0]
    expected = ("--iss", issuer, "--aud", "orders", "--field", "sub")
    for more in (("--discover",), ("--jwks", f"{issuer}/.well-known/jwks.json")):
        done = run("verify", signed(keys[0], issuer), *more, *expected)
        assert (done.returncode, done.stdout) == (0, "alice\n"), done.stderr
    other = run("verify", signed(keys[1], issuer), "--discover", *expected)
    assert other.returncode == 13
    assert "alice" not in other.stdout + other.stderr


def test_a_token_of_another_kind_is_told_with_the_option_that_takes_it(
    served: tuple[str, Path], keys: tuple[Key, Key]
) -> None:
    issuer = served[0]
    access = Signer(keys[0], issuer=issuer, audience="orders").sign(sub="alice", client_id="web")
    for token, kind, other in ((access, "plain", "access"), (signed(keys[0], issuer), "access", "plain")):
        done = run("verify", token, "--discover", "--iss", issuer, "--aud", "orders", "--kind", kind)
        assert (done.returncode, f"(give --kind {other})" in done.stderr) == (12, True), done.stderr
    odd = Signer(keys[0], issuer=issuer, audience="orders", kind=Kind(name="invite", typ="invite+jwt")).sign(sub="bob")
    assert "give --kind" not in run("verify", odd, "--discover", "--iss", issuer, "--aud", "orders").stderr


def test_whose_keys_they_are_is_never_the_tokens_own_word(served: tuple[str, Path], keys: tuple[Key, Key]) -> None:
    done = run("verify", signed(keys[0], served[0]), "--discover", "--unchecked")
    assert (done.returncode, "the token's own word is not enough" in done.stderr) == (2, True)
    done = run("verify", signed(keys[0], served[0]), "--discover", "--iss", "http://127.0.0.1:1", "--aud", "orders")
    assert done.returncode == 14
    done = run("verify", signed(keys[0], served[0]), "--discover", "--key", str(served[1]), "--unchecked")
    assert (done.returncode, "in more than one way" in done.stderr) == (2, True)


def test_what_is_served_is_public_and_read_anew(served: tuple[str, Path], keys: tuple[Key, Key]) -> None:
    issuer, file = served
    url = f"{issuer}/.well-known/jwks.json"
    found = run("jwks", "fetch", url)
    assert [each["kid"] for each in json.loads(found.stdout)["keys"]] == [keys[0].kid]
    assert '"d"' not in found.stdout
    assert run("jwks", "fetch", issuer, "--issuer").stdout == found.stdout
    assert run("jwks", "diff", url, "-", given=found.stdout).returncode == 0
    file.write_text(json.dumps(keys[1].to_jwk(private=True)))
    changed = run("jwks", "diff", "-", url, given=found.stdout)
    assert changed.returncode == 18
    assert json.loads(changed.stdout) == {"removed": [keys[0].kid], "added": [keys[1].kid], "changed": [], "same": []}
    file.write_text(json.dumps(keys[0].to_jwk(private=True)))


def test_a_key_replaced_under_its_kid_is_called_changed(keys: tuple[Key, Key], tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps(KeySet([keys[0]]).to_jwks()))
    new.write_text(json.dumps({"keys": [keys[1].to_jwk() | {"kid": keys[0].kid}]}))
    done = run("jwks", "diff", str(old), str(new))
    assert (done.returncode, json.loads(done.stdout)["changed"]) == (18, [keys[0].kid])


def test_a_published_private_key_is_named_and_not_shown(keys: tuple[Key, Key], tmp_path: Path) -> None:
    file = tmp_path / "set.json"
    file.write_text(json.dumps({"keys": [keys[0].to_jwk(private=True), keys[1].to_jwk(), {"kty": "RSA", "kid": "r"}]}))
    done = run("jwks", "show", str(file))
    leaked, good, broken = json.loads(done.stdout)
    assert "publishes a secret or a private key" in leaked["problem"]
    assert good["thumbprint"] == keys[1].thumbprint()
    assert broken["problem"]
    assert keys[0].to_jwk(private=True)["d"] not in done.stdout + done.stderr


def test_discovery_says_where_and_what(served: tuple[str, Path], keys: tuple[Key, Key]) -> None:
    told = json.loads(run("discover", served[0]).stdout)
    assert told["url"] == f"{served[0]}/.well-known/oauth-authorization-server"
    assert [key["kid"] for key in told["keys"]] == [keys[0].kid]
    assert told["problems"] == []
    other = run("discover", f"{served[0]}/other")  # the document there is of another issuer
    assert other.returncode == 14


@pytest.mark.parametrize(
    "arguments",
    [("jwks", "fetch"), ("jwks", "show"), ("discover",), ("jwks", "diff", "http://127.0.0.1:9/x")],
)
def test_without_a_network_it_is_one_line_and_14(arguments: tuple[str, ...]) -> None:
    done = run(*arguments, f"http://127.0.0.1:{free_port()}/x")
    assert done.returncode == 14
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.count("All connection attempts failed") == 1  # in however many places it was looked for
    assert done.stderr.endswith("; is it running?\n")


@pytest.mark.parametrize("url", ["http://auth.example", "ftp://auth.example", "file:///etc/passwd", "nonsense", ""])
def test_what_is_no_trustworthy_url_is_refused(url: str) -> None:
    assert run("discover", url).returncode == 2
    assert run("jwks", "fetch", url).returncode == 2


@pytest.mark.parametrize("text", ["", "x", "[]", '{"keys": 1}', '{"keys": [1]}', "\0\1", '{"a":1,"a":1}'])
def test_what_is_no_key_set_is_said_to_be_none(text: str) -> None:
    done = run("jwks", "show", "-", given=text)
    assert done.returncode == 15
    assert "is no JWK Set" in done.stderr


def test_a_port_in_use_and_a_missing_file_are_said(served: tuple[str, Path]) -> None:
    port = served[0].rpartition(":")[2]
    assert run("jwks", "serve", str(served[1]), "--port", port).returncode == 20
    assert run("jwks", "serve", "absent", "--port", "0").returncode == 2
