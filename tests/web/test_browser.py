"""A real browser against a real application: what it stores, what it sends, and what other pages can make it send.

Needs Chromium on PATH (Debian: `apt-get install chromium`), and is skipped where there is none.
"""

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
import uvicorn
from fastapi import FastAPI, Security, WebSocket
from fastapi.responses import HTMLResponse

from admit import Claims, Cookies, TokenService
from admit.web.auth_router import auth_router
from admit.web.fastapi import Bearer
from tests.helpers.certificate import write_certificate

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH: apt-get install chromium")
PASSWORD = "correct horse battery staple"
FETCH = """async ([path, method, form]) => {
    const answer = await fetch(path, {method, body: form ? new URLSearchParams(form) : undefined});
    return [answer.status, await answer.text()];
}"""
SUBMIT = """([url, fields]) => {
    const form = Object.assign(document.createElement("form"), {method: "POST", action: url});
    for (const [name, value] of Object.entries(fields))
        form.append(Object.assign(document.createElement("input"), {name, value}));
    document.body.append(form);
    form.submit();
}"""
OPEN = """([url, protocols]) => new Promise(resolve => {
    const socket = new WebSocket(url, protocols);
    socket.onmessage = event => { resolve(event.data); socket.close(); };
    socket.onerror = () => resolve("refused");
})"""


class Shop:
    """An application with cookies, and the pages of others, each on a port of its own."""

    def __init__(self, origin: str, folder: Path) -> None:
        self.origin, self.bought = origin, list[str]()
        self.auth = TokenService(f"sqlite:///{folder}/auth.db", issuer=origin, audience="orders")
        self.auth.users.add("alice", PASSWORD)
        self.cookies = Cookies(origin)
        self.app, bearer = FastAPI(), Bearer(self.auth.verifier(), cookies=self.cookies)
        self.app.include_router(auth_router(self.auth, cookies=self.cookies))

        @self.app.get("/", response_class=HTMLResponse)
        def page() -> str:
            return "<!doctype html><title>shop</title>"

        @self.app.get("/orders")
        def orders(who: Annotated[Claims[None], Security(bearer)]) -> list[str]:
            return self.bought

        @self.app.post("/orders")
        def order(who: Annotated[Claims[None], Security(bearer)]) -> str:
            self.bought.append(who.sub)
            return "ordered"

        @self.app.websocket("/live")
        async def live(websocket: WebSocket, who: Annotated[Claims[None], Security(bearer.socket)]) -> None:
            await websocket.accept(subprotocol=next(iter({"admit"} & {*websocket.scope["subprotocols"]}), None))
            await websocket.send_text("live")


async def foreign_page(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
    await send({"type": "http.response.body", "body": b"<!doctype html><title>evil</title>"})


@contextmanager
def served(listener: socket.socket, app: Any, **more: Any) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", **more))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # The sandbox wants more than a container gives; what it opens here is our own.
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_browser_keeps_the_tokens_from_scripts_and_from_other_pages(
    browser: Any, scheme: str, tmp_path: Path
) -> None:
    tls = write_certificate(tmp_path) if scheme == "https" else {}
    with ExitStack() as stack:
        own, foreign = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        base = f"{scheme}://127.0.0.1:{own.getsockname()[1]}"
        neighbor = (
            f"{scheme}://127.0.0.1:{foreign.getsockname()[1]}"  # another origin of the same site: ports do not count
        )
        stranger = f"{scheme}://localhost:{foreign.getsockname()[1]}"
        shop = Shop(base, tmp_path)
        stack.callback(shop.auth.close)
        stack.enter_context(served(own, shop.app, **tls))
        stack.enter_context(served(foreign, foreign_page, **tls))
        context = stack.enter_context(browser.new_context(ignore_https_errors=True))
        page = context.new_page()

        def fetch(path: str, method: str = "GET", **form: str) -> tuple[int, str]:
            return tuple(page.evaluate(FETCH, [path, method, form or None]))

        def submitted(start: str, path: str, **fields: str) -> int:
            page.goto(start)
            with page.expect_navigation() as navigation:
                page.evaluate(SUBMIT, [base + path, fields])
            status: int = navigation.value.status
            return status

        def socket_from(start: str, *protocols: str) -> str:
            page.goto(start)
            return str(page.evaluate(OPEN, [base.replace("http", "ws") + "/live", list(protocols)]))

        # Another page cannot log the visitor in, whatever it knows.
        assert submitted(stranger, "/login", username="alice", password=PASSWORD) == 403
        assert context.cookies() == []
        assert socket_from(base) == "refused"
        token = shop.auth.login("alice", PASSWORD).access_token
        assert socket_from(base, "admit", f"bearer.{token}") == "live"

        page.goto(base)
        status, body = fetch("/login", "POST", username="alice", password=PASSWORD)
        assert (status, "token" in body) == (200, False)
        assert page.evaluate("document.cookie") == ""
        seen = {cookie["name"]: cookie for cookie in context.cookies()}
        assert set(seen) == {shop.cookies.access, shop.cookies.refresh}
        assert all(name.startswith("__Host-") == (scheme == "https") for name in seen)
        for cookie in seen.values():
            assert (cookie["httpOnly"], cookie["secure"], cookie["path"]) == (True, scheme == "https", "/")
        assert (seen[shop.cookies.access]["sameSite"], seen[shop.cookies.refresh]["sameSite"]) == ("Lax", "Strict")
        assert fetch("/orders", "POST") == (200, '"ordered"')
        assert socket_from(base) == "live"

        # A stranger's form comes without the cookies, a neighbor's with them: neither orders anything.
        assert submitted(stranger, "/orders") == 401
        assert submitted(neighbor, "/orders") == 403
        assert submitted(neighbor, "/logout") == 403
        assert (socket_from(stranger), socket_from(neighbor)) == ("refused", "refused")
        assert len(shop.bought) == 1

        page.goto(base)
        assert fetch("/token", "POST", grant_type="refresh_token")[0] == 200
        assert {cookie["value"] for cookie in context.cookies()} != {cookie["value"] for cookie in seen.values()}
        assert fetch("/sessions")[0] == 200
        assert fetch("/logout", "POST")[0] == 204
        assert context.cookies() == []
        assert fetch("/orders")[0] == 401
