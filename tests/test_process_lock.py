"""ProcessLock: what another thread of the parent held at a fork, no child waits for."""

from __future__ import annotations

import threading

import pytest

from admit.jose import encoding
from admit.process_lock import ProcessLock
from tests.helpers.fork import succeeds_in_a_child

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


def test_it_keeps_the_threads_of_one_process_apart() -> None:
    lock, order = ProcessLock(), list[str]()

    def second() -> None:
        with lock:
            order.append("second")

    with lock:
        assert not lock.acquire(blocking=False)
        thread = threading.Thread(target=second)
        thread.start()
        assert succeeds_in_a_child(second)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert lock.acquire(blocking=False)


def test_a_child_forked_while_a_type_was_learned_learns_others() -> None:
    with encoding._PREPARING:
        assert succeeds_in_a_child(lambda: encoding.prepare(dict[str, int]))
