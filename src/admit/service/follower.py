"""The view of keys and revocations that a process holds in memory, kept fresh by one background thread.

It is the KeySource and the Revocations of verifiers in process, and what the service signs with. The thread starts
lazily in each process, by process id, since servers fork; where it is dead or late, the caller looks for itself.
"""

from __future__ import annotations

import logging
import os
from contextlib import closing, suppress
from math import inf
from threading import Event, Lock, Thread, current_thread
from typing import TYPE_CHECKING, Any, Final

from admit.clock import Clock, monotonic
from admit.errors import AdmitError, KeysUnavailable, RevocationsUnavailable, StorageUnavailable
from admit.service import keystore, revocation, ring, token_secrets
from admit.tokens.revocation import Entry
from admit.tokens.revocation_set import RevocationSet
from admit.tokens.signer import Signer
from admit.tokens.waiting import WouldWait, may_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from admit.jose.keyset import KeySet
    from admit.keyring.wrapping import MasterKeys
    from admit.service.policy import Policy
    from admit.service.storage import Storage, Tx
    from admit.tokens.claims import Claims

_PERIOD: Final = 0.2  # seconds between looks
_NEAR: Final = 0.02  # seconds between looks for those who know more
_LATE: Final = 1.0  # seconds after which a caller looks for itself
_CHORES: Final = 60.0  # seconds between steps of cleanup and key lifecycle
_SOON: Final = 1.0  # the same, while there is more to clean up
_PURGES: Final = 60.0  # seconds between purges
_PATIENCE: Final = 5.0  # seconds that a caller stands behind another one's look, and that the thread has to end

log = logging.getLogger("admit.service")


class View:
    """Everything read at one moment."""

    __slots__ = ("access", "entries", "feed", "head", "heard", "revoked", "secrets", "signers", "turns")

    def __init__(
        self,
        head: revocation.Head,
        access: ring.Ring,
        feed: ring.Ring,
        secrets: token_secrets.Secrets,
        signers: Mapping[str, Signer],
        turns: float,
    ) -> None:
        self.head, self.access, self.feed, self.secrets, self.signers = head, access, feed, secrets, signers
        self.turns = turns
        """When the keys are to be read anew although nobody changed them, in seconds of the monotonic clock."""
        self.entries: list[Entry] = []
        self.revoked = RevocationSet()
        self.heard = monotonic()

    @property
    def late(self) -> float:
        """Its age in seconds, where the follower does not keep to its period; otherwise 0."""
        age = monotonic() - self.heard
        return age if age > _LATE else 0.0


class _InProcess:
    """What belongs to one process: a fork leaves threads behind, and takes along the locks that they hold."""

    __slots__ = ("ended", "lock", "starting", "thread")

    def __init__(self) -> None:
        self.lock, self.starting, self.ended = Lock(), Lock(), Event()
        self.thread: Thread | None = None


class Follower:
    """Follows one database. `chores` is called by the thread about once a minute, sooner where it answers that more is due.

    Where the database would have to be asked, all but `start`, `close` and the properties raise WouldWait for a caller that
    may not wait (admit.tokens.waiting).
    """

    def __init__(
        self,
        storage: Storage,
        master: MasterKeys,
        *,
        issuer: str,
        policy: Policy,
        clock: Clock,
        chores: Callable[[], bool],
    ) -> None:
        self._storage, self._master = storage, master
        self._issuer, self._policy, self._clock, self._chores = issuer, policy, clock, chores
        self._view: View | None = None
        self._heard = self._tried = 0.0
        self._purged = -inf
        self._told = ""
        self._failed = -inf
        self._processes: dict[int, _InProcess] = {}
        self._callbacks: list[Callable[[], None]] = []
        self._limit = policy.feed_limit.total_seconds()
        self._reload = policy.key_reload.total_seconds()

    def view(self) -> View:
        """The view to sign with, no older than the key reload interval. Raises StorageUnavailable, KeysUnavailable."""
        self.start()
        if self._view is None or monotonic() - self._heard > self._reload:
            self.look()
        if self._view is None:
            raise KeysUnavailable("the service's keys were never read")
        return self._view

    def current(self) -> KeySet:
        """The published keys (a KeySource's)."""
        self.start()
        return self._view.access.published if self._view is not None else self.view().access.published

    def missing(self, kid: str | None) -> KeySet:  # noqa: ARG002 - whatever is missing, there is one place to look
        """The published keys after a look, at most one in each period."""
        if monotonic() - self._tried > _PERIOD:
            self.look()
        return self.current()

    def check(self, claims: Claims[Any], /) -> None:
        """Raise RevokedToken, or RevocationsUnavailable where nothing was heard for too long (a Revocations')."""
        self.judge(claims, 0.0, False)

    def judge(self, claims: Claims[Any], now: float, kept: bool, /) -> None:
        """`check` for a verifier, which knows whether the claims passed before and were kept."""
        if monotonic() - self._heard > _LATE:
            self._catch_up()
        view = self._view
        if view is None:
            raise RevocationsUnavailable("the revocations were never read")
        view.revoked.judge(claims, now, kept)

    def reach(self, seq: int) -> None:
        """Look where a feed's follower knows more than this process, as another one may have told it; not more often than
        every 20 ms. Raises StorageUnavailable."""
        if seq > self.view().head.seq and monotonic() - self._tried > _NEAR:
            self.look()

    def keep_up(self, head: revocation.Head) -> None:
        """Look unless this head, which was just read, is the one that is known. Raises StorageUnavailable."""
        if head != self.view().head:
            self.look()

    def look(self) -> None:
        """Read what is new. Raises StorageUnavailable."""
        if not may_wait.get():
            raise WouldWait("the database is to be asked, and the caller may not wait for it")
        # With a limit: behind a silent database callers would wait one after the other.
        lock = self._here().lock
        if not lock.acquire(timeout=_PATIENCE):
            raise StorageUnavailable("the database has not answered another caller yet")
        try:
            self._tried = started = monotonic()
            before = self._view
            try:
                view = self._storage.read(lambda tx: self._read(tx, before))
            except StorageUnavailable:
                self._failed = monotonic()
                raise
            except KeysUnavailable as error:
                # The keys changed, and do not open here. One of those held may have been cut off: none counts any more.
                self._heard = self._failed = -inf
                if before is not None:  # or whoever opens the service is told
                    self._say(str(error))
                raise
            self._purge(view)
            view.heard = started
            self._view, self._heard, self._told = view, started, ""
            moved = before is None or view.head[:2] != before.head[:2]
        finally:
            lock.release()
        if moved:
            for callback in tuple(self._callbacks):
                with suppress(Exception):  # or it would end the thread, and make a change look undone
                    callback()

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back whenever the feed's head moves; answers what ends it."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback) if callback in self._callbacks else None

    def start(self) -> None:
        """Let this process have its thread."""
        here = self._here()
        if here.thread is None and not here.ended.is_set():
            # Not the lock of looks: who starts the thread waits for no database. Where none can be started, callers look.
            with here.starting, suppress(RuntimeError):
                if here.thread is None:
                    thread = Thread(target=self._follow, args=(here.ended,), name="admit-follower", daemon=True)
                    thread.start()
                    here.thread = thread

    def follows(self) -> bool:
        """Whether this process's thread is at work."""
        self.start()
        thread = self._here().thread
        return thread is not None and thread.is_alive()

    @property
    def age(self) -> float:
        """Seconds since keys and revocations were last read; infinite where they never were."""
        return monotonic() - self._heard if self._view is not None else float("inf")

    @property
    def entries(self) -> int:
        """How many revocations are in force, as this process knows."""
        return 0 if self._view is None else len(self._view.revoked)

    def close(self) -> None:
        """End the thread. One that waits for the database is left to itself after five seconds."""
        here = self._here()
        here.ended.set()
        if here.thread is not None and here.thread is not current_thread():
            here.thread.join(_PATIENCE)

    def _here(self) -> _InProcess:
        pid = os.getpid()
        return self._processes.get(pid) or self._processes.setdefault(pid, _InProcess())

    def _follow(self, ended: Event) -> None:
        due = monotonic() + min(_CHORES, self._reload)
        with closing(self._storage.notices()) as notices:
            while not notices.wait(ended, _PERIOD):
                try:
                    self.look()
                    if monotonic() > due:
                        due = monotonic() + min(_CHORES, self._reload)
                        if self._chores():
                            due = monotonic() + min(_SOON, self._reload)
                except AdmitError:
                    continue  # the age of what is held says it: callers look for themselves, and get this error

    def _purge(self, view: View) -> None:
        """Let go of what has expired. Not at every look: beside many entries it takes far longer than the rest of it."""
        now = self._clock()
        if not 0 <= now - self._purged < _PURGES:
            self._purged = now
            view.revoked.purge(now)
            view.entries = [entry for entry in view.entries if entry.exp is None or entry.exp >= now]

    def _say(self, problem: str) -> None:
        if problem != self._told:
            self._told = problem
            log.error("the keys cannot be read, and nothing is signed or judged: %s", problem)

    def _catch_up(self) -> None:
        self.start()
        now = monotonic()
        stale = self._view is None or now - self._heard > self._limit
        asked = self._here().lock.locked()
        if not stale and (now - self._tried < _LATE or asked):
            return
        if (asked or now - self._failed < _PATIENCE) and self._failed > self._heard and self.follows():
            # The thread tries again at once: no caller need find out for himself that the database still does not answer.
            if stale:
                raise RevocationsUnavailable("the revocations in the database were not read for longer than allowed")
            return
        try:
            self.look()
        except StorageUnavailable:
            if stale:
                raise RevocationsUnavailable(
                    "the revocations in the database were not read for longer than allowed"
                ) from None

    def _read(self, tx: Tx, before: View | None) -> View:
        head = revocation.head(tx)
        if before is None or head.keys_version != before.head.keys_version or monotonic() >= before.turns:
            self._storage.owed = True  # whoever destroyed keys may have ended before their journal was free
            access = ring.read(tx, self._master, keystore.ACCESS)
            feed = ring.read(tx, self._master, keystore.FEED)
            secrets = token_secrets.read(tx, self._master, self._policy)
            turns = inf if secrets.turns_in is None else monotonic() + secrets.turns_in / 1000
            lifetime = self._policy.access_lifetime
            signers = {
                alg: Signer(key, issuer=self._issuer, lifetime=lifetime, clock=self._clock)
                for alg, key in access.active.items()
            }
            view = View(head, access, feed, secrets, signers, turns)
        else:
            view = View(head, before.access, before.feed, before.secrets, before.signers, before.turns)
        # Another epoch, or a number that went back (a restored database): what was known may never have been.
        restored = before is not None and (before.head.epoch != head.epoch or before.head.seq > head.seq)
        # And a clock that is set back was ahead: what still counts was let go of.
        known = None if restored or self._clock() < self._purged else before
        if known is not None:
            view.entries, view.revoked = known.entries, known.revoked
        if known is None or known.head.seq != head.seq:
            new = revocation.entries_after(tx, 0 if known is None else known.head.seq)
            view.entries = [*view.entries, *new]
            view.revoked.apply(new)
            if new:  # they may be newer than the head just read: each statement sees the newest commit
                view.head = head._replace(seq=max(head.seq, new[-1].seq))
        return view
