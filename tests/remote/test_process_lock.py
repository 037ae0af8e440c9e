"""ProcessLock: what another thread of the parent held at a fork, no child waits for."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from admit import Unavailable
from admit.remote.issuer import RemoteIssuer
from admit.remote.jwks import JWKSClient
from admit.remote.process_lock import ProcessLock
from admit.remote.status_list import StatusLists
from tests.remote.conftest import JWKS, METADATA

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


def succeeds_in_a_child(action: Callable[[], object]) -> bool:
    """Whether a child of fork gets it done; one that hangs is ended."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_it_keeps_the_threads_of_one_process_apart() -> None:
    lock, order = ProcessLock(), list[str]()

    def second() -> None:
        with lock:
            order.append("second")

    with lock:
        thread = threading.Thread(target=second)
        thread.start()
        assert succeeds_in_a_child(second)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_child_forked_while_the_metadata_was_read_judges_tokens(issuer: Any) -> None:
    reading, go_on, plain = threading.Event(), threading.Event(), issuer.answers[METADATA]

    def held(handler: Any) -> Any:
        reading.set()
        go_on.wait(30)
        return plain(handler)

    issuer.answers[METADATA] = held
    remote = RemoteIssuer(issuer.url, revocations="required")
    verifier, token = remote.verifier(audience="orders"), issuer.token()
    first = threading.Thread(target=verifier.verify, args=(token,))
    first.start()
    assert reading.wait(30)
    issuer.answers[METADATA] = plain
    assert succeeds_in_a_child(lambda: verifier.verify(token))
    go_on.set()
    first.join()
    remote.close()


def test_a_child_forked_while_a_kid_was_looked_for_looks_for_others(issuer: Any) -> None:
    client = JWKSClient(issuer.url + JWKS)
    with client._lock:
        assert succeeds_in_a_child(lambda: client.missing("another"))


def test_a_child_forked_while_a_status_list_was_looked_for_looks_for_others(issuer: Any) -> None:
    lists = StatusLists(JWKSClient(issuer.url + JWKS), issuer=issuer.url)

    def ask() -> None:
        with pytest.raises(Unavailable):
            lists.fetch(issuer.url + "/none")
        lists.close()

    with lists._lock:
        assert succeeds_in_a_child(ask)
