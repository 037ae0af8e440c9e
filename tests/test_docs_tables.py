"""The tables of the documentation say what the program does: its extras, its requests, its settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from admit.server.openapi import document
from admit.server.settings import names

ROOT = Path(__file__).resolve().parent.parent


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def test_the_readme_says_what_every_extra_is_for() -> None:
    extras = tomllib.loads(text("pyproject.toml"))["project"]["optional-dependencies"]
    install = text("README.md").partition("## Install")[2].partition("\n## ")[0]
    assert [extra for extra in extras if f"`{extra}`" not in install] == []


def test_the_table_of_requests_is_that_of_the_openapi_document() -> None:
    operations = {
        f"{method.upper()} {path}": described
        for path, methods in document("https://auth.example")["paths"].items()
        for method, described in methods.items()
    }
    rows = re.findall(
        r"^\| `([A-Z]+ /.*?)`( \*)? \|.*?\| (.*?) ?\|",
        text("docs/http.md"),
        re.MULTILINE,
    )
    assert sorted(request for request, _, _ in rows) == sorted(operations)
    for request, star, parameters in rows:
        body = operations[request].get("requestBody", {}).get("content", {})
        assert bool(star) == ("application/json" in body), request
        schema = next(iter(body.values()))["schema"] if body else {"properties": {}, "required": []}
        query = [each["name"] for each in operations[request].get("parameters", ()) if each["in"] == "query"]
        named, optional = (set(re.findall(r"`(\w+)`", part)) for part in (parameters, parameters.partition("(")[2]))
        assert set(schema["required"]) <= named - optional, request
        assert named <= {*schema["properties"], *query}, request
        assert set(query) <= named, request


def in_force(home: Path, *flags: str) -> dict[str, object]:
    """What `jwt serve --print-config` prints for a user who has set nothing."""
    command = [str(Path(sys.executable).parent / "admit"), "serve", "--print-config", *flags]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return tomllib.loads(done.stdout)


@pytest.mark.once
def test_the_table_of_settings_has_each_with_its_default(tmp_path: Path) -> None:
    default = in_force(tmp_path)
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| .", text("docs/settings.md"), re.MULTILINE)
    assert tuple(name for name, _ in rows) == names() == tuple(default)
    for name, shown in rows:
        if name in ("data", "issuer", "database", "master_key_file"):
            continue  # in words
        value, said = default[name], re.findall("`(.*?)`", shown)
        if value in ("", []):
            assert shown == "none", name
        else:
            assert said == [str(each) for each in (value if isinstance(value, list) else [value])], name


@pytest.mark.once
def test_the_file_of_settings_that_is_shown_is_one(tmp_path: Path) -> None:
    shown = text("docs/settings.md").partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "admit.toml").write_text(shown)
    written, found = tomllib.loads(shown), in_force(tmp_path, "--config", str(tmp_path / "admit.toml"))
    assert found | written == found
    assert "ADMIT_CONFIG=/etc/admit/admit.toml" in text("docs/deploy/admit.service")
