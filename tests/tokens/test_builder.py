"""A Verifier is not built from arguments that would leave a check undone, or fail when a token arrives."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from admit import ConfigurationError, KeySet, Unchecked, Verifier
from tests.helpers.forge import AUDIENCE, ISSUER, NOW, key


def build(issuer: Any = ISSUER, audience: Any = AUDIENCE, clock: Any = lambda: NOW, **settings: Any) -> None:
    Verifier(KeySet([key("HS256")]), issuer=issuer, audience=audience, clock=clock, **settings)


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
        ("max_lifetime", Unchecked(), "never Unchecked"),
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
