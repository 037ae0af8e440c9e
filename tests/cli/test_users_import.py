"""`jwt admin users import`: files of users whose passwords another system hashed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from passlib import hash as passlib

from admit.cli.commands import invoke
from admit.service.facade import TokenService

PASSWORD = "correct horse battery staple"
HASH = passlib.pbkdf2_sha256.using(rounds=1000).hash(PASSWORD)

JSON_LINES = f"""\
{{"name": "alice", "password_hash": "{HASH}"}}

{{"username": "bob", "password": "{HASH}", "email": "bob@example.com"}}
{{"name": "carol", "password_hash": "hunter2"}}
{{"name": "d d", "password_hash": "{HASH}"}}
not JSON
["alice"]
{{"name": 7, "password_hash": "{HASH}"}}
"""
CSV = f"""\ufeffid,username,password
1,alice,{HASH}
2,"bob",{HASH}
3,carol,hunter2
4,"d d",{HASH}
5
"""


@pytest.mark.parametrize(("name", "text", "refused"), [("users.jsonl", JSON_LINES, 5), ("users.csv", CSV, 3)])
def test_a_file_is_imported_line_by_line_and_can_be_imported_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, refused: int
) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    for added, there in ((2, 0), (0, 2)):
        assert invoke(["admin", "users", "import", str(file), "--data", str(tmp_path / "d")], "jwt") == 2
        told = capsys.readouterr()
        assert json.loads(told.out) == {"added": added, "there_already": there, "refused": refused}
        assert told.err.count("line ") == refused
        assert HASH not in told.err
        assert "hunter2" not in told.err
    service = TokenService(
        f"sqlite:///{tmp_path}/d/admit.db",
        issuer="https://x.example",
        audience="x",
        master_key=tmp_path / "d/master.key",
    )
    assert service.login("Bob", PASSWORD).sub
    service.close()


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "name,hash\n1,2\n", "\xff"])
def test_what_is_no_such_file_is_refused_as_a_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    file = tmp_path / "users"
    file.write_bytes(text.encode("latin-1"))
    assert invoke(["admin", "users", "import", str(file), "--data", str(tmp_path / "d")], "jwt") == 2
    assert "users" in capsys.readouterr().err
