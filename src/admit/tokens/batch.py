"""verify_many: a batch of tokens, as log processing and queues have them, over the cores that this process may use."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextvars import copy_context
from typing import Final, TypeVar

from admit.errors import InvalidToken
from admit.tokens.claims import Claims
from admit.tokens.several import Verifiers
from admit.tokens.verifier import Verifier

E = TypeVar("E")

_SHARED: Final = frozenset(("EC", "OKP", "AKP"))
_SHARE: Final = 32  # tokens that a thread must have to do, for its start (about 50 us) to be lost in them


def verify_many(
    verifier: Verifier[E] | Verifiers[E], tokens: Iterable[str | bytes], *, threads: int | None = None
) -> list[Claims[E] | InvalidToken]:
    """For each token, in their order, its claims or the InvalidToken that refuses it: an answer that is an exception was refused.

    threads: at most this many; as many as there are cores unless given. Elliptic curves and ML-DSA are shared among threads,
    because `cryptography` lets go of the interpreter long enough; RSA and MACs are checked sooner than they are handed over.
    Raises KeysUnavailable and RevocationsUnavailable, for the whole batch: where nothing can be judged, nothing is answered.
    """
    waiting = list(tokens)
    answers: list[Claims[E] | InvalidToken | None] = [None] * len(waiting)
    broken: list[BaseException] = []

    def work(first: int, step: int) -> None:
        try:
            for index in range(first, len(waiting), step):
                if broken:
                    return
                try:
                    answers[index] = verifier.verify(waiting[index])
                except InvalidToken as error:
                    answers[index] = error.with_traceback(None)  # its frames would keep the batch alive
        except BaseException as error:  # noqa: BLE001 - raised below, in the caller's own thread
            broken.append(error)

    pays = not _SHARED.isdisjoint(verifier.key_types)
    count = max(1, min(threads or _cores(), len(waiting) // _SHARE)) if pays else 1
    # Each in the caller's context, which says whether a source of keys may wait for the network.
    helpers = [threading.Thread(target=copy_context().run, args=(work, first, count)) for first in range(1, count)]
    for helper in helpers:
        helper.start()
    work(0, count)
    for helper in helpers:
        helper.join()
    if broken:
        raise broken[0]
    return [answer for answer in answers if answer is not None]


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
