"""`jwt demo`: a token service and an API, two processes that share nothing but HTTP, and a client that plays the story.

Each step says what it does, what came back and how long it took; the demo ends with 0 only if each did what it says.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import click
import httpx2

from admit import peek
from admit.cli.exits import Exit, Stop
from admit.cli.output import safe, to_json
from admit.clock import monotonic, random_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

GRACE: Final = 1.0
"""Seconds; 10 in the real service, shortened so that the replay need not wait."""
RETRY: Final = 2.0
"""Seconds; 10 minutes in the real service."""
_sleep: Final = Event().wait
_ENDS: Final = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_PATIENCE: Final = 30.0  # seconds for a process to start, or for a revocation to arrive


class Wrong(Exception):
    """A step did not do what it says."""


def expect(true: object, what: str) -> None:
    """Raises Wrong unless it is so."""
    if not true:
        raise Wrong(what)


class Story:
    """The client's side: what it knows, and each step as a method that answers what came back, in a line."""

    def __init__(self, folder: Path, processes: ExitStack) -> None:
        self.folder, self.processes = folder, processes
        self.password = random_id()
        self.http = processes.enter_context(httpx2.Client(timeout=10.0, trust_env=False))
        self.service = self.api = ""
        self.pids: dict[str, subprocess.Popen[str]] = {}
        self.first = self.current = self.rotated = {}  # type: dict[str, Any]

    def start_service(self) -> str:
        """the token service starts: `jwt serve`, one process, SQLite in a new folder"""
        said = self._start("serve", "admit.cli", "serve", "--port", "0", "--data", str(self.folder),
                           "--audience", "orders", "--scopes", "orders:read", "--grace", f"{GRACE}s",
                           "--retry-window", f"{RETRY}s")  # fmt: skip
        self.service = said["url"]
        return f"{self.service}, its data in a folder of mode {self.folder.stat().st_mode & 0o777:o}"

    def add_user(self) -> str:
        """add user alice: `jwt admin users add alice --password-stdin`"""
        user = json.loads(self._admin("users", "add", "alice", "--password-stdin", given=self.password))
        return f"her id, the `sub` of her tokens: {user['id']}"

    def start_api(self) -> str:
        """the orders API starts: another process, which is told the service's URL and nothing else"""
        self.api = self._start("api", "admit.web.demo_api", self.service)["url"] + "/orders"
        return self.api

    def wrong_password(self) -> str:
        """log in with a wrong password: refused"""
        answer = self._post("/login", username="alice", password="wrong " + self.password)
        unknown = self._post("/login", username="nobody", password=self.password)
        expect(answer.status_code == unknown.status_code == 401, "a wrong password must be answered with 401")
        expect(answer.content == unknown.content, "an unknown user must be answered like a wrong password")
        return f"401 {answer.json()['error']}, and the same for an unknown user"

    def log_in(self) -> str:
        """log in as alice: an access token and a refresh token"""
        self.first = self.current = self._tokens(self._post("/login", username="alice", password=self.password))
        return (
            f"200, access token of {len(self.current['access_token'])} characters, for {self.current['expires_in']} s"
        )

    def decode(self) -> str:
        """the access token has three parts: header, claims, signature"""
        token = self.current["access_token"]
        peeked = peek(token)
        expect(peeked.header["typ"] == "at+jwt" and peeked.claims["aud"] == "orders", "an at+jwt for orders")
        parts = (to_json(peeked.header), to_json(peeked.claims), token.rpartition(".")[2][:40] + "...")
        return "".join("\n        " + part for part in parts)

    def call_api(self) -> str:
        """call the API with it"""
        answer = self._call(self.current["access_token"])
        expect(answer.status_code == 200, f"200 was expected, not {answer.status_code}")
        return f"200 {safe(answer.text)}"

    def call_without(self) -> str:
        """call the API without a token: refused"""
        answer = self.http.get(self.api)
        expect(answer.status_code == 401, f"401 was expected, not {answer.status_code}")
        return f"401 {answer.headers['www-authenticate']}"

    def call_changed(self) -> str:
        """call the API with one byte of the token changed: refused"""
        token = self.current["access_token"]
        middle = len(token) - 40
        answer = self._call(token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :])
        expect(answer.status_code == 401, f"401 was expected, not {answer.status_code}")
        return f"401 {answer.headers['www-authenticate']}"

    def refresh(self) -> str:
        """refresh: a new access token, a new refresh token"""
        _sleep(GRACE)  # a refresh token younger than its grace is not rotated yet
        self.rotated = self._refresh(self.first)
        expect(self.rotated["refresh_token"] != self.first["refresh_token"], "the refresh token must change")
        return f"200, and a new refresh token (after its grace of {GRACE:g} s: a younger one stays)"

    def refresh_again(self) -> str:
        """the same old refresh token once more, at once, as if the answer had been lost"""
        again = self._refresh(self.first)
        expect(again["refresh_token"] == self.rotated["refresh_token"], "the successor must be the same one")
        return "200, and the very same successor: nobody is logged out by a lost answer"

    def rotate_keys(self) -> str:
        """rotate the signing keys: `jwt admin keys rotate`; the old token still passes, a new one has the new kid"""
        old = self.rotated["access_token"]
        rotated = json.loads(self._admin("keys", "rotate", "--json"))
        deadline = monotonic() + _PATIENCE
        while True:
            new = self._tokens(self._post("/login", username="alice", password=self.password))["access_token"]
            if peek(new).header["kid"] == rotated["kid"]:
                break
            expect(monotonic() < deadline, "the service must sign with the new key")
        expect(peek(old).header["kid"] != rotated["kid"], "the key must be another one")
        statuses = [self._call(token).status_code for token in (old, new)]
        expect(statuses == [200, 200], f"200 was expected for both, not {statuses}")
        return f"kid {peek(old).header['kid'][:8]}... -> {rotated['kid'][:8]}..., and the API takes both"

    def replay(self) -> str:
        """replay the old refresh token after its windows, as a thief would: the session ends"""
        self.current = self._refresh(self.rotated)  # its owner goes on with the successor
        _sleep(RETRY + 0.1)
        answer = self._grant(self.first)
        expect(answer.status_code == 400 and answer.json()["error"] == "invalid_grant", "invalid_grant was expected")
        delay = self._until_refused(self.current["access_token"])
        after = self._grant(self.current)
        expect(after.status_code == 400, "the owner's refresh token must be refused too")
        return f"400 invalid_grant; the API refuses the session's access token after {delay * 1000:.0f} ms"

    def everywhere(self) -> str:
        """log in on two devices, then log out everywhere"""
        phone, laptop = (
            self._tokens(self._post("/login", username="alice", password=self.password, device=device))
            for device in ("phone", "laptop")
        )
        expect(self._call(phone["access_token"]).status_code == 200, "the phone's token must pass before")
        expect(self._call(laptop["access_token"]).status_code == 200, "the laptop's token must pass before")
        # What an API was shown is no permission here: a token for the service itself comes for the refresh token.
        own = self._tokens(self._grant(phone, audience=self.service))["access_token"]
        answer = self.http.delete(self.service + "/sessions", headers=_bearer(own))
        expect(answer.status_code == 204, f"204 was expected, not {answer.status_code}")
        delay = max(self._until_refused(each["access_token"]) for each in (phone, laptop))
        refused = [self._grant(each).status_code for each in (phone, laptop)]
        expect(refused == [400, 400], "both refresh tokens must be refused")
        return f"204; the API refuses both access tokens after {delay * 1000:.0f} ms, the service both refresh tokens"

    def stop(self) -> str:
        """stop both processes: SIGTERM"""
        for process in self.pids.values():
            process.terminate()
        codes = {name: process.wait(_PATIENCE) for name, process in self.pids.items()}
        expect(set(codes.values()) == {0}, f"both must end with 0, not {codes}")
        return "both ended with 0"

    def _start(self, name: str, *module: str) -> dict[str, Any]:
        process = self.processes.enter_context(_process(*module))
        self.pids[name] = process
        line = process.stdout.readline() if process.stdout is not None else ""
        expect(line, f"{name} did not start")
        said: dict[str, Any] = json.loads(line)
        return said

    def _admin(self, *arguments: str, given: str = "") -> str:
        command = [sys.executable, "-m", "admit.cli", "admin", *arguments, "--data", str(self.folder)]
        done = subprocess.run(  # noqa: S603
            command,
            input=given,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
            env=_environment(),
            process_group=0,
        )
        expect(done.returncode == 0, f"jwt admin {arguments[0]} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def _post(self, path: str, **form: str) -> httpx2.Response:
        return self.http.post(self.service + path, data=form)

    def _grant(self, tokens: dict[str, Any], **form: str) -> httpx2.Response:
        return self._post("/token", grant_type="refresh_token", refresh_token=tokens["refresh_token"], **form)

    def _refresh(self, tokens: dict[str, Any]) -> dict[str, Any]:
        return self._tokens(self._grant(tokens))

    def _tokens(self, answer: httpx2.Response) -> dict[str, Any]:
        expect(answer.status_code == 200, f"200 was expected, not {answer.status_code} {answer.text}")
        body: dict[str, Any] = answer.json()
        return body

    def _call(self, token: str) -> httpx2.Response:
        return self.http.get(self.api, headers=_bearer(token))

    def _until_refused(self, token: str) -> float:
        begun = monotonic()
        while self._call(token).status_code != 401:
            expect(monotonic() < begun + _PATIENCE, "the API must refuse the token")
            _sleep(0.002)
        return monotonic() - begun


STEPS: Final[tuple[Callable[[Story], str], ...]] = (
    Story.start_service,
    Story.add_user,
    Story.start_api,
    Story.wrong_password,
    Story.log_in,
    Story.decode,
    Story.call_api,
    Story.call_without,
    Story.call_changed,
    Story.refresh,
    Story.refresh_again,
    Story.rotate_keys,
    Story.replay,
    Story.everywhere,
    Story.stop,
)


@click.command()
def demo() -> None:
    """See Admit at work: a token service and an API as two processes, and a client that plays every step."""
    begun = monotonic()
    with ExitStack() as stack:
        stack.enter_context(_terminated())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="admit-demo-")))
        story = Story(folder, stack)
        for number, step in enumerate(STEPS, 1):
            click.echo(click.style(f"{number:>3}. {' '.join((step.__doc__ or '').split())}", bold=True))
            at = monotonic()
            try:
                came_back = step(story)
            except (Wrong, httpx2.HTTPError, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
                said = str(error) if isinstance(error, Wrong) else type(error).__name__
                raise Stop(f"step {number} did not do what it says: {said}", Exit.UNEXPECTED) from None
            taken = click.style(f"({(monotonic() - at) * 1000:.0f} ms)", dim=True)
            click.echo(f"     {click.style('->', fg='green')} {came_back}  {taken}")
    expect(not folder.exists(), "nothing may be left behind")
    click.echo(f"All {len(STEPS)} steps did what they say, in {monotonic() - begun:.1f} s; nothing is left behind.")


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _environment() -> dict[str, str]:
    """The environment without settings of a service that the user may run: the demo is its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ADMIT_")}


@contextmanager
def _process(*module: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that is gone afterwards, whatever happens."""
    process: subprocess.Popen[str] | None = None
    try:
        with _held():  # interrupted while it begins, it would be nobody's
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", *module],
                stdout=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                text=True,
                env=_environment(),
                process_group=0,  # Ctrl-C is for the demo, which ends what it began
            )
        yield process
    finally:
        if process is not None:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    with process:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def _held() -> Iterator[None]:
    """Whatever ends the demo waits until this is over."""
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number)) for number in (signal.SIGINT, *_ENDS)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


@contextmanager
def _terminated() -> Iterator[None]:
    """SIGTERM, and a closed terminal, end the demo as Ctrl-C does, so that its processes and its folder go with it."""

    def interrupt(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
