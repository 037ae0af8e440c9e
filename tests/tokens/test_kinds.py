"""A kind of token that contradicts itself is not made."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from admit import ACCESS, ConfigurationError
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
