"""One verifier, many threads, keys that change under it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from admit import Key, KeySet, Verifier
from admit.errors import InvalidToken, UnknownKey
from tests.helpers.forge import AUDIENCE, ISSUER, NOW, claims, forge, key

THREADS, SECONDS = 8, 1.0


class Swapping:
    """A source whose keys are swapped while it is read."""

    def __init__(self) -> None:
        self.stays = key("HS256")
        self.comes = [Key.generate("HS256", kid=f"moving{number}") for number in range(3)]
        self.keys = KeySet([self.stays])

    def current(self) -> KeySet:
        return self.keys

    def missing(self, kid: str | None) -> KeySet:
        return self.keys


@pytest.mark.parametrize("cache", [0, 5])
def test_eight_threads_get_right_answers_while_keys_are_swapped(cache: int) -> None:
    source = Swapping()
    subject: Verifier[Any] = Verifier(source, issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW, cache=cache)
    good = [(forge(claims(sub=f"user{number}", jti=f"j{number}")), f"user{number}") for number in range(20)]
    moving = [(forge(claims(sub=one.kid), signer=one), one.kid) for one in source.comes]
    forged = [forge(claims(sub=f"user{number}"), signer=key("HS256", 1)) for number in range(5)]
    ends, wrong, done = time.monotonic() + SECONDS, list[object](), [0] * THREADS

    def work(number: int) -> None:
        try:
            while not done[number] or time.monotonic() < ends:
                for token, sub in good:
                    if subject.verify(token).sub != sub:
                        wrong.append(f"{sub} got another's claims")
                for token, sub in moving:
                    try:
                        if subject.verify(token).sub != sub:
                            wrong.append(f"{sub} got another's claims")
                    except UnknownKey:
                        pass
                for token in forged:
                    try:
                        subject.verify(token)
                    except InvalidToken:
                        continue
                    wrong.append("a forged token passed")
                done[number] += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            wrong.append(error)

    def swap() -> None:
        turn = 0
        while time.monotonic() < ends:
            source.keys = KeySet([source.stays, source.comes[turn % 3]])
            turn += 1
            time.sleep(0.0005)
        source.keys = KeySet([source.stays])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    threads.append(threading.Thread(target=swap))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    assert all(done)
    for token, _ in moving:
        with pytest.raises(UnknownKey):
            subject.verify(token)
    if cache:
        assert subject.cache is not None
        assert len(subject.cache) <= cache


FIRST_USE = """
import importlib.util, sys, threading
from admit.tokens import claims
sys.setswitchinterval(1e-6)
raw = {"iss": "i", "sub": "s", "aud": ["a", "b"], "exp": 5, "iat": 4, "jti": "j", "scope": "x", "sid": "s", "nbf": 2}
for _ in range(200):
    spec = importlib.util.spec_from_file_location("fresh", claims.__file__)
    fresh = sys.modules["fresh"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    start = threading.Barrier(8)
    threads = [threading.Thread(target=lambda: (start.wait(), fresh.read_registered(raw))) for _ in range(8)]
    for each in threads: each.start()
    for each in threads: each.join()
"""


def test_eight_threads_may_read_the_first_claims_of_a_process() -> None:
    """msgspec crashes the process where two threads are the first to need a type."""
    ran = subprocess.run([sys.executable, "-c", FIRST_USE], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
