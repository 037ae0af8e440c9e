"""Revocation entries: numbered in the order of their commits, and gone once every token they could mean has expired."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from sqlalchemy import bindparam, case, insert, select, update

from admit.service.schema import feed, revocations
from admit.service.session_policy import milliseconds
from admit.tokens.revocation import Entry, EntryKind

if TYPE_CHECKING:
    from admit.service.storage import Tx

_MARGIN: Final = milliseconds(timedelta(seconds=90))  # the largest leeway, and clocks that differ
_ADVANCE = (
    update(feed)
    .where(feed.c.id == 1)
    .values(seq=case((feed.c.seq < bindparam("now"), bindparam("now")), else_=feed.c.seq) + bindparam("n"))
    .returning(feed.c.seq, feed.c.longest_life)
)
_HEAD = select(feed.c.epoch, feed.c.seq, feed.c.keys_version).where(feed.c.id == 1)
_AFTER = select(revocations).where(revocations.c.seq > bindparam("since")).order_by(revocations.c.seq)


class CutOff(NamedTuple):
    """What to cut off. `below` is for a subject: tokens with a lower epoch."""

    kind: EntryKind
    value: str
    below: int | None = None


class Head(NamedTuple):
    """Where the feed stands."""

    epoch: str
    seq: int
    keys_version: int


def cut_off(tx: Tx, *what: CutOff) -> None:
    """Add entries: the last thing a transaction does.

    The counter's row stays locked until the commit, so numbers appear in order: with numbers given out earlier, a slow
    transaction's entry would turn up below what a follower has already read, and be lost to it for ever. And they are never
    below the time in milliseconds: what comes after a restored backup, or on a replica that took over, lies above every
    number that was given out before, so no follower takes it for something it already has.
    """
    advanced = tx.execute(_ADVANCE, {"n": len(what), "now": tx.now}).one()
    first, ends = advanced.seq - len(what) + 1, -(-(tx.now + advanced.longest_life + _MARGIN) // 1000)
    # Whoever has stolen a key chooses his own exp: its entry never ends.
    entries = [
        Entry.of(item.kind, item.value, seq=first + index, exp=None if item.kind == "kid" else ends, epoch=item.below)
        for index, item in enumerate(what)
    ]
    tx.execute(insert(revocations), [msgspec.structs.asdict(entry) for entry in entries])
    tx.moved = True


def head(tx: Tx) -> Head:
    """The feed's epoch and newest number, and the version of the keys."""
    row = tx.execute(_HEAD).one()
    return Head(row.epoch, row.seq, row.keys_version)


def entries_after(tx: Tx, since: int) -> list[Entry]:
    """The entries numbered above `since`, in order."""
    return [Entry(**row) for row in tx.execute(_AFTER, {"since": since}).mappings()]
