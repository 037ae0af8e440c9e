"""A kind of token that contradicts itself is not made."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from admit import ACCESS, ConfigurationError
from admit.errors import InvalidClaim
from admit.tokens import rules
from admit.tokens.claims import Registered
from admit.tokens.kinds import Kind


@pytest.mark.parametrize(
    "changes",
    [
        {"typ": ""},
        {"required": frozenset({"x"}), "forbidden": frozenset({"x"})},
        {"max_lifetime": timedelta()},
        {"max_lifetime": timedelta(seconds=-1)},
        {"required": "sub"},
        {"forbidden": "sub"},
        {"other_types": "JWT"},
        {"algorithms": "ES256"},
        {"issuer": "("},
        {"marks": (("x", "["),)},
        {"marks": (("x", 5),)},
    ],
    ids=str,
)
def test_a_kind_that_contradicts_itself_is_not_made(changes: dict[str, Any]) -> None:
    Kind(name="mine", typ="mine+jwt", max_lifetime=timedelta(seconds=1))
    with pytest.raises(ConfigurationError, match="mine"):
        Kind(**{"name": "mine", "typ": "mine+jwt", **changes})


def test_an_access_token_has_all_that_rfc_9068_requires() -> None:
    assert ACCESS.required == {"iss", "exp", "aud", "sub", "client_id", "iat", "jti"}


def test_the_spellings_of_one_issuer_are_accepted_only_where_one_of_them_is_expected() -> None:
    kind = Kind(name="mine", typ="mine+jwt", same_issuers=frozenset({"a", "b"}))
    assert kind.issuers(frozenset({"a"})) == {"a", "b"}
    assert kind.issuers(frozenset({"b", "c"})) == {"a", "b", "c"}
    assert kind.issuers(frozenset({"c"})) == {"c"}
    assert Kind(name="mine", typ="mine+jwt").issuers(frozenset({"c"})) == {"c"}


def test_a_mark_is_a_string_that_matches_as_a_whole() -> None:
    rule = rules.marked((("use", "access|both"), ("ver", "1")))
    rule(Registered(), {"use": "both", "ver": "1"}, 0)
    for raw, words in (
        ({"ver": "1"}, "'use' is missing, expected access|both"),
        ({"use": "access", "ver": "11"}, "'ver' is '11', expected 1"),
        ({"use": ["access"], "ver": "1"}, "'use' is ['access'], expected access|both"),
    ):
        with pytest.raises(InvalidClaim) as caught:
            rule(Registered(), raw, 0)
        assert words in str(caught.value)
