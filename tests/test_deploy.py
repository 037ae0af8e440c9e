"""The examples of deployments are read by those that they are for."""

from __future__ import annotations

import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from admit.server.settings import Settings

DEPLOY = Path(__file__).parents[1] / "docs" / "deploy"


def test_the_unit_runs_as_a_user_of_its_own_and_gives_the_end_its_time() -> None:
    unit = RawConfigParser(strict=True)
    unit.read_string((DEPLOY / "admit.service").read_text())
    service = unit["Service"]
    assert service["user"] == "admit"
    assert service["nonewprivileges"] == "yes"
    assert int(service["timeoutstopsec"]) > 15  # what the supervisor waits before it kills
    assert int(service["limitnofile"]) > 2 * Settings().followers


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "admit.service").read_text().replace("/opt/admit/bin/admit", "/bin/true")
    (tmp_path / "admit.service").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "admit.service")], capture_output=True, text=True
    )
    assert "admit.service:" not in done.stderr, done.stderr


def test_the_container_file_has_known_instructions_and_no_root() -> None:
    lines = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ").splitlines()
    words = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    assert {word for word, _ in words} <= {"FROM", "RUN", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT"}
    assert dict(words)["USER"] == "admit"
