"""Few places, three bounded lanes, and the lines take turns in each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import anyio
import pytest

from admit.errors import Overloaded
from admit.service.turns import Lane, Line, Turns


def line(name: str) -> Line:
    """Capitals are known, digits marked."""
    return Line(Lane.KNOWN if name.isupper() else Lane.MARKED if name.isdigit() else Lane.NEW, name)


def untouched(turns: Turns) -> bool:
    return turns.waiting == 0 and not any(lane.lines for lane in turns._lanes.values()) and turns._free == 1


class Crowd:
    """Threads that wait for a turn, one after the other."""

    def __init__(self, turns: Turns) -> None:
        self.turns, self.served, self.refused = turns, list[str](), list[str]()
        self.threads: list[Thread] = []

    def come(self, name: str) -> None:
        def wait() -> None:
            try:
                with self.turns.turn(line(name)):
                    self.served.append(name)
            except Overloaded:
                self.refused.append(name)

        lane = self.turns._lanes[line(name).lane]
        before = lane.waiting
        thread = Thread(target=wait)
        self.threads.append(thread)
        thread.start()
        while lane.waiting == before and thread.is_alive():
            Event().wait(0.001)
            if lane.waiting == self.turns._most:
                break

    def end(self) -> None:
        for thread in self.threads:
            thread.join(20)


@contextmanager
def crowded(places: int = 1, waiting: int = 6, seconds: float = 20) -> Iterator[Crowd]:
    crowd = Crowd(Turns(places, waiting, seconds))
    with crowd.turns.turn(line("busy")):
        yield crowd
    crowd.end()


def test_the_addresses_take_turns() -> None:
    with crowded() as crowd:
        for address in "aaabca":
            crowd.come(address)
    assert "".join(crowd.served) == "abcaaa"


def test_no_lane_waits_for_more_than_one_of_each_other() -> None:
    with crowded() as crowd:
        for name in "1234abcABCD":
            crowd.come(name)
    assert "".join(crowd.served) == "Aa1Bb2Cc3D4"


def test_a_lane_full_of_strangers_keeps_nobody_out_who_is_known() -> None:
    with crowded() as crowd:
        for name in "123456abcdefABAA":
            crowd.come(name)
        for name in "7g":
            with pytest.raises(Overloaded), crowd.turns.turn(line(name)):
                pass
    assert crowd.refused == []
    assert "".join(crowd.served) == "Aa1Bb2Ac3Ad4e5f6"


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
        with pytest.raises(Overloaded) as refused, crowd.turns.turn(line("g")):
            pass
        assert refused.value.retry_after >= 1
    assert "".join(crowd.served) == "abcdef"


def test_whoever_waits_too_long_is_refused_and_leaves_no_trace() -> None:
    turns = Turns(1, 6, 0.01)
    for name in "bB":
        with turns.turn(line("a")), pytest.raises(Overloaded), turns.turn(line(name)):
            pass
        assert untouched(turns)


def test_what_fails_in_its_place_gives_it_back() -> None:
    turns = Turns(1, 6, 0.01)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), turns.turn(line("a")):
            raise ZeroDivisionError
    with turns.turn(line("a")):
        pass


def test_tasks_take_turns_and_a_cancelled_one_leaves_no_trace() -> None:
    turns = Turns(1, 6, 20)
    served: list[str] = []

    async def one(address: str) -> None:
        async with turns.awaited(line(address)):
            served.append(address)

    async def main() -> None:
        async with anyio.create_task_group() as group, turns.awaited(line("busy")):
            for address in "aaab":
                group.start_soon(one, address)
                await anyio.sleep(0.01)
            with anyio.move_on_after(0.01):
                await one("gone")
        async with anyio.create_task_group() as group, turns.awaited(line("busy")):
            group.start_soon(one, "never")
            await anyio.sleep(0.01)
            group.cancel_scope.cancel()

    anyio.run(main)
    assert "".join(served) == "abaa"
    assert untouched(turns)
