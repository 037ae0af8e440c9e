"""`jwt explain`: every name in plain words, where now lies, and that nothing in a token can break either."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admit import Key, Signer
from admit.cli.advice import must_check
from admit.cli.explain import colored
from admit.cli.glossary import CLAIMS, HEADER, UNKNOWN, claim_term, header_term
from admit.cli.reading import read
from admit.cli.timeline import PLAIN, bar, state, times_of
from admit.jose import jwe
from admit.jose.algorithms import ALGORITHMS
from admit.jose.key_management import KEY_MANAGEMENT
from admit.tokens.claims import REGISTERED
from admit.tokens.kinds import ACCESS
from admit.tokens.kinds import PLAIN as PLAIN_KIND
from tests.cli.test_terminal import plain
from tests.helpers.terminal import in_terminal

JWT = str(Path(sys.executable).parent / "jwt")
KEY = Key.generate("ES256")


def token(**claims: object) -> str:
    signer = Signer(KEY, issuer="https://auth.example", audience="orders", kind=ACCESS)
    return signer.sign(sub="alice", client_id="web", claims=claims)


def test_every_claim_that_the_library_knows_is_in_the_glossary() -> None:
    assert CLAIMS.keys() >= REGISTERED


@pytest.mark.parametrize("alg", [*ALGORITHMS, "EdDSA"])
def test_every_signature_algorithm_is_told_in_words(alg: str) -> None:
    term = header_term("alg", alg, False)
    assert term != HEADER["alg"]
    assert "{" not in term.meaning
    assert ("shared secret" in term.meaning) is alg.startswith("HS")


@pytest.mark.parametrize("row", KEY_MANAGEMENT.values(), ids=lambda row: row.name)
def test_every_way_to_encrypt_is_told_in_words(row: object) -> None:
    assert header_term("alg", row.alg, True) != HEADER["alg"]  # type: ignore[attr-defined]


def test_a_name_that_is_not_known_is_called_the_issuers_own() -> None:
    assert claim_term("tenant") == UNKNOWN
    assert header_term("tenant", 1, False) == UNKNOWN
    assert "Nothing is signed" in header_term("alg", "nOnE", False).meaning


@pytest.mark.parametrize(
    ("times", "now", "line", "said"),
    [
        ({"iat": 0, "exp": 600}, 300, "|===============*--------------|", "5 min of 10 min left"),
        ({"iat": 0, "exp": 600}, 0, "*------------------------------|", "10 min of 10 min left"),
        ({"iat": 100, "exp": 600}, 0, "*.......|----------------------|", "not valid yet: it begins in 1 min 40 s"),
        ({"nbf": 0, "exp": 600}, 600, "|======================|.......*", "expired now"),
        ({"iat": 0, "exp": 600}, 10**9, "|======================|.......*", "expired 32 years ago"),
        ({"iat": 0, "nbf": 300, "exp": 600}, 450, "|===============|======*-------|", "2 min 30 s of 5 min left"),
    ],
)
def test_the_bar_shows_where_now_lies(times: dict[str, float], now: float, line: str, said: str) -> None:
    drawn = bar(times, now, 32, PLAIN)
    assert len(drawn[0]) == 32
    # The cells may round either way by one.
    assert abs(drawn[0].index("*") - line.index("*")) <= 1
    assert (drawn[0].count("."), drawn[0].startswith(line[0]), drawn[0].endswith(line[-1])) == (
        line.count("."),
        True,
        True,
    )
    assert state(times, now) == said
    labels = " ".join(drawn[1:])
    assert all(word in labels for word in ("now", "expires"))


@pytest.mark.parametrize("times", [{}, {"exp": 5}, {"iat": 5}, {"iat": 5, "exp": 5}, {"nbf": 9, "exp": 5}])
def test_times_that_make_no_bar_make_none(times: dict[str, float]) -> None:
    assert bar(times, 7, 80) == []


number = st.one_of(st.integers(), st.floats(), st.booleans(), st.text(max_size=3), st.none())


@settings(max_examples=200)
@given(st.fixed_dictionaries({}, optional={"iat": number, "nbf": number, "exp": number}), st.integers(0, 2**33))
def test_any_times_can_be_drawn_and_said(claims: dict[str, object], now: int) -> None:
    times = times_of(claims)
    assert state(times, now)
    assert all(len(line) <= 60 for line in bar(times, now, 60))


def test_what_must_be_checked_follows_the_token() -> None:
    said = must_check(read(token()))
    assert said[0].startswith("The signature, with a key that it already holds of 'https://auth.example'")
    assert "only if that key is for ES256" in said[0]
    assert any("scope" in line for line in must_check(read(token(scope_="x")))) is False
    unsigned = must_check(read("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."))
    assert "must be refused" in unsigned[0]
    bare = " ".join(must_check(read(Signer(KEY, issuer="me", kind=PLAIN_KIND).sign())))
    assert "aud names itself; here there is none, so it must be refused" in bare
    assert must_check(read(token().rpartition(".")[0]))[0] == "Nothing more: it has no signature, and must be refused."
    assert must_check(read("hello")) == [
        "Nothing more: its header cannot be read, so it must be refused where a JWT is expected."
    ]
    sealed = jwe.encrypt(Key.generate("ECDH-ES"), b"x")
    for whole_or_cut in (sealed, sealed[:-30]):
        assert "opens with its own key" in must_check(read(whole_or_cut))[0]


def test_each_part_has_a_color_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    parts = colored("aa.bb.cc").split(".")
    assert len({part[:5] for part in parts}) == 3
    assert colored("\x1b[2J.b.c").count("\x1b[2J") == 0


@pytest.mark.parametrize("columns", range(60, 100, 4))
def test_a_kid_is_never_broken_at_its_hyphens(columns: int) -> None:
    key = Key.generate("ES256", kid="-".join("abcdefghijklmnopqrstuv"))
    signer = Signer(key, issuer="https://auth.example", audience="orders", kind=PLAIN_KIND)
    code, shown = in_terminal(["explain", signer.sign(sub="alice")], LANG="C.UTF-8", COLUMNS=str(columns))
    assert code == 0
    assert plain(shown).count(f"'{key.kid}'") == 1


def test_people_see_colors_words_and_a_bar() -> None:
    code, shown = in_terminal(["explain", token()], LANG="C.UTF-8", COLUMNS="90")
    assert code == 0
    header, claims, signature = token().split(".")[0][:20], "\x1b[35m", "\x1b[36m"
    assert f"\x1b[31m{header}" in shown
    assert claims in shown
    assert signature in shown
    text = plain(shown)
    for said in (
        "An access token: permission for an API. [RFC 9068 2.1]",
        "● ",
        "expires",
        "no findings",
        "Whoever receives",
    ):
        assert said in text or said.strip() in text
    _, bare = in_terminal(["explain", token()], NO_COLOR="1", PYTHONIOENCODING="ascii")
    assert not __import__("re").search(r"\x1b\[[0-9;]*3\d", bare)
    assert "*---" in bare


def test_a_pipe_gets_all_of_it_as_json() -> None:
    run = subprocess.run([JWT, "explain", token(tenant="acme")], capture_output=True, timeout=60, check=True)
    told = json.loads(run.stdout)
    assert told["verified"] is False
    assert {each["name"] for each in told["header"]} == {"alg", "typ", "kid"}
    by_name = {each["name"]: each for each in told["claims"]}
    assert by_name["exp"]["source"] == "RFC 7519 4.1.4"
    assert {"utc", "relative"} <= by_name["exp"].keys()
    assert by_name["tenant"] == {"name": "tenant", "value": "acme", "meaning": UNKNOWN.meaning}
    assert told["findings"] == []
    assert told["must_check"]
    assert run.stderr.startswith(b"UNVERIFIED")
