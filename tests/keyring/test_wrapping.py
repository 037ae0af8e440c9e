"""Secrets at rest."""

from __future__ import annotations

import pytest

from admit.errors import ConfigurationError
from admit.keyring.wrapping import MasterKeys

ONE, TWO = b"1" * 32, b"2" * 32


def test_what_is_wrapped_opens_under_the_same_name_only() -> None:
    keys = MasterKeys({1: ONE})
    wrapped = keys.wrap("signing key", "a", b"secret")
    assert keys.unwrap("signing key", "a", wrapped) == b"secret"
    assert b"secret" not in wrapped
    for kind, name in (("signing key", "b"), ("MAC key", "a"), ("signing ke", "ya")):
        with pytest.raises(ConfigurationError):
            keys.unwrap(kind, name, wrapped)


@pytest.mark.parametrize("keys", [{1: TWO}, {2: ONE}])
def test_another_master_key_is_named_as_the_mistake(keys: dict[int, bytes]) -> None:
    wrapped = MasterKeys({1: ONE}).wrap("k", "a", b"secret")
    with pytest.raises(ConfigurationError, match="master key"):
        MasterKeys(keys).unwrap("k", "a", wrapped)


def test_a_newer_version_wraps_and_the_older_still_opens() -> None:
    old = MasterKeys({1: ONE}).wrap("k", "a", b"secret")
    both = MasterKeys({1: ONE, 2: TWO})
    assert both.unwrap("k", "a", old) == b"secret"
    assert both.version_of(old) == 1
    assert both.version_of(both.wrap("k", "a", b"secret")) == 2


@pytest.mark.parametrize("damage", [b"", b"\0", b"\0\1", b"\0\1" + b"x" * 12, b"\0\1" + b"x" * 40])
def test_a_damaged_row_is_an_error_of_one_kind(damage: bytes) -> None:
    with pytest.raises(ConfigurationError):
        MasterKeys({1: ONE}).unwrap("k", "a", damage)


@pytest.mark.parametrize("keys", [{}, {1: b"short"}, {0: ONE}, {70000: ONE}])
def test_a_weak_or_missing_master_key_is_refused(keys: dict[int, bytes]) -> None:
    with pytest.raises(ConfigurationError):
        MasterKeys(keys)


def test_the_repr_shows_no_key() -> None:
    assert "1111" not in repr(MasterKeys({1: ONE}))
