"""The set's tables against a plain dictionary, its size in memory, and readers beside a writer."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from itertools import product
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admit import Key, KeySet, Signer, Verifier
from admit.errors import RevokedToken
from admit.jose.encoding import b64url_encode
from admit.tokens.claims import Claims, Registered
from admit.tokens.revocation import KINDS, Entry, EntryKind, digest
from admit.tokens.revocation_set import RevocationSet

NOW = 1_900_000_000 // 60 * 60
MOMENTS = st.integers(-5, 5).map(lambda minutes: NOW + 60 * minutes)


def entry(kind: EntryKind, value: str, exp: int | None, epoch: int = 1) -> Entry:
    return Entry.of(kind, value, seq=1, exp=exp, epoch=epoch if kind == "sub" else None)


def refused(cut: RevocationSet, kind: EntryKind, value: str, epoch: int = 0) -> bool:
    """Whether a token is refused that has this value in the place of that kind."""
    name = {"client": "client_id"}.get(kind, kind)
    others: dict[str, str] = {} if kind == "kid" else {name: value}
    kid = value if kind == "kid" else "a key that is in force"
    claims = Claims(Registered(epoch=epoch, **others), None, kid, b"{}")  # type: ignore[arg-type]
    try:
        cut.check(claims)
    except RevokedToken:
        return True
    return False


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(KINDS), st.sampled_from("abcdef"), MOMENTS | st.none(), st.integers(0, 3)),
            MOMENTS,
        ),
        max_size=30,
    )
)
def test_it_holds_what_a_dictionary_would_hold(steps: list[tuple[EntryKind, str, int | None, int] | int]) -> None:
    cut, known = RevocationSet(), dict[tuple[EntryKind, str], tuple[float, int]]()
    for step in steps:
        if isinstance(step, int):
            cut.purge(step)
            # It may know for longer, up to two minutes, but never forgets before.
            gone = {key for key, (ends, _) in known.items() if ends < step and not refused(cut, *key, epoch=-1)}
            assert all(known[key][0] < step for key in gone)
            assert not any(known[key][0] < step - 120 for key in known.keys() - gone)
            known = {key: value for key, value in known.items() if key not in gone}
        else:
            kind, value, exp, epoch = step
            cut.apply([entry(kind, value, exp, epoch)])
            ends, highest = known.get((kind, value), (0, 0))
            known[kind, value] = max(ends, float("inf") if exp is None else exp), max(highest, epoch)
        assert len(cut) == len(known)
        for kind in KINDS:
            for value in "abcdefg":
                assert refused(cut, kind, value, epoch=-1) is ((kind, value) in known)
                if kind == "sub" and (kind, value) in known:
                    highest = known[kind, value][1]
                    assert not refused(cut, kind, value, highest)
                    assert refused(cut, kind, value, highest - 1)


@pytest.mark.parametrize("exp", [None, 2**40, NOW + 86_400 * 50])
def test_what_ends_too_far_away_to_be_counted_never_ends(exp: int | None) -> None:
    cut = RevocationSet([entry("sid", "another", NOW), entry("sid", "s", exp)])
    for years in (1, 30, 60, 200):
        cut.purge(NOW + years * 365 * 86_400)
        assert refused(cut, "sid", "s")
    assert len(cut) == 1


def test_a_set_that_is_kept_for_years_forgets_what_ends_as_it_did_on_its_first_day() -> None:
    cut = RevocationSet([entry("sub", "for ever", None, 3)])
    for day in range(0, 3000, 5):
        now = NOW + day * 86_400
        cut.apply([entry("sid", f"s{day}", now + 900), entry("sub", f"u{day}", now + 900, 2)])
        cut.purge(now + 600)
        assert refused(cut, "sid", f"s{day}")
        assert refused(cut, "sub", f"u{day}", 1)
        assert len(cut) == 3
        cut.purge(now + 900 + 120)
        assert len(cut) == 1
    assert refused(cut, "sub", "for ever", 2)
    assert not refused(cut, "sub", "for ever", 3)


def test_a_clock_that_goes_back_makes_a_set_forget_nothing_before_its_end() -> None:
    day = 86_400
    ends = {"now": NOW, "long ago": NOW - 20 * day, "far": NOW + 30 * day}
    cut = RevocationSet([entry("sid", value, exp) for value, exp in ends.items()])
    for back in (30, 11, 5, 0):
        cut.purge(NOW - back * day)
        assert all(refused(cut, "sid", value) for value, exp in ends.items() if exp >= NOW - back * day)
    assert len(cut) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_what_ends_long_before_the_first_entry_counts_until_it_ends(kind: EntryKind) -> None:
    cut = RevocationSet([entry("kid", "first", NOW + 12 * 86_400)])
    cut.apply([entry(kind, "x", NOW + 1800)])
    for now in (NOW, NOW + 1800):
        cut.purge(now)
        assert refused(cut, kind, "x")


def test_what_ends_in_two_weeks_is_forgotten_then_however_old_the_set_is() -> None:
    cut, later = RevocationSet([entry("sid", "first", NOW)]), NOW + 20 * 86_400
    cut.purge(later)
    assert len(cut) == 0
    cut.apply([entry("sid", "s", later + 15 * 86_400)])
    cut.purge(later + 15 * 86_400)
    assert refused(cut, "sid", "s")
    cut.purge(later + 15 * 86_400 + 120)
    assert len(cut) == 0


def test_an_epoch_too_great_to_be_counted_cuts_off_every_token_of_the_subject() -> None:
    cut = RevocationSet([entry("sub", "alice", NOW, 2**32 + 7)])
    assert refused(cut, "sub", "alice", 2**32 + 6)
    assert refused(cut, "sub", "alice", 2**32 + 8)
    assert not refused(cut, "sub", "bob", 0)


GROW = """
import gc, tracemalloc
from hashlib import sha256
from admit.jose.encoding import b64url_encode
from admit.tokens.revocation import Entry
from admit.tokens.revocation_set import RevocationSet

cut = RevocationSet([Entry.of("sid", "another", seq=1, exp=1_900_000_000)])
digests = (b64url_encode(sha256(b"%d" % number).digest()[:12]).decode() for number in range(6_000))
tracemalloc.start()
cut.apply(Entry("sid", digest, 1, 1_900_000_000) for digest in digests)
gc.collect()
taken = tracemalloc.get_traced_memory()[0]
index, columns = cut._others._held
print(taken, len(cut), sum(column.nbytes for column in columns), index.nbytes, len(cut._map))
"""


def test_an_entry_takes_six_bytes_and_nothing_of_the_heap() -> None:
    # In a process of its own: in this one, other tests' threads and collectors may allocate meanwhile.
    ran = subprocess.run([sys.executable, "-c", GROW], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    taken, count, columns, index, marks = map(int, ran.stdout.split())
    assert count == 6_001
    assert columns == 6 * count
    assert taken < 4000  # bytes
    # So much for the greatest number that a verifier is made for: under 1 MB with all else that grows or stands beside it.
    assert 6 * 100_000 + 2 * index + marks < 900_000


def forged(kind: EntryKind, value: str, at: int, epoch: int | None = None, mask: int = 0x80) -> Entry:
    """An entry whose digest is the value's but for a bit of the byte at a place."""
    hashed = bytearray(digest(kind, value))
    hashed[at] ^= mask
    return Entry(kind, b64url_encode(bytes(hashed)).decode(), 1, None, epoch)


@pytest.mark.parametrize("bit", range(44))
@pytest.mark.parametrize("kind", ["jti", "sid", "client", "kid"])
def test_an_entry_cuts_off_nothing_that_differs_from_it_in_one_bit(kind: EntryKind, bit: int) -> None:
    assert not refused(RevocationSet([forged(kind, "x", bit // 8, mask=0x80 >> bit % 8)]), kind, "x")


@pytest.mark.parametrize("kind", ["sid", "sub"])
def test_the_first_and_the_last_checksums_are_found_and_do_not_stand_for_each_other(kind: EntryKind) -> None:
    # Found by solving for the bits that tell "0" from "1": the ends of all checksums, and of those that an index counts as one.
    values = {
        0x0000_0000: "01011000101101001110100101101000000000000000",
        0x000F_FFFF: "11010011110001111001100011000010000000000000",
        0x0010_0000: "10110000110010000110100111000101000000000000",
        0xFFFF_FFFF: "11011001011000111001100000011101000000000000",
    }
    assert {crc32(value.encode()): value for value in values.values()} == values
    cut, ends = RevocationSet(), NOW
    for count, value in enumerate(values.values(), 1):
        ends += 600
        cut.apply([entry(kind, value, ends, 3)])
        assert [refused(cut, kind, each, 1) for each in values.values()] == [True] * count + [False] * (4 - count)
    for count, value in enumerate(list(values.values())[::-1], 1):
        cut.apply([entry(kind, value, ends, 3)])
        assert len(cut) == 4, count
    cut.purge(ends)
    assert all(refused(cut, kind, each, 1) for each in values.values())
    cut.purge(ends + 120)
    assert len(cut) == 0
    assert not any(refused(cut, kind, each, 1) for each in values.values())


@pytest.mark.parametrize("at", range(12))
def test_subjects_are_told_apart_by_their_whole_digest(at: int) -> None:
    other = forged("sub", "alice", at, 9)
    assert not refused(RevocationSet([other]), "sub", "alice", 5)
    for entries in ([other, entry("sub", "alice", None, 3)], [entry("sub", "alice", None, 3), other]):
        cut = RevocationSet(entries)
        assert len(cut) == 2
        assert refused(cut, "sub", "alice", 2)
        assert not refused(cut, "sub", "alice", 3)


def test_subjects_that_share_a_place_are_added_beside_each_other_in_one_page() -> None:
    others = []
    for at, mask in product(range(6, 12), (1, 2, 4, 8)):
        hashed = bytearray(digest("sub", "alice"))
        hashed[at] ^= mask
        others.append(Entry("sub", b64url_encode(bytes(hashed)).decode(), 1, None, 9))
    cut = RevocationSet([entry("sub", "alice", None, 3)])
    cut.apply([*others, entry("sub", "alice", None, 4)])
    assert len(cut) == 1 + len(others)
    assert (refused(cut, "sub", "alice", 3), refused(cut, "sub", "alice", 4)) == (True, False)
    cut.apply(others)  # each is found where it stands
    assert len(cut) == 1 + len(others)


def test_thousands_of_entries_are_merged_and_removed_page_by_page() -> None:
    names = [f"s{number}" for number in range(4500)]
    cut = RevocationSet([entry("sid", name, NOW) for name in names[::2]])
    cut.apply([entry("sid", name, NOW + 900) for name in names])
    cut.apply([entry("sid", name, NOW + 9000) for name in names[::3]])
    assert len(cut) == len(names)
    cut.purge(NOW + 1200)
    assert len(cut) == len(names[::3])
    assert all(refused(cut, "sid", name) for name in names[::3])
    assert not any(refused(cut, "sid", name) for name in names[1::3])


def test_what_stays_is_still_found_after_what_ended_has_gone() -> None:
    cut = RevocationSet([entry("sid", "ended", NOW), entry("sid", "stays", NOW + 9_000), entry("kid", "k", None)])
    cut.purge(NOW + 600)
    assert len(cut) == 2
    assert refused(cut, "sid", "stays")
    assert refused(cut, "kid", "k")
    assert sum(each.bit_count() for each in cut._map) == 4


def test_two_tokens_that_share_a_jti_are_two_tokens() -> None:
    key = Key.generate("ES256")
    verifier = Verifier(KeySet([key.public()]), issuer="https://auth.example", audience="orders")
    signer = Signer(key, issuer="https://auth.example", audience="orders")

    def claims(**other: str) -> Claims[None]:
        sub, client_id = other.pop("sub", "alice"), other.pop("client_id", "web")
        return verifier.verify(signer.sign(sub=sub, client_id=client_id, jti="j", claims={"sid": "s", **other}))

    for kind, value in (("sid", "t"), ("sub", "bob"), ("client", "app")):
        cut = RevocationSet([entry(kind, value, None)])  # type: ignore[arg-type]
        cut.check(claims())
        with pytest.raises(RevokedToken):
            cut.check(claims(**{{"client": "client_id"}.get(kind, kind): value}))


def test_a_reader_never_misses_an_entry_beside_others_that_come_and_go() -> None:
    # Their numbers are near the one that is looked for, so that it stands elsewhere in every table that takes the place of one.
    wanted = digest("sid", "wanted")
    cut = RevocationSet([entry("sid", "wanted", None)])
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.is_set():
            for _ in range(50):
                number += 1
                hashed = hashlib.sha256(b"%d" % number).digest()
                near = hashed[:3] + wanted[3:4] + hashed[4:12]
                cut.apply([Entry("sid", b64url_encode(near).decode(), number, NOW)])
            cut.purge(NOW + 600)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(refused(cut, "sid", "wanted") for _ in range(10_000))
    finally:
        ended.set()
        writer.join()
