"""RevocationTable: entries in eight bytes each, in order, in memory that belongs to nobody else.

Tables are replaced, never changed: readers need no lock beside the one writer, who merges a page at a time. Their numbers lie in
memory that is mapped for them alone. So it is exactly as large as they are, and goes back to the system when a table is replaced;
out of the heap of the thread that follows a feed, the same numbers would take twice as much in the long run.
"""

from __future__ import annotations

import mmap
from array import array
from bisect import bisect_left
from struct import Struct
from typing import TYPE_CHECKING, Final

from admit.tokens.revocation import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from admit.tokens.revocation import EntryKind

NEVER: Final = 0xFFFF
"""The minute of what never ends, or so late that 16 bits cannot say when."""
MOST_EPOCH: Final = 0xFFFF_FFFF
_CHECKSUM, _PLACE = 32, 16  # where in an entry the checksum begins, and the hash; below is its minute
_SPLIT: Final = Struct(">IH").unpack_from  # a digest: the checksum, and as much of the hash as an entry holds
_AT_ONCE: Final = 2000  # entries of a purge, as Python's own numbers
# A child of fork writes into its own copy. Windows has no fork, and no such flags.
_OWN: Final = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}

Columns = tuple["memoryview[int]", ...]
"""The entries, and with epochs, beside each, 32 bits of its whole digest and 32 of the epoch."""


class RevocationTable:
    """The entries of several kinds; with `epochs` those of subjects, who have one.

    Subjects' names may be somebody's choice, and checksums can be chosen: so of subjects 32 bits more are held, of their whole
    digest under this process's own secret (PEP 456). Nobody finds a name that cuts off another short of 64 bits of SHA-256.
    """

    __slots__ = ("_columns",)

    def __init__(self, *, epochs: bool = False) -> None:
        self._columns: Columns = (_room(0),) * (2 if epochs else 1)

    def __len__(self) -> int:
        return len(self._columns[0])

    def holds(self, kind: EntryKind, value: str, check: int) -> bool:
        """Whether there is an entry of a value, whose checksum is `check`."""
        return self.epoch(kind, value, check) is not None

    def epoch(self, kind: EntryKind, value: str, check: int) -> int | None:
        """The epoch of the entry of a value, whose checksum is `check`; 0 for kinds without, None where there is no entry."""
        columns = self._columns
        entries = columns[0]
        index = bisect_left(entries, check << _CHECKSUM)
        if index == len(entries) or entries[index] >> _CHECKSUM != check:
            return None
        hashed = digest(kind, value)
        found = _find(columns, _place(hashed), _more(hashed))[1]
        return None if found is None else 0 if len(columns) == 1 else columns[1][found] & MOST_EPOCH

    def add(self, further: Iterable[tuple[bytes, int, int]]) -> None:
        """Add entries, each a digest, a minute and an epoch; the later minute and the higher epoch win."""
        columns, wide = self._columns, len(self._columns) > 1
        newest: dict[tuple[int, int], tuple[int, int]] = {}
        for hashed, minute, epoch in further:
            held = _place(hashed), _more(hashed) if wide else 0
            ends, highest = newest.get(held, (0, 0))
            newest[held] = max(ends, minute), max(highest, epoch)
        pieces, grown = list[tuple[int, int, tuple[int, int]]](), 0
        for (place, more), (minute, epoch) in sorted(newest.items()):
            index, found = _find(columns, place, more)
            if found is None:
                grown += 1
            else:
                index, minute = found, max(minute, columns[0][found] & NEVER)
                epoch = max(epoch, columns[1][found] & MOST_EPOCH) if wide else 0
            pieces.append((index, index if found is None else index + 1, (place | minute, more << 32 | epoch)))
        if pieces:
            pieces.sort(key=lambda piece: piece[:2])
            self._columns = tuple(_merged(column, pieces, which, grown) for which, column in enumerate(columns))

    def purge(self, now: int, later: int) -> int:
        """Remove what ended before the minute `now`, then count minutes from `later` further on. How many were removed."""
        columns = self._columns
        entries = columns[0]
        alive = sum(1 for entry in entries if entry & NEVER >= now)
        if alive < len(entries) or later:
            kept, at = tuple(_room(alive) for _ in columns), 0
            for start in range(0, len(entries), _AT_ONCE):
                places = [at for at in range(start, min(start + _AT_ONCE, len(entries))) if entries[at] & NEVER >= now]
                for which, column in enumerate(columns):
                    numbers = array("Q", [column[place] for place in places])
                    if later and not which:
                        numbers = array("Q", [n if n & NEVER == NEVER else n - later for n in numbers])
                    kept[which][at : at + len(places)] = memoryview(numbers)
                at += len(places)
            self._columns = kept
        return len(entries) - alive

    def checksums(self) -> Iterator[int]:
        """Of all entries."""
        return (entry >> _CHECKSUM for entry in self._columns[0])


def _room(count: int) -> memoryview[int]:
    """Place for that many numbers, all 0."""
    return memoryview(mmap.mmap(-1, count * 8, **_OWN) if count else bytearray()).cast("Q")


def _place(hashed: bytes) -> int:
    """Where the entry of a digest stands: itself but for the minute."""
    check, further = _SPLIT(hashed)
    return int(check << _CHECKSUM | further << _PLACE)


def _more(hashed: bytes) -> int:
    """32 bits that stand for the whole digest, in this process alone."""
    return hash(hashed) & 0xFFFF_FFFF


def _find(columns: Columns, place: int, more: int) -> tuple[int, int | None]:
    """Where an entry belongs, and where it stands."""
    entries = columns[0]
    index = first = bisect_left(entries, place)
    while index < len(entries) and entries[index] ^ place <= NEVER:
        if len(columns) == 1 or columns[1][index] >> 32 == more:
            return first, index
        index += 1
    return first, None


def _merged(
    column: memoryview[int], pieces: list[tuple[int, int, tuple[int, int]]], which: int, grown: int
) -> memoryview[int]:
    """A copy of a column with the pieces' numbers, each in place of what stands from its first index to its second."""
    target, at, done = _room(len(column) + grown), 0, 0
    for index, after, numbers in pieces:
        target[at : at + index - done] = column[done:index]
        at += index - done
        target[at] = numbers[which]
        at, done = at + 1, after
    target[at:] = column[done:]
    return target
