"""Nothing is built from arguments that would leave a check undone, or fail when a token arrives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from admit import ACCESS, ConfigurationError, Key, KeySet, Kind, Signer, Unchecked, Verifier
from admit.errors import OverlongToken
from admit.tokens.arguments import must_be_seconds
from tests.helpers.forge import AUDIENCE, ISSUER, NOW, claims, forge, key


def build(issuer: Any = ISSUER, audience: Any = AUDIENCE, clock: Any = lambda: NOW, **settings: Any) -> None:
    Verifier(KeySet([key("HS256")]), issuer=issuer, audience=audience, clock=clock, **settings)


@dataclass(frozen=True)
class Lost:
    where: Nowhere  # type: ignore[name-defined]  # noqa: F821 - that is the point


@pytest.mark.parametrize(
    ("setting", "value", "hint"),
    [
        ("leeway", 60, "timedelta"),
        ("leeway", None, "timedelta"),
        ("leeway", Unchecked(60), "timedelta"),
        ("leeway", Unchecked(timedelta(seconds=-1)), "0 or more"),
        ("leeway", timedelta(seconds=61), "leeway=Unchecked"),
        ("skew", 10, "timedelta"),
        ("skew", timedelta(seconds=61), "between 0 and 60 s"),
        ("skew", Unchecked(timedelta(hours=1)), "never Unchecked"),
        ("max_lifetime", 60, "timedelta"),
        ("max_lifetime", timedelta(), "positive"),
        ("max_lifetime", Unchecked(), "say how long"),
        ("max_lifetime", timedelta(hours=24, seconds=1), "max_lifetime=Unchecked"),
        ("max_lifetime", Unchecked(60), "timedelta"),
        ("extra", 5, "a type"),
        ("extra", "Mine", "a type"),
        ("extra", list[int] | set[int], "msgspec cannot convert"),
        ("extra", Lost, "top of a module"),
        ("max_lifetime", timedelta(seconds=-1), "0 or more"),
        ("kind", "access", "ACCESS"),
        ("kind", None, "ACCESS"),
        ("required", None, "collection"),
        ("required", "sub", "collection"),
        ("required", 5, "collection"),
        ("required", [5], "collection"),
        ("required", [None], "collection"),
        ("required", [""], "collection"),
        ("revocations", 5, "check"),
        ("revocations", "required", "check"),
        ("clock", None, "seconds since 1970"),
        ("clock", 1_800_000_000, "seconds since 1970"),
        ("cache", 1.5, "whole number"),
        ("cache", True, "whole number"),
        ("cache", None, "whole number"),
        ("cache", -1, "whole number"),
        ("max_token", 0, "at least 1 byte"),
        ("max_token", 16e3, "at least 1 byte"),
        ("issuer", 5, "issuer=Unchecked"),
        ("issuer", b"x", "issuer=Unchecked"),
        ("issuer", [], "issuer=Unchecked"),
        ("audience", b"x", "audience=Unchecked"),
        ("audience", None, "audience=Unchecked"),
        ("audience", "", "audience=Unchecked"),
    ],
)
def test_an_argument_of_the_wrong_sort_is_refused_with_a_way_to_mend_it(setting: str, value: Any, hint: str) -> None:
    with pytest.raises(ConfigurationError, match=hint):
        build(**{setting: value})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("leeway", timedelta(seconds=60)),
        ("leeway", Unchecked(timedelta(hours=1))),
        ("leeway", Unchecked()),
        ("skew", timedelta(seconds=60)),
        ("skew", timedelta()),
        ("max_lifetime", timedelta(hours=24)),
        ("max_lifetime", timedelta(microseconds=1)),
        ("cache", 1),
        ("max_token", 1),
        ("required", ()),
        ("extra", list[int]),
    ],
)
def test_the_last_value_that_is_sensible_is_accepted(setting: str, value: Any) -> None:
    build(**{setting: value})


@pytest.mark.parametrize(
    "settings",
    [
        {"lifetime": timedelta(seconds=1)},
        {"lifetime": timedelta(hours=24)},
        {"jitter": 0},
        {"jitter": 0.5},
        {"max_token": 1},
        {"audience": None},
        {"extra": dict[str, int]},
    ],
)
def test_a_signer_is_built_from_the_last_value_that_is_sensible(settings: dict[str, Any]) -> None:
    assert Signer(key("HS256"), **({"issuer": ISSUER, "audience": AUDIENCE} | settings))


def test_a_life_over_a_day_is_accepted_by_the_dangerous_word_or_by_a_kind_that_says_so() -> None:
    month = forge(claims(exp=NOW + 30 * 86_400))
    keys, longest = KeySet([key("HS256")]), timedelta(days=31)
    long_kind = Kind(name="long", typ="at+jwt", max_lifetime=longest)
    settings: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "clock": lambda: NOW}
    assert Verifier(keys, **settings, max_lifetime=Unchecked(longest)).verify(month).sub == "alice"
    assert Verifier(keys, **settings, kind=long_kind).verify(month).sub == "alice"
    assert Verifier(keys, **settings, kind=long_kind, max_lifetime=timedelta(days=30)).verify(month).sub == "alice"
    for judge in (
        Verifier(keys, **settings),
        Verifier(keys, **settings, max_lifetime=Unchecked(timedelta(days=29))),
        Verifier(keys, **settings, kind=long_kind, max_lifetime=timedelta(days=29)),
    ):
        with pytest.raises(OverlongToken):
            judge.verify(month)


@pytest.mark.parametrize(
    ("setting", "value", "hint"),
    [
        ("key", None, "SigningBackend"),
        ("key", "secret", "SigningBackend"),
        ("key", SimpleNamespace(kid="k", alg="HS256"), "SigningBackend"),
        ("key", SimpleNamespace(kid="k", alg="HS256", sign=b"x"), "SigningBackend"),
        ("key", SimpleNamespace(kid="k", sign=len), "SigningBackend"),
        ("key", SimpleNamespace(kid="k", alg=b"HS256", sign=len), "SigningBackend"),
        ("issuer", 5, "non-empty string"),
        ("issuer", "", "non-empty string"),
        ("audience", 5, "non-empty strings"),
        ("audience", [], "non-empty strings"),
        ("audience", [""], "non-empty strings"),
        ("lifetime", 60, "timedelta"),
        ("lifetime", None, "timedelta"),
        ("lifetime", timedelta(), "at least a second"),
        ("lifetime", timedelta(hours=25), "at most"),
        ("lifetime", timedelta(seconds=-1), "0 or more"),
        ("jitter", "x", "fraction between 0 and 0.5"),
        ("jitter", None, "fraction between 0 and 0.5"),
        ("jitter", True, "fraction between 0 and 0.5"),
        ("jitter", float("nan"), "fraction between 0 and 0.5"),
        ("jitter", 0.6, "fraction between 0 and 0.5"),
        ("kind", "access", "ACCESS"),
        ("kind", None, "ACCESS"),
        ("extra", 5, "a type"),
        ("extra", "Mine", "a type"),
        ("allow_claims", None, "collection"),
        ("allow_claims", "password", "collection"),
        ("allow_claims", [5], "collection"),
        ("max_token", 1.5, "whole number of bytes"),
        ("max_token", None, "whole number of bytes"),
        ("max_token", True, "whole number of bytes"),
        ("max_token", 0, "whole number of bytes"),
        ("clock", None, "seconds since 1970"),
        ("clock", 1_800_000_000, "seconds since 1970"),
    ],
)
def test_a_signer_is_not_built_from_an_argument_of_the_wrong_sort(setting: str, value: Any, hint: str) -> None:
    settings: dict[str, Any] = {"key": key("HS256"), "issuer": ISSUER, "audience": AUDIENCE, "kind": ACCESS}
    with pytest.raises(ConfigurationError, match=hint):
        Signer(**(settings | {setting: value}))


@pytest.mark.parametrize("read", [Key.from_jwk, KeySet.from_jwks])
@pytest.mark.parametrize("document", ["[" * 2_000_000, b"{" * 2_000_000, '{"keys":[' + "{}," * 500_000])
def test_text_too_long_to_be_a_key_is_not_read(read: Any, document: str | bytes) -> None:
    with pytest.raises(ConfigurationError, match=f"of {len(document)} characters is not read"):
        read(document)


def test_a_number_of_seconds_is_positive_and_finite() -> None:
    odd: list[Any] = [True, "5", None, timedelta(seconds=1), 0, -1, float("inf"), float("nan"), [5]]
    for value in odd:
        with pytest.raises(ConfigurationError, match="positive number of seconds"):
            must_be_seconds(value, "wait")
    for good in (1, 0.001, 5.5):
        must_be_seconds(good, "wait")
