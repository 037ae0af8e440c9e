"""Several service processes over one database, told from here what to do at once."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

WORKER = Path(__file__).with_name("worker.py")


class Fleet:
    """Processes of tests.helpers.worker. policy: durations in seconds."""

    def __init__(self, url: str, processes: int, **policy: float) -> None:
        self._stack = ExitStack()
        command = [sys.executable, str(WORKER), url, json.dumps(policy)]
        self._processes = [
            self._stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(processes)
        ]
        for process in self._processes:
            self._stack.callback(process.kill)  # before the context waits for its end
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def at_once(self, *calls: list[str]) -> list[list[str]]:
        """What each call was answered; they are dealt out to the processes in turn and made at the same time."""
        hands = [calls[index :: len(self._processes)] for index in range(len(self._processes))]
        playing = [(process, hand) for process, hand in zip(self._processes, hands, strict=True) if hand]
        for process, hand in playing:
            assert process.stdin is not None
            process.stdin.write(json.dumps(hand) + "\n")
            process.stdin.flush()
        answers: list[list[str]] = [[]] * len(calls)
        for index, (process, _) in enumerate(playing):
            assert process.stdout is not None
            answers[index :: len(self._processes)] = json.loads(process.stdout.readline())
        return answers

    def everywhere(self, *call: str) -> None:
        """Let every process make this call."""
        self.at_once(*([list(call)] * len(self._processes)))

    def close(self) -> None:
        self._stack.close()
