"""Introspection: asking an issuer about single tokens while its revocation feed is too old to be believed (RFC 7662)."""

from __future__ import annotations

import os
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, Final

from admit.errors import MalformedToken, RevocationsUnavailable, RevokedToken, Unavailable
from admit.jose.encoding import json_object
from admit.tokens.waiting import WouldWait, may_wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from admit.clock import Clock
    from admit.remote.credentials import Credentials
    from admit.remote.fetch import Fetcher

_AT_ONCE: Final = 8
"""Questions under way in one process: an issuer that has just come back is not knocked over by all its resource servers."""
_SECONDS: Final = 5.0  # for one question, and for a turn to ask it
_LASTS: Final = 5.0  # seconds that an answer counts
_PAUSE: Final = 1.0  # seconds after a failure in which nobody asks
_MOST: Final = 1000  # answers
_MAX_ANSWER: Final = 64 * 1024  # bytes


class _Here:
    """What belongs to one process: after a fork a lock may be held by a thread that is not there."""

    def __init__(self) -> None:
        self.lock, self.turns = Lock(), BoundedSemaphore(_AT_ONCE)
        self.answers: dict[str, tuple[float, bool]] = {}
        self.flights: dict[str, Future[bool]] = {}
        self.failed: tuple[float, str] = (float("-inf"), "")


class Introspection:
    """Asks whether tokens are active, each once at a time, at most eight at once. url: of the endpoint, a function."""

    def __init__(self, url: Callable[[], str], fetcher: Fetcher, credentials: Credentials, now: Clock) -> None:
        self._url, self._fetcher, self._credentials, self._now = url, fetcher, credentials, now
        self._processes: dict[int, _Here] = {}

    def ask(self, token: str) -> None:
        """Return where the issuer says that the token is active.

        Raises RevokedToken where it says that it is not; RevocationsUnavailable where it says nothing that can be
        understood, in time; WouldWait where the caller may not wait for it.
        """
        if not self._active(self._processes.setdefault(os.getpid(), _Here()), token):
            raise RevokedToken("the issuer says that the token is not active")

    def _active(self, here: _Here, token: str) -> bool:
        now = self._now()
        with here.lock:
            answered = here.answers.get(token)
            if answered is not None and 0 <= now - answered[0] < _LASTS:
                return answered[1]
            if 0 <= now - here.failed[0] < _PAUSE:
                raise RevocationsUnavailable(here.failed[1], 1)
            if not may_wait.get():
                raise WouldWait("the issuer is to be asked, and the caller may not wait for it")
            others = here.flights.get(token)
            flight = here.flights[token] = others or Future()
        if others is None:
            self._fly(here, token, flight)
        try:
            return flight.result(2 * _SECONDS)
        except (Unavailable, NotYet) as error:
            problem = str(error) or "no answer in time"
            raise RevocationsUnavailable(f"the issuer could not be asked either: {problem}", 1) from None

    def _fly(self, here: _Here, token: str, flight: Future[bool]) -> None:
        try:
            active = self._asked(here, token)
        except Unavailable as error:
            with here.lock:
                here.failed = self._now(), f"the issuer could not be asked either: {error}"
            flight.set_exception(error)
        except BaseException as error:
            flight.set_exception(Unavailable("the question was broken off"))
            raise error
        else:
            with here.lock:
                if len(here.answers) >= _MOST:
                    here.answers.clear()
                here.answers[token] = self._now(), active
            flight.set_result(active)
        finally:
            with here.lock:
                here.flights.pop(token, None)

    def _asked(self, here: _Here, token: str) -> bool:
        if not here.turns.acquire(timeout=_SECONDS):
            raise Unavailable("too many questions are under way")
        try:
            answer = self._fetcher.post(
                self._url(),
                {"token": token, "token_type_hint": "access_token"},
                credentials=self._credentials,
                limit=_MAX_ANSWER,
                seconds=_SECONDS,
            )
            active = json_object(answer.body).get("active")
        except MalformedToken:
            raise Unavailable("the answer is not a JSON object") from None
        finally:
            here.turns.release()
        if not isinstance(active, bool):  # RFC 7662 2.2: required, a boolean; whatever else it is, it is not "true"
            raise Unavailable("the answer does not say whether the token is active")
        return active
