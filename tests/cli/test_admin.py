"""`jwt admin`, and `jwt login`, `refresh` and `logout` against a running service."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from admit import TokenService, peek
from tests.helpers.command import environment, run

PASSWORD = "correct horse battery staple"


def jwt(*arguments: str, given: str = "", code: int = 0, **more: str) -> str:
    done = run(*arguments, given=given, env=environment(**more))
    assert done.returncode == code, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("admin") / "d")


@pytest.fixture(scope="module")
def url(data: str) -> Iterator[str]:
    command = [sys.executable, "-m", "admit.cli", "serve", "--data", data, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def test_a_user_is_added_listed_given_a_password_disabled_and_enabled(data: str) -> None:
    user = json.loads(jwt("admin", "users", "add", "erin", "--password-stdin", "--data", data, given=PASSWORD + "\n"))
    assert (user["name"], user["disabled"]) == ("erin", False)
    jwt("admin", "users", "passwd", "erin", "--password-env", "SECRET", "--data", data, SECRET="another " + PASSWORD)
    jwt("admin", "users", "disable", "erin", "--data", data)
    listed = json.loads(jwt("admin", "users", "list", "--data", data))
    assert [(each["id"], each["disabled"]) for each in listed if each["name"] == "erin"] == [(user["id"], True)]
    passwd = ("admin", "users", "passwd", "erin", "--password-env", "SECRET", "--data", data)
    assert "erin is still disabled" in run(*passwd, env=environment(SECRET="one more " + PASSWORD)).stderr
    jwt("admin", "users", "enable", "erin", "--data", data)
    assert '"disabled": true' not in jwt("admin", "users", "list", "--data", data)
    assert "still disabled" not in run(*passwd, env=environment(SECRET="a last " + PASSWORD)).stderr


def test_the_master_key_beside_an_applications_own_database_is_named(tmp_path: Path) -> None:
    database = tmp_path / "auth.db"
    url = f"sqlite:///{database}"
    TokenService(url, issuer="https://auth.example", audience="orders").close()
    add = ("admin", "users", "add", "alice", "--password-stdin", "--database", url, "--data", str(tmp_path / "d"))
    named = f"give --master-key-file {database}.key"
    absent = jwt(*add, given=PASSWORD, code=23)
    assert "is not there: copy it from another host" in absent
    assert absent.endswith(f"; there is one beside the database: {named}\n")
    (tmp_path / "d" / "master.key").write_bytes(bytes(32))
    another = jwt(*add, given=PASSWORD, code=23)
    assert ("does not open" in another, another.endswith(f"{named}\n")) == (True, True)
    found = json.loads(run("admin", "doctor", *add[5:]).stdout)
    assert any(each["check"] == "master key" and named in each.get("mend", "") for each in found)
    jwt(*add, "--master-key-file", f"{database}.key", given=PASSWORD)
    (tmp_path / "auth.db.key").unlink()
    assert "--master-key-file" not in jwt(*add, given=PASSWORD, code=23)


@pytest.mark.parametrize(
    "words",
    [
        ("audit",),
        *(("keys", word) for word in ("list", "rotate", "rewrap")),
        *(("users", *words) for words in (("list",), ("disable", "a"), ("enable", "a"))),
        *(("clients", *words) for words in (("list",), ("show", "a"), ("remove", "a"))),
        *(("sessions", *words) for words in (("list", "a"), ("end", "a", "--all"))),
    ],
    ids=" ".join,
)
def test_a_mistyped_folder_is_refused_where_a_service_must_be_there(words: tuple[str, ...], tmp_path: Path) -> None:
    said = jwt("admin", *words, "--data", str(tmp_path / "mistyped"), code=22)
    assert (said.count("\n"), "is --data right?" in said) == (1, True)
    assert not (tmp_path / "mistyped").exists()


@pytest.mark.parametrize(
    "words", [("keys", "rotate"), ("keys", "revoke", "a"), ("users", "list"), ("db", "restored")], ids=" ".join
)
def test_a_mistyped_database_is_refused_where_a_service_must_be_there(words: tuple[str, ...], tmp_path: Path) -> None:
    there = ("--data", str(tmp_path / "d"), "--database", f"sqlite:///{tmp_path}/mistyped.db")
    said = jwt("admin", *words, *there, code=22)
    assert (said.count("\n"), "mistyped.db: is --database right?" in said) == (1, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("word", "code"), [("check", 22), ("current", 0), ("restored", 22)])
def test_who_looks_for_tables_makes_no_database(word: str, code: int, tmp_path: Path) -> None:
    jwt("admin", "db", word, "--data", str(tmp_path), code=code)
    assert list(tmp_path.iterdir()) == []


def test_tables_of_another_version_are_22_whatever_was_to_be_done(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    jwt("admin", "db", "upgrade", "--data", str(tmp_path))
    with closing(sqlite3.connect(tmp_path / "admit.db")) as database, database:
        database.execute("UPDATE admit_alembic_version SET version_num = '9999'")
    for words in (("db", "upgrade"), ("db", "check"), ("db", "restored"), ("users", "list")):
        assert "newer than this version" in jwt("admin", *words, "--data", str(tmp_path), code=22)


def test_a_password_has_no_place_in_argv(data: str) -> None:
    assert "Too many arguments" in jwt("admin", "users", "add", "erin", PASSWORD, "--data", data, code=2)
    assert "password" in jwt("admin", "users", "add", "erin", "--data", data, code=2)


def test_unknown_users_and_taken_names_are_one_line(data: str) -> None:
    jwt("admin", "users", "add", "frank", "--password-stdin", "--data", data, given=PASSWORD)
    assert jwt("admin", "users", "disable", "nobody", "--data", data, code=2).count("\n") == 1
    assert (
        jwt("admin", "users", "add", "frank", "--password-stdin", "--data", data, given=PASSWORD, code=25).count("\n")
        == 1
    )


def test_keys_are_listed_and_rotated_and_a_revoked_one_is_gone(data: str) -> None:
    before = json.loads(jwt("admin", "keys", "list", "--data", data))
    signing = next(key["kid"] for key in before if key["use"] == "access" and key["state"] == "active")
    new = json.loads(jwt("admin", "keys", "rotate", "--force", "--data", data))
    jwt("admin", "keys", "revoke", signing, "--data", data)
    states = {key["kid"]: key["state"] for key in json.loads(jwt("admin", "keys", "list", "--data", data))}
    assert (states[signing], states[new["kid"]]) == ("revoked", "active")


@pytest.mark.parametrize("arguments", [("-h" + "A" * 41,), ("--" + "A" * 41,), ("--", "-w" + "A" * 41)])
def test_a_kid_that_looks_like_an_option_can_be_revoked_in_an_emergency(data: str, arguments: tuple[str, ...]) -> None:
    assert "no key of that kid" in jwt("admin", "keys", "revoke", "--data", data, *arguments, code=25)


def test_a_session_lives_in_a_file_that_only_its_owner_reads(data: str, url: str, tmp_path: Path) -> None:
    jwt("admin", "users", "add", "grace", "--password-stdin", "--data", data, given=PASSWORD)
    tokens: dict[str, Any] = {"ADMIT_TOKENS": str(tmp_path / "state" / "tokens.json")}
    assert jwt("login", url, "--user", "grace", "--password-stdin", given=PASSWORD, **tokens) == ""
    path = Path(tokens["ADMIT_TOKENS"])
    assert path.stat().st_mode & 0o777 == 0o600
    first = json.loads(path.read_text())
    assert peek(jwt("refresh", "--print", **tokens).strip()).claims["iss"] == url
    assert json.loads(path.read_text())["access_token"] != first["access_token"]
    jwt("logout", **tokens)
    assert not path.exists()
    assert "no tokens" in jwt("refresh", code=2, **tokens)


def test_wrong_credentials_a_silent_service_and_plain_http_each_have_their_exit_code(url: str, tmp_path: Path) -> None:
    tokens = {"ADMIT_TOKENS": str(tmp_path / "tokens.json")}
    jwt("login", url, "--user", "nobody", "--password-stdin", given="x", code=25, **tokens)
    jwt("login", "http://127.0.0.1:9", "--user", "nobody", "--password-stdin", given="x", code=14, **tokens)
    jwt("login", "http://auth.example", "--user", "nobody", "--password-stdin", given="x", code=2, **tokens)
    assert not (tmp_path / "tokens.json").exists()


def test_sessions_are_listed_with_device_and_login_and_ended(data: str, url: str, tmp_path: Path) -> None:
    sub = json.loads(jwt("admin", "users", "add", "heidi", "--password-stdin", "--data", data, given=PASSWORD))["id"]
    for name in ("one", "two", "three"):
        tokens = str(tmp_path / name)
        jwt("login", url, "--user", "heidi", "--password-stdin", given=PASSWORD, ADMIT_TOKENS=tokens)
    listed = json.loads(jwt("admin", "sessions", "list", "heidi", "--data", data))
    assert len(listed) == 3
    assert {(each["sub"], each["address"], each["auth_method"]) for each in listed} == {(sub, "127.0.0.1", "pwd")}
    assert all(each["device"] and each["auth_time"] and each["last_used_at"] for each in listed)
    jwt("admin", "sessions", "end", "heidi", listed[0]["id"], "--data", data)
    left = json.loads(jwt("admin", "sessions", "list", "heidi", "--data", data))
    assert [each["id"] for each in left] == [each["id"] for each in listed[1:]]
    assert "no live session" in jwt("admin", "sessions", "end", "heidi", listed[0]["id"], "--data", data, code=2)
    jwt("admin", "sessions", "end", "heidi", "--all", "--data", data)
    assert json.loads(jwt("admin", "sessions", "list", "heidi", "--data", data)) == []
    assert "--all" in jwt("admin", "sessions", "end", "heidi", "--data", data, code=2)


def test_a_session_whose_id_looks_like_an_option_can_be_ended(data: str) -> None:
    jwt("admin", "users", "add", "peggy", "--password-stdin", "--data", data, given=PASSWORD)
    hyphened, hyphens, plain = "-6" + "A" * 22, "--all" + "A" * 19, "A" * 24
    for given, named in (
        ((hyphened, "--data", data), hyphened),
        (("--data", data, plain, hyphens), f"{plain}, {hyphens}"),
        (("--data", data, "--", hyphened), hyphened),
    ):
        assert f"no live session {named}\n" in jwt("admin", "sessions", "end", "peggy", *given, code=2)


def test_the_audit_trail_is_a_line_of_json_for_each_event(data: str, url: str) -> None:
    sub = json.loads(jwt("admin", "users", "add", "ivan", "--password-stdin", "--data", data, given=PASSWORD))["id"]
    jwt("login", url, "--user", "ivan", "--password-stdin", given="wrong", code=25)
    told = [json.loads(line) for line in jwt("admin", "audit", "--user", "ivan", "--data", data).splitlines()]
    assert [(each["event"], each["sub"]) for each in told] == [("user.added", sub), ("login.failed", sub)]
    after = jwt("admin", "audit", "--after", str(told[0]["id"]), "--event", "login.failed", "--data", data)
    assert [json.loads(line)["id"] for line in after.splitlines()] == [told[1]["id"]]
    assert jwt("admin", "audit", "--event", "never", "--data", data) == ""
