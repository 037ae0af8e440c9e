"""`jwt admin keys`: import, rewrap, rotate-mac, retire, and the timeline that a person sees."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from admit import Key
from admit.cli.key_timeline import timeline
from admit.service.results import SigningKey
from tests.cli.test_admin import jwt
from tests.cli.test_terminal import COLOR, plain
from tests.helpers.command import environment, run
from tests.helpers.terminal import in_terminal

DAY = 86400.0
NOW = 1_800_000_000.0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A service's, with a key that was taken in: the tests here run in any order, and in any process."""
    folder = str(tmp_path_factory.mktemp("keys") / "d")
    jwt("admin", "keys", "import", "-", "--data", folder, given=json.dumps(Key.generate("ES256").to_jwk(private=True)))
    return folder


def test_a_private_key_is_taken_in_from_a_file_or_stdin_and_never_shown(data: str, tmp_path: Path) -> None:
    key = Key.generate("ES256")
    path = tmp_path / "old.pem"
    path.write_bytes(key.to_pem(private=True))
    taken = json.loads(jwt("admin", "keys", "import", str(path), "--kid", "2019-key", "--data", data))
    assert (taken["kid"], taken["state"], taken["next_state"]) == ("2019-key", "pending", "active")
    assert "d" not in taken
    assert "already" in jwt("admin", "keys", "import", str(path), "--kid", "2019-key", "--data", data, code=25)
    assert "known already" in jwt("admin", "keys", "import", str(path), "--data", data, code=25)
    other = json.dumps(Key.generate("ES256").to_jwk(private=True))
    assert json.loads(jwt("admin", "keys", "import", "-", "--data", data, given=other))["state"] == "pending"
    assert "cannot read" in jwt("admin", "keys", "import", other, "--data", data, code=2)


def test_the_master_key_changes_in_three_steps(data: str) -> None:
    pair = jwt("admin", "keys", "list", "--data", data)
    new = jwt("admin", "keys", "new-master", "--data", data).strip()
    assert new == f"{data}/master.key.2"
    jwt("admin", "keys", "rotate-mac", "--data", data)
    done = json.loads(jwt("admin", "keys", "rewrap", "--data", data))
    assert done["rewrapped"] >= 8
    assert done["master_key_version"] == 2
    assert json.loads(jwt("admin", "keys", "rewrap", "--data", data))["rewrapped"] == 0
    mislaid = Path(new).rename(Path(data, "mislaid"))
    assert "version 2" in jwt("admin", "keys", "new-master", "--data", data, code=23)  # not another one of that number
    mislaid.rename(new)
    Path(data, "master.key").unlink()
    assert json.loads(jwt("admin", "keys", "list", "--data", data)) == json.loads(pair)
    third = Path(jwt("admin", "keys", "new-master", "--data", data).strip())  # though the first one is gone
    jwt("admin", "keys", "rewrap", "--data", data)
    mislaid = third.rename(Path(data, "mislaid"))
    assert "version 3" in jwt("admin", "keys", "new-master", "--data", data, code=23)
    mislaid.rename(third)


def test_a_key_that_is_pasted_where_its_file_belongs_is_not_repeated(data: str) -> None:
    key = Key.generate("ES256")
    for pasted in (json.dumps(key.to_jwk(private=True)), key.to_pem(private=True).decode()):
        done = run("admin", "keys", "import", pasted, "--data", data, env=environment())
        assert done.returncode == 2
        assert not any(pasted[at : at + 16] in done.stderr for at in range(30, len(pasted) - 46, 8))
        assert "key" in done.stderr


def test_an_algorithm_that_is_signed_with_is_not_retired(data: str) -> None:
    assert "set to sign" in jwt("admin", "keys", "retire", "ES256", "--data", data, code=25)
    assert "no Ed25519 key" in jwt("admin", "keys", "retire", "Ed25519", "--data", data, code=25)


def test_a_person_sees_a_timeline_in_color(data: str) -> None:
    code, shown = in_terminal(["admin", "keys", "list", "--data", data], LANG="C.UTF-8", COLUMNS="90")
    assert code == 0
    assert COLOR in shown
    text = plain(shown)
    assert re.search(r"^access ES256$", text, re.MULTILINE)
    assert re.search(r"^  \S{43}  active since .*, is rotated in 29 d 23 h$", text, re.MULTILINE)
    assert re.search(r"^next: in .*, the (access|feed) ES256 key \S+ (is rotated|begins to sign)$", text, re.MULTILINE)


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def _key(kid: str, state: str, created: float, active: float | None = None, **more: object) -> SigningKey:
    times: dict[str, object] = {"retiring_at": None, "ended_at": None} | more
    return SigningKey(
        kid=kid, alg="ES256", use="access", state=state, ordinal=1, created_at=NOW + created * DAY,
        active_at=None if active is None else NOW + active * DAY, **times,  # type: ignore[arg-type]
    )  # fmt: skip


def _drawn(*keys: SigningKey) -> list[str]:
    return ["".join(text for text, _ in parts) for parts in timeline(keys, NOW, 61, fine=False)]


def test_each_state_has_its_stretch_of_the_bar_and_now_its_column(utc: None) -> None:
    lines = _drawn(
        _key("old", "retiring", -30, -30, retiring_at=NOW - 10 * DAY, next_state="retired", next_at=NOW + 10 * DAY),
        _key("new", "active", -30, -10, next_state="retiring", next_at=NOW + 20 * DAY),
        _key("next", "pending", -10, next_state="active", next_at=NOW + 30 * DAY),
        _key("bad", "revoked", -30, -30, ended_at=NOW - 20 * DAY),
    )
    assert lines == [
        "access ES256",
        "  old  retiring since 10 d, retires in 10 d",
        "  " + "#" * 20 + "=" * 10 + "|" + "=" * 9 + " " * 21,
        "  new  active since 10 d, is rotated in 20 d",
        "  " + "." * 20 + "#" * 10 + "|" + "#" * 19 + "=" * 11,
        "  next  pending since 10 d, signs in 30 d",
        "  " + " " * 20 + "." * 10 + "|" + "." * 29 + "#",
        "  bad  revoked since 20 d",
        "  " + "#" * 10 + "x" + " " * 19 + "|" + " " * 30,
        "  2026-12-16" + " " * 19 + "now" + " " * 19 + "2027-02-14",
        "next: in 10 d (2027-01-25 08:00:00 UTC), the access ES256 key old retires",
    ]


def test_a_step_beyond_what_a_calendar_knows_is_drawn_all_the_same() -> None:
    lines = _drawn(_key("new", "active", 0, 0, next_state="retiring", next_at=NOW + 9_999_999 * DAY))
    assert lines[-1].endswith("(9999-12-31 or later), the access ES256 key new is rotated")


def test_a_step_that_lies_ahead_is_a_clocks_mistake() -> None:
    lines = _drawn(_key("new", "active", 0, 400, next_state="retiring", next_at=NOW + 430 * DAY))
    assert lines[1] == "  new  active, by a clock that was 400 d ahead, is rotated in 430 d"


def test_a_step_that_is_overdue_is_due_now_and_what_ended_long_ago_is_counted() -> None:
    lines = _drawn(
        _key("gone", "retired", -300, -290, retiring_at=NOW - 200 * DAY, ended_at=NOW - 199 * DAY),
        _key("late", "active", -90, -90, next_state="retiring", next_at=NOW - 60 * DAY),
    )
    assert lines[0] == "access ES256, and 1 older"
    assert lines[-1] == "next: due now, the access ES256 key late is rotated"
    assert _drawn() == ["next: nothing is due"]
