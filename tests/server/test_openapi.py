"""The OpenAPI document holds for every answer: schemathesis plays it against a real service."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import admit.server.app
import admit.server.errors
from admit import TokenService
from admit.server.app import ENDPOINTS, create_app
from admit.server.openapi import OPERATIONS


def test_every_endpoint_is_described_and_nothing_else() -> None:
    assert {(row.method, row.path) for row in ENDPOINTS} == set(OPERATIONS)


def test_it_is_encoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = TokenService(f"sqlite:///{tmp_path}/auth.db", issuer="https://auth.example", audience="orders")
    app = create_app(service)

    def encode(body: object) -> bytes:
        raise AssertionError("again")

    for module in (admit.server.app, admit.server.errors):
        monkeypatch.setattr(module, "json_bytes", encode)
    answer = TestClient(app).get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["info"]
    service.close()


@pytest.mark.once
def test_schemathesis_finds_no_500_and_no_undocumented_answer(serve: Callable[..., Any], tmp_path: Path) -> None:
    service = serve()
    service.add_user()
    for _ in range(3):  # the feed has news, so that no example waits for it
        service.post("/logout", refresh_token=service.login()["refresh_token"])
    document = service.http.get(service.url + "/openapi.json").json()
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document))
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", str(path), "--url", service.url),
            *("--max-examples", "10", "--phases", "examples,coverage,fuzzing", "--request-timeout", "30"),
            *("--checks", "not_a_server_error,status_code_conformance,content_type_conformance"),
            *("--checks", "response_schema_conformance,unsupported_method"),
            *("--header", f"Authorization: Bearer {service.login()['access_token']}", "--no-color", "--seed", "1"),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert service.login()
