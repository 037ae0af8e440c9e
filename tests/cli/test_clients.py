"""`jwt admin clients`, as its user runs it: in this process, for each of its commands opens the database by itself."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from admit import Key, KeySet
from admit.cli.commands import invoke

Jwt = Callable[..., str]


@pytest.fixture
def data(tmp_path: Path) -> str:
    return str(tmp_path / "d")


@pytest.fixture
def jwt(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Jwt:
    """Runs one command line; its stdout, or its stderr where it is expected to fail."""

    def run(*arguments: str, given: str = "", code: int = 0) -> str:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        assert invoke(list(arguments), "jwt") == code
        out, err = capsys.readouterr()
        return out if code == 0 else err

    return run


def test_a_client_is_added_listed_shown_and_removed_and_its_secret_is_seen_once(jwt: Jwt, data: str) -> None:
    asked = ("--grant", "client_credentials", "--audience", "orders", "--audience", "billing", "--scope", "orders:read")
    added = json.loads(jwt("admin", "clients", "add", "web", *asked, "--data", data))
    assert (added["client_id"], added["auth_method"]) == ("client.web", "client_secret")
    assert added["client_secret"].startswith("admit_cs_")
    assert (added["audiences"], added["scopes"]) == (["orders", "billing"], ["orders:read"])
    listed = jwt("admin", "clients", "list", "--data", data)
    shown = jwt("admin", "clients", "show", "client.web", "--data", data)
    assert added["client_secret"] not in listed + shown
    assert [each["client_id"] for each in json.loads(listed)] == ["client.first-party", "client.web"]
    assert json.loads(shown)["grants"] == ["client_credentials"]
    jwt("admin", "clients", "remove", "web", "--data", data)
    assert json.loads(jwt("admin", "clients", "show", "web", "--data", data))["disabled"] is True
    assert "exists" in jwt("admin", "clients", "add", "web", *asked, "--data", data, code=25)
    for command in ("show", "remove", "rotate-secret"):
        assert "no client" in jwt("admin", "clients", command, "nobody", "--data", data, code=2)


def test_a_secret_is_rotated_with_and_without_an_overlap(jwt: Jwt, data: str) -> None:
    first = json.loads(jwt("admin", "clients", "add", "turns", "--audience", "orders", "--data", data))
    second = json.loads(jwt("admin", "clients", "rotate-secret", "turns", "--overlap", "2h", "--data", data))
    third = json.loads(jwt("admin", "clients", "rotate-secret", "turns", "--overlap", "0", "--data", data))
    assert len({each["client_secret"] for each in (first, second, third)}) == 3
    assert 7000 < second["old_secret_until_at"] - time.time() <= 7200
    assert third["old_secret_until_at"] is None
    assert "--overlap" in jwt("admin", "clients", "rotate-secret", "turns", "--overlap", "soon", "--data", data, code=2)


def test_a_client_has_keys_in_place_of_a_secret(jwt: Jwt, data: str, tmp_path: Path) -> None:
    key, other, path = Key.generate("ES256"), Key.generate("ES256"), tmp_path / "key.json"
    path.write_text(json.dumps(key.to_jwk()))
    add = ("admin", "clients", "add", "keyed", "--audience", "orders", "--data", data, "--jwks")
    added = json.loads(jwt(*add, str(path)))
    assert (added["auth_method"], added["client_secret"]) == ("private_key_jwt", None)
    both = json.dumps(KeySet([key.public(), other.public()]).to_jwks())
    jwt("admin", "clients", "set-keys", "keyed", "-", "--data", data, given=both)
    shown = json.loads(jwt("admin", "clients", "show", "keyed", "--data", data))
    assert [each["kid"] for each in shown["jwks"]["keys"]] == [key.kid, other.kid]
    assert "has no secret" in jwt("admin", "clients", "rotate-secret", "keyed", "--data", data, code=25)
    private = json.dumps(key.to_jwk(private=True))
    refused = jwt(*add[:3], "leaky", *add[4:], "-", given=private, code=25)
    assert "private key" in refused
    assert key.to_jwk(private=True)["d"] not in refused
    assert "not JSON" in jwt(*add[:3], "leaky", *add[4:], "-", given="x", code=2)
    assert "--public" in jwt(*add[:3], "leaky", *add[4:], str(path), "--public", code=2)
