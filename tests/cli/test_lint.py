"""`jwt lint` where its transcript cannot show it: what other programs read of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.command import run

UNSIGNED = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("logs/my app#1%.log", "logs/my%20app%231%25.log"),
        ("a:b?.log", "a%3Ab%3F.log"),
        ("Zoë.log", "Zo%C3%AB.log"),
    ],
)
def test_the_places_in_sarif_are_uris(name: str, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("logs").mkdir()
    Path(name).write_text(UNSIGNED)
    whole = f"file://{tmp_path}/{uri}".replace("%3A", ":")  # which stands for itself where no scheme could be meant
    for given, expected in ((name, uri), (str(tmp_path / name), whole)):
        results = json.loads(run("lint", "--scan", given, "--format", "sarif").stdout)["runs"][0]["results"]
        found = {each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in results}
        assert {each.replace("%3A", ":") if given != name else each for each in found} == {expected}


def test_two_forms_at_once_are_refused() -> None:
    assert run("lint", UNSIGNED, "--format", "sarif", "--json").returncode == 2
    assert run("lint", UNSIGNED, "--format", "json", "--json").returncode == 17
