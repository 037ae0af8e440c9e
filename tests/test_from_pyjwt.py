"""The tables of docs/from-pyjwt.md: both sides of a row run, and come to the same."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

jwt: Any = pytest.importorskip("jwt")

from admit import PLAIN, Verifier, errors  # noqa: E402

PAGE = (Path(__file__).parent.parent / "docs" / "from-pyjwt.md").read_text(encoding="utf-8")
CALLS, NAMES = (re.findall(r"^\| `(.*?)` \| `(.*?)`[ ,]", part, re.MULTILINE) for part in PAGE.split("## Exceptions"))
NOW = datetime.now(UTC)
SOON = NOW + timedelta(days=1)  # the tests begin long after this was read


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """The names that the page's first blocks leave behind."""
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE.partition("## What")[0], re.MULTILINE | re.DOTALL):
        exec(block, names)
    return names


@pytest.mark.parametrize(("before", "now"), CALLS)
def test_a_call_and_the_one_in_its_place_come_to_the_same(before: str, now: str, page: dict[str, Any]) -> None:
    old, new = eval(before, page), eval(now, page)
    if before.startswith("jwt.encode"):
        old, new = ({name: page["verifier"].verify(token).raw[name] for name in page["claims"]} for token in (old, new))
        old, new = ({**claims, "iat": 0, "exp": claims["exp"] - claims["iat"]} for claims in (old, new))
    assert old == new


BAD: dict[str, dict[str, object]] = {
    "InvalidTokenError": {"exp": NOW - timedelta(hours=1)},
    "ExpiredSignatureError": {"iat": NOW - timedelta(hours=2), "exp": NOW - timedelta(hours=1)},
    "ImmatureSignatureError": {"nbf": SOON},
    "InvalidAudienceError": {"aud": "billing"},
    "InvalidIssuerError": {"iss": "https://evil.example"},
    "MissingRequiredClaimError": {"tenant": None},
}


@pytest.mark.parametrize(("before", "now"), NAMES)
def test_an_exception_and_the_one_in_its_place_are_raised_for_the_same(
    before: str, now: str, page: dict[str, Any]
) -> None:
    claims = {name: value for name, value in {**page["claims"], **BAD.get(before, {})}.items() if value is not None}
    token = jwt.encode(claims, page["secret"], algorithm="HS256")
    token = {"InvalidSignatureError": token[:-4] + "AAAA", "DecodeError": "nonsense"}.get(before, token)
    with pytest.raises(getattr(jwt, before)):
        jwt.decode(token, page["secret"], ["HS256"], **page["expected"], options={"require": ["tenant"]})
    verifier = Verifier(page["keys"], **page["expected"], kind=PLAIN, required=["tenant"])
    with pytest.raises(getattr(errors, now)):
        verifier.verify(token)


def test_both_tables_are_read() -> None:
    assert len(CALLS) == 9
    assert {before for before, _ in NAMES} == {"InvalidSignatureError", "DecodeError", *BAD}
