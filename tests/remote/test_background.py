"""Background: one run at a time, and no queue behind one that hangs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event, Thread
from typing import Any

import pytest

from admit.errors import ServiceUnreachable, Unavailable
from admit.remote import background as background_file
from admit.remote.background import Background
from admit.tokens.waiting import WouldWait, may_wait


class Hanging:
    """Work that ends when the test says so."""

    def __init__(self) -> None:
        self.go_on, self.runs = Event(), 0

    def work(self) -> float:
        self.runs += 1
        self.go_on.wait(20)
        return 600.0


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    hanging = Hanging()
    yield hanging
    hanging.go_on.set()


def test_once_somebody_has_waited_in_vain_nobody_waits_for_that_run_any_more(hanging: Hanging) -> None:
    background = Background(hanging.work, "test")
    with pytest.raises(Unavailable):
        background.run(0.1, lambda: False)
    begun = time.monotonic()
    for _ in range(20):
        with pytest.raises(Unavailable):
            background.run(5, lambda: False)
    assert time.monotonic() - begun < 50  # of the 100 s that twenty waits take
    assert hanging.runs == 1
    hanging.go_on.set()
    background.close()


def test_whoever_waits_is_let_go_where_it_is_closed(hanging: Hanging) -> None:
    background, said = Background(hanging.work, "test"), list[str]()

    def wait() -> None:
        with pytest.raises(Unavailable) as caught:
            background.run(600, lambda: False)
        said.append(str(caught.value))

    waiting = Thread(target=wait, daemon=True)
    waiting.start()
    while not hanging.runs:
        time.sleep(0.005)
    background.close()
    waiting.join(15)
    assert said == ["this client was closed"], "though the work still hangs"


def test_whoever_opens_it_again_while_its_thread_still_ends_has_another_thread(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, go_on = Event(), Event()

    class Lingering(Thread):
        def run(self) -> None:
            super().run()
            over.set()
            go_on.wait(60)

    monkeypatch.setattr(background_file, "Thread", Lingering)
    hanging.go_on.set()
    background = Background(hanging.work, "test")
    background.run(20, lambda: False)
    background.close()
    assert over.wait(20)
    background.open()
    background.run(20, lambda: False)
    assert hanging.runs == 2
    background.close()
    go_on.set()


def test_a_caller_that_may_not_wait_is_told_so_and_the_run_begins_all_the_same(hanging: Hanging) -> None:
    background = Background(hanging.work, "test")
    before = may_wait.set(False)
    try:
        with pytest.raises(WouldWait):
            background.run(5, lambda: False)
    finally:
        may_wait.reset(before)
    hanging.go_on.set()
    background.join(background.begin(), 5)
    assert hanging.runs >= 1
    background.close()


class Failing:
    """Work that fails at once, in no thread."""

    def work(self) -> float:
        raise ServiceUnreachable("it is away")


def test_after_many_failures_the_next_try_is_still_near_and_callers_are_told_when(ticker: Any) -> None:
    failing = Failing()
    background = Background(failing.work, "test", ticker)
    for _ in range(20):
        pause = background._once(failing.work)
        assert 0.5 <= pause <= 9
        with pytest.raises(Unavailable) as caught:
            background.settled()
        assert pause <= caught.value.retry_after < pause + 1
    ticker.now += 20
    with pytest.raises(Unavailable) as caught:
        background.settled()
    assert caught.value.retry_after == 1
