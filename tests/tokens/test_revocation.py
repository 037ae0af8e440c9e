"""Entries, the set that is asked for each token, and the page's wire form."""

from __future__ import annotations

import hashlib
import pickle
import zlib

import msgspec
import pytest

from admit import InvalidToken, Key, KeySet, Signer, Verifier
from admit.errors import RevocationsUnavailable, RevokedToken
from admit.jose import jws
from admit.jose.encoding import json_bytes
from admit.tokens.claims import Claims
from admit.tokens.revocation import FEED_TYP, Entry, Page, digest
from admit.tokens.revocation_set import RevocationSet

KEY = Key.generate("ES256")
KEYS = KeySet([KEY.public()])
NOW = 1_900_000_000
VERIFIER = Verifier(KEYS, issuer="https://auth.example", audience="orders")


def claims(**further: object) -> Claims[None]:
    signer = Signer(KEY, issuer="https://auth.example", audience="orders")
    return VERIFIER.verify(signer.sign(sub="alice", client_id="web", jti="j1", claims={"sid": "s1", **further}))


def test_one_value_as_two_kinds_gives_two_hashes() -> None:
    assert digest("jti", "x") != digest("sid", "x")
    assert digest("jti", "x") == zlib.crc32(b"x").to_bytes(4) + hashlib.sha256(b"jti\0x").digest()[:8]


@pytest.mark.parametrize(("kind", "value"), [("jti", "j1"), ("sid", "s1"), ("client", "web"), ("kid", None)])
def test_each_kind_cuts_off_its_own_tokens_and_no_others(kind: str, value: str | None) -> None:
    value = value or KEY.kid
    RevocationSet([Entry.of(kind, value + "x", seq=1, exp=None)]).check(claims())  # type: ignore[arg-type]
    with pytest.raises(RevokedToken):
        RevocationSet([Entry.of(kind, value, seq=1, exp=None)]).check(claims())  # type: ignore[arg-type]


def test_a_subject_is_cut_off_below_its_epoch_and_where_the_token_has_none() -> None:
    cut = RevocationSet([Entry.of("sub", "alice", seq=1, exp=None, epoch=3)])
    cut.check(claims(epoch=3))
    for token in (claims(epoch=2), claims()):
        with pytest.raises(RevokedToken):
            cut.check(token)


def test_the_higher_epoch_and_the_later_expiry_win_in_either_order() -> None:
    low, high = (
        Entry.of("sub", "alice", seq=1, exp=NOW + 600, epoch=3),
        Entry.of("sub", "alice", seq=2, exp=NOW, epoch=7),
    )
    for order in ((low, high), (high, low)):
        cut = RevocationSet(order)
        cut.purge(NOW + 300)
        with pytest.raises(RevokedToken):
            cut.check(claims(epoch=6))


def test_what_has_expired_is_forgotten_and_keys_never_are() -> None:
    cut = RevocationSet([Entry.of("jti", "j1", seq=1, exp=NOW), Entry.of("kid", "k", seq=2, exp=None)])
    cut.purge(NOW)
    assert len(cut) == 2
    cut.purge(NOW + 120)  # entries end with a minute, and the one that has begun is rounded up
    assert len(cut) == 1
    cut.purge(NOW + 100 * 365 * 86400)
    with pytest.raises(RevokedToken):
        cut.check(msgspec.structs.replace(claims(), kid="k"))


def page(**changes: object) -> bytes:
    payload: dict[str, object] = {
        "iss": "i", "feed": "f", "from": 0, "to": 2, "iat": 1, "full": True, "more": False,
        "entries": [["jti", "AAAAAAAAAAAAAAAA", 1, 100], ["sub", "AAAAAAAAAAAAAAAA", 2, 100, 5]],
    }  # fmt: skip
    payload |= changes
    return jws.sign(KEY, json_bytes(payload), typ=FEED_TYP).encode()


def test_a_page_is_read_as_it_was_written() -> None:
    read = Page.read(page(), KEYS, "i")
    assert Page.read(read.sign(KEY).encode(), KEYS, "i") == read
    assert read.entries[1].epoch == 5
    nothing_new = Page.read(page(**{"from": 2, "full": False, "entries": []}), KEYS, "i")
    assert (nothing_new.since, nothing_new.to, nothing_new.entries) == (2, 2, ())


@pytest.mark.parametrize(
    "changes",
    [
        {"entries": [["jwt", "AAAAAAAAAAAAAAAA", 1, 1]]},
        {"entries": [["jti", "AAAA", 1, 1]]},
        {"entries": [["jti", "AAAAAAAAAAAAAAA=", 1, 1]]},
        {"entries": [["jti", "AAAAAAAAAAAAAAAA", 3, 1]]},
        {"entries": [["jti", "AAAAAAAAAAAAAAAA", 0, 1]]},
        {"entries": [["jti", "AAAAAAAAAAAAAAAA", 1, 1, 5]]},
        {"entries": [["sub", "AAAAAAAAAAAAAAAA", 1, 1]]},
        {"entries": [["jti", "AAAAAAAAAAAAAAAA", 1, 1, None, "?"]]},
        {"entries": [["jti", "AAAAAAAAAAAAAAAA", True, 1]]},
        {"iss": "j"}, {"to": -1}, {"from": 3}, {"from": 1, "full": True}, {"from": 3, "entries": []}, {"from": -1, "entries": []},
        {"to": -1, "entries": []}, {"from": 1, "full": True, "entries": []}, {"iat": "1"}, {"feed": None},
    ],
)  # fmt: skip
def test_a_page_that_is_not_understood_whole_is_refused_whole(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidToken):
        Page.read(page(**changes), KEYS, "i")


def test_neither_another_type_nor_another_key_makes_a_page() -> None:
    payload = jws.verify(page(), KEYS).payload
    with pytest.raises(InvalidToken):
        Page.read(jws.sign(KEY, payload, typ="at+jwt").encode(), KEYS, "i")
    with pytest.raises(InvalidToken):
        Page.read(jws.sign(KEY, payload).encode(), KEYS, "i")
    with pytest.raises(InvalidToken):
        Page.read(jws.sign(Key.generate("ES256", kid=KEY.kid), payload, typ=FEED_TYP).encode(), KEYS, "i")


@pytest.mark.parametrize(("kind", "value", "epoch"), [("jti", "j1", None), ("sid", "s1", None), ("sub", "alice", 1)])
def test_what_has_passed_is_looked_at_again_after_every_new_entry(kind: str, value: str, epoch: int | None) -> None:
    cut, token = RevocationSet([Entry.of("jti", "another", seq=1, exp=None)]), claims()
    cut.judge(token, NOW, True)
    cut.judge(token, NOW, True)
    cut.apply([Entry.of(kind, value, seq=2, exp=None, epoch=epoch)])  # type: ignore[arg-type]
    with pytest.raises(RevokedToken):
        cut.judge(token, NOW, True)


def test_an_entry_counts_even_where_the_page_breaks_off_after_it() -> None:
    cut, token = RevocationSet(), claims()
    cut.judge(token, NOW, True)
    with pytest.raises(InvalidToken):
        cut.apply([Entry.of("jti", "j1", seq=1, exp=None), Entry("jti", "?", 2, None)])
    with pytest.raises(RevokedToken):
        cut.judge(token, NOW, True)


def test_that_one_set_let_a_token_pass_says_nothing_to_another_nor_of_another_token() -> None:
    token = claims()
    passed = RevocationSet()
    passed.judge(token, NOW, True)
    with pytest.raises(RevokedToken):
        RevocationSet([Entry.of("jti", "j1", seq=1, exp=None)]).judge(token, NOW, True)
    passed.apply([Entry.of("kid", "k2", seq=1, exp=None)])
    passed.judge(token, NOW, True)
    with pytest.raises(RevokedToken):
        passed.judge(msgspec.structs.replace(token, kid="k2"), NOW, True)


def test_a_moment_for_which_nothing_is_believed_is_looked_at_first() -> None:
    looks: list[None] = []
    cut, token = (
        RevocationSet([Entry.of("jti", "another", seq=1, exp=None)], stale=lambda: looks.append(None)),
        claims(),
    )
    for kept in (True, False):
        for now in (0.0, 0.5, NOW, float("nan"), -NOW):  # never anything was heard
            cut.judge(token, now, kept)
    assert len(looks) == 10
    cut.believe(NOW, NOW + 1)
    for now in (NOW, NOW + 0.9):
        cut.judge(token, now, False)
    cut.check(token)
    assert len(looks) == 10
    for now in (NOW - 0.1, NOW + 1, float("nan")):
        cut.judge(token, now, False)
    assert len(looks) == 13


def test_where_nothing_may_be_believed_nobody_passes_but_what_was_heard_still_counts() -> None:
    def fail() -> None:
        raise RevocationsUnavailable("too old")

    cut, token = RevocationSet(stale=fail), claims()
    for kept in (True, False):
        with pytest.raises(RevocationsUnavailable):
            cut.judge(token, NOW, kept)
    cut.check(token)
    cut.apply([Entry.of("jti", "j1", seq=1, exp=None)])
    with pytest.raises(RevokedToken):
        cut.check(token)


def test_what_a_set_remembers_of_claims_shows_nowhere() -> None:
    token = claims()
    before, copied = repr(token), msgspec.structs.replace(token)
    RevocationSet().judge(token, NOW, True)
    assert (repr(token), token, hash(token)) == (before, copied, hash(copied))
    assert msgspec.structs.asdict(token).keys() == {"registered", "extra", "kid", "payload"}
    assert pickle.loads(pickle.dumps(token)) == token
    with pytest.raises(AttributeError):
        token._passed = object()


@pytest.mark.parametrize("payload", [b'{"iss":"i","iss":"i"', b'{"feed":"f"'])
def test_a_page_read_fast_is_read_as_strictly_as_any_json(payload: bytes) -> None:
    written = jws.verify(page(), KEYS).payload
    assert written.startswith(b'{"iss":"i"')
    changed = written.replace(b'{"iss":"i"', payload, 1)
    with pytest.raises(InvalidToken):
        Page.read(jws.sign(KEY, changed, typ=FEED_TYP).encode(), KEYS, "i")


def test_a_page_written_otherwise_is_read_all_the_same() -> None:
    written = jws.verify(page(), KEYS).payload
    spaced = jws.sign(KEY, written.replace(b",", b", "), typ=FEED_TYP).encode()
    assert Page.read(spaced, KEYS, "i") == Page.read(page(), KEYS, "i")
