"""Few places, a bounded queue, and the addresses take turns in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import anyio
import pytest

from admit.errors import Overloaded
from admit.service.turns import Turns


class Crowd:
    """Threads that wait for a turn, one after the other; each is let go by hand."""

    def __init__(self, turns: Turns) -> None:
        self.turns, self.served, self.refused = turns, list[str](), list[str]()
        self.threads: list[Thread] = []

    def come(self, address: str) -> None:
        def wait() -> None:
            try:
                with self.turns.turn(address):
                    self.served.append(address)
            except Overloaded:
                self.refused.append(address)

        before = self.turns._waiting
        thread = Thread(target=wait)
        self.threads.append(thread)
        thread.start()
        while self.turns._waiting == before and thread.is_alive():
            Event().wait(0.001)
            if self.turns._waiting == self.turns._most:
                break

    def end(self) -> None:
        for thread in self.threads:
            thread.join(20)


@contextmanager
def crowded(places: int = 1, waiting: int = 6, seconds: float = 20) -> Iterator[Crowd]:
    crowd = Crowd(Turns(places, waiting, seconds))
    with crowd.turns.turn("busy"):
        yield crowd
    crowd.end()


def test_the_addresses_take_turns() -> None:
    with crowded() as crowd:
        for address in "aaabca":
            crowd.come(address)
    assert "".join(crowd.served) == "abcaaa"


def test_a_full_queue_refuses_the_address_that_fills_it_and_lets_another_in() -> None:
    with crowded() as crowd:
        for address in "aaaaaa":
            crowd.come(address)
        crowd.come("a")
        while len(crowd.refused) < 1:
            Event().wait(0.001)
        assert crowd.refused == ["a"]
        for address in "bc":
            crowd.come(address)
        while len(crowd.refused) < 3:
            Event().wait(0.001)
        assert crowd.refused == ["a", "a", "a"]
    assert "".join(crowd.served) == "abcaaa"


def test_a_queue_full_of_different_addresses_refuses_the_next() -> None:
    with crowded() as crowd:
        for address in "abcdef":
            crowd.come(address)
        with pytest.raises(Overloaded) as refused, crowd.turns.turn("g"):
            pass
        assert refused.value.retry_after >= 1
    assert "".join(crowd.served) == "abcdef"


def test_whoever_waits_too_long_is_refused_and_leaves_no_trace() -> None:
    turns = Turns(1, 6, 0.01)
    with turns.turn("a"), pytest.raises(Overloaded), turns.turn("b"):
        pass
    assert (turns._waiting, turns._lines, turns._free) == (0, {}, 1)


def test_what_fails_in_its_place_gives_it_back() -> None:
    turns = Turns(1, 6, 0.01)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), turns.turn("a"):
            raise ZeroDivisionError
    with turns.turn("a"):
        pass


def test_tasks_take_turns_and_a_cancelled_one_leaves_no_trace() -> None:
    turns = Turns(1, 6, 20)
    served: list[str] = []

    async def one(address: str) -> None:
        async with turns.awaited(address):
            served.append(address)

    async def main() -> None:
        async with anyio.create_task_group() as group, turns.awaited("busy"):
            for address in "aaab":
                group.start_soon(one, address)
                await anyio.sleep(0.01)
            with anyio.move_on_after(0.01):
                await one("gone")
        async with anyio.create_task_group() as group, turns.awaited("busy"):
            group.start_soon(one, "never")
            await anyio.sleep(0.01)
            group.cancel_scope.cancel()

    anyio.run(main)
    assert "".join(served) == "abaa"
    assert (turns._waiting, turns._lines, turns._free) == (0, {}, 1)
