"""One FastAPI application with login, refresh, logout and protection, as examples/embedded.py shows it."""

from __future__ import annotations

import ast
import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
PASSWORD = "correct horse battery staple"
START = """
import sys, uvicorn, embedded
embedded.auth.users.add("alice", sys.argv[2])
server = uvicorn.Server(uvicorn.Config(embedded.app, log_level="error"))
server.run(sockets=[__import__("socket").socket(fileno=int(sys.argv[1]))])
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        descriptor = listener.fileno()
        with subprocess.Popen(
            [sys.executable, "-c", START, str(descriptor), PASSWORD],
            cwd=tmp_path_factory.mktemp("embedded"),
            env={**os.environ, "PYTHONPATH": str(EXAMPLES)},
            pass_fds=[descriptor],
        ) as process:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            process.terminate()


def test_login_refresh_logout_and_protection_work_in_one_application(url: str) -> None:
    with httpx2.Client(base_url=url, timeout=30, trust_env=False) as http:
        assert http.post("/login", data={"username": "alice", "password": "wrong"}).status_code == 401
        tokens = http.post("/login", data={"username": "alice", "password": PASSWORD}).json()
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert http.get("/orders").status_code == 401
        assert http.get("/orders", headers=bearer).status_code == 200
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        assert http.post("/token", data=form).status_code == 200
        assert http.post("/logout", data={"refresh_token": tokens["refresh_token"]}).status_code == 204
        assert http.get("/orders", headers=bearer).status_code == 401  # cut off in process, at once
        assert http.post("/token", data=form).status_code == 400


def test_the_applications_own_document_describes_the_endpoints(url: str) -> None:
    document = httpx2.get(url + "/openapi.json", timeout=30).json()
    assert {"/login", "/token", "/logout", "/sessions", "/orders"} <= document["paths"].keys()
    login = document["paths"]["/login"]["post"]
    assert "application/x-www-form-urlencoded" in login["requestBody"]["content"]
    assert "#/components/schemas/Error" not in str(login)


def test_the_example_has_at_most_twelve_lines_of_its_own() -> None:
    body = ast.parse((EXAMPLES / "embedded.py").read_text()).body
    own = [node for node in body if not isinstance(node, ast.Import | ast.ImportFrom | ast.Expr) or node is body[-1]]
    own += [node for node in body[1:] if isinstance(node, ast.Expr)]  # all but the docstring
    lines = {line for node in own for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    decorators = sum(len(node.decorator_list) for node in own if isinstance(node, ast.FunctionDef))
    assert len(lines) + decorators <= 12


def test_an_applications_own_user_table_stands_in(tmp_path: Path) -> None:
    import sqlite3

    from argon2 import PasswordHasher

    from admit.errors import InvalidGrant

    spec = importlib.util.spec_from_file_location("own_users", EXAMPLES / "own_users.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path = tmp_path / "shop.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE people (id TEXT PRIMARY KEY, email TEXT, hash TEXT, blocked INTEGER)")
    row = ("p1", "alice@example.org", PasswordHasher().hash(PASSWORD), 0)
    connection.execute("INSERT INTO people VALUES (?, ?, ?, ?)", row)
    connection.commit()
    auth = module.make_auth(str(path))
    try:
        pair = auth.login("Alice@example.org", PASSWORD)
        assert pair.sub == "p1"
        for name, password in (("alice@example.org", "wrong"), ("bob@example.org", PASSWORD)):
            with pytest.raises(InvalidGrant):
                auth.login(name, password)
        connection.execute("UPDATE people SET blocked = 1")
        connection.commit()
        with pytest.raises(InvalidGrant):
            auth.login("alice@example.org", PASSWORD)
    finally:
        auth.close()
        connection.close()
