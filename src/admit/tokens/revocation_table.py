"""RevocationTable: entries in six bytes each, in order, in memory that belongs to nobody else.

They stand by their checksums, and an index says where those with the same first bits begin: so an entry need not hold these bits,
and a search looks at few entries.

Tables are replaced, never changed: readers need no lock beside the one writer, who merges a page at a time. Their numbers lie in
memory that is mapped for them alone. So it is exactly as large as they are, and goes back to the system when a table is replaced;
out of the heap of the thread that follows a feed, the same numbers would take twice as much in the long run.
"""

from __future__ import annotations

import mmap
from array import array
from bisect import bisect_left
from itertools import accumulate, compress, pairwise
from operator import add
from struct import Struct
from typing import TYPE_CHECKING, Final

from admit.tokens.revocation import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from admit.tokens.revocation import EntryKind

NEVER: Final = 0xFFFF
"""The minute of what never ends, or so late that 16 bits cannot say when."""
MOST_EPOCH: Final = 0xFFFF_FFFF
# Of the 32 bits of a checksum, those that the index stands for; as many of the hash take their place.
_SHARED: Final = 12
_REST: Final = 32 - _SHARED
_LOW: Final = 0xFFFF_FFFF
_SPLIT: Final = Struct(">IH").unpack_from  # a digest: the checksum, and as much of the hash as matters
# A child of fork writes into its own copy. Windows has no fork, and no such flags.
_OWN: Final = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}

Columns = tuple["memoryview[int]", ...]
"""The rest of each entry's checksum with its hash, and its minute; with epochs also 32 bits of its whole digest, and its epoch."""
_WIDTHS: Final = (4, 2, 4, 4)  # bytes


class RevocationTable:
    """The entries of several kinds; with `epochs` those of subjects, who have one.

    Subjects' names may be somebody's choice, and checksums can be chosen: so of subjects 32 bits more are held, of their whole
    digest under this process's own secret (PEP 456). Nobody finds a name that cuts off another short of 64 bits of SHA-256.
    """

    __slots__ = ("_held",)

    def __init__(self, *, epochs: bool = False) -> None:
        widths = _WIDTHS if epochs else _WIDTHS[:2]
        self._held = _room((1 << _SHARED) + 1, 4), tuple(_room(0, width) for width in widths)

    def __len__(self) -> int:
        return len(self._held[1][0])

    def epoch(self, kind: EntryKind, value: str, check: int) -> int | None:
        """The epoch of the entry of a value, whose checksum is `check`; 0 for kinds without, None where there is no entry."""
        index, columns = self._held
        lows, shared, low = columns[0], check >> _REST, check << _SHARED & _LOW
        end = index[shared + 1]
        at = bisect_left(lows, low, index[shared], end)
        if at == end or (lows[at] ^ low) >> _SHARED:
            return None
        hashed = digest(kind, value)
        found = _find(index, columns, _place(hashed), _more(hashed))[1]
        return None if found is None else 0 if len(columns) == 2 else columns[3][found]

    def add(self, further: Iterable[tuple[bytes, int, int]]) -> None:
        """Add entries, each a digest, a minute and an epoch; the later minute and the higher epoch win."""
        index, columns = self._held
        wide = len(columns) > 2
        newest: dict[tuple[int, int], tuple[int, int]] = {}
        for hashed, minute, epoch in further:
            held = _place(hashed), _more(hashed) if wide else 0
            ends, highest = newest.get(held, (0, 0))
            newest[held] = max(ends, minute), max(highest, epoch)
        pieces, grown = list[tuple[int, int, tuple[int, ...]]](), [0] * len(index)
        for (place, more), (minute, epoch) in sorted(newest.items()):
            at, found = _find(index, columns, place, more)
            if found is None:
                grown[(place >> 32) + 1] += 1
            else:
                at, minute = found, max(minute, columns[1][found])
                epoch = max(epoch, columns[3][found]) if wide else 0
            pieces.append((at, at if found is None else at + 1, (place & _LOW, minute, more, epoch)))
        if pieces:
            pieces.sort(key=lambda piece: piece[:2])
            moved = _room(len(index), 4)
            moved[:] = memoryview(array("I", map(add, index, accumulate(grown))))
            count = moved[-1]
            # A list: out of a generator a tuple is cut to its length, and two thousand of that length are kept for the next.
            self._held = moved, tuple([_merged(column, pieces, which, count) for which, column in enumerate(columns)])

    def purge(self, now: int, later: int) -> int:
        """Remove what ended before the minute `now`, then count minutes from `later` further on. How many were removed."""
        index, columns = self._held
        minutes = columns[1]
        alive = sum(1 for minute in minutes if minute >= now)
        if alive < len(minutes) or later:
            kept, begin, at = tuple(_room(alive, column.itemsize) for column in columns), _room(len(index), 4), 0
            for shared, (start, end) in enumerate(pairwise(index)):
                if start < end:  # most are empty in a small table
                    stays = [minute >= now for minute in minutes[start:end]]
                    done, at = at, at + sum(stays)
                    for column, target in zip(columns, kept, strict=True):
                        target[done:at] = memoryview(array(column.format, compress(column[start:end], stays)))
                begin[shared + 1] = at
            if later:
                for place, minute in enumerate(kept[1]):
                    kept[1][place] = minute - later if minute < NEVER else NEVER
            self._held = begin, kept
        return len(minutes) - alive

    def checksums(self) -> Iterator[int]:
        """Of all entries."""
        index, columns = self._held
        for shared, (start, end) in enumerate(pairwise(index)):
            for low in columns[0][start:end]:
                yield shared << _REST | low >> _SHARED


def _room(count: int, width: int) -> memoryview[int]:
    """Place for that many numbers of 4 bytes or of 2, all 0."""
    mapped = memoryview(mmap.mmap(-1, count * width, **_OWN) if count else bytearray())
    return mapped.cast("I") if width == 4 else mapped.cast("H")


def _place(hashed: bytes) -> int:
    """Where the entry of a digest stands: above 32 bits for the index, below them what it holds."""
    check, further = _SPLIT(hashed)
    return int(check << _SHARED | further >> 16 - _SHARED)


def _more(hashed: bytes) -> int:
    """32 bits that stand for the whole digest, in this process alone."""
    return hash(hashed) & _LOW


def _find(index: memoryview[int], columns: Columns, place: int, more: int) -> tuple[int, int | None]:
    """Where an entry belongs, and where it stands."""
    lows, low, end = columns[0], place & _LOW, index[(place >> 32) + 1]
    at = first = bisect_left(lows, low, index[place >> 32], end)
    while at < end and lows[at] == low:
        if len(columns) == 2 or columns[2][at] == more:
            return first, at
        at += 1
    return first, None


def _merged(
    column: memoryview[int], pieces: list[tuple[int, int, tuple[int, ...]]], which: int, count: int
) -> memoryview[int]:
    """A copy of a column with the pieces' numbers, each in place of what stands from its first index to its second."""
    target, at, done = _room(count, column.itemsize), 0, 0
    for start, after, numbers in pieces:
        target[at : at + start - done] = column[done:start]
        at += start - done
        target[at] = numbers[which]
        at, done = at + 1, after
    target[at:] = column[done:]
    return target
