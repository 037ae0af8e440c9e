"""How a length of time is written, and read as the same."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admit.tokens.durations import read_duration, written_duration

SECONDS = {
    "500ms": 0.5,
    "30s": 30,
    "10m": 600,
    "1h30m": 5400,
    "1.5h": 5400,
    "7d": 604_800,
    "2w": 1_209_600,
    "1d1d": 172_800,
    "0s": 0,
}


@pytest.mark.parametrize("text", SECONDS)
def test_a_number_with_its_unit_is_read(text: str) -> None:
    assert read_duration(text).total_seconds() == SECONDS[text]


@pytest.mark.parametrize(
    "text", ["", "10", "m", "10 m", "-5m", "10x", "5sec", "٣m", "1e3s", ".5s", "1m ", "1m\n", "1h30"]
)
def test_what_has_no_unit_or_another_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a number with its unit, as 30s"):
        read_duration(text)


def test_what_no_calendar_holds_is_an_overflow() -> None:
    with pytest.raises(OverflowError):
        read_duration("999999999w")
    with pytest.raises(ValueError, match="unit"):
        read_duration("1" * 16 + "s")


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(), "0s"),
        (timedelta(days=30), "30d"),
        (timedelta(hours=36), "36h"),
        (timedelta(minutes=90), "90m"),
        (timedelta(seconds=61), "61s"),
        (timedelta(milliseconds=1500), "1500ms"),
        (timedelta(microseconds=1), "0.000001s"),
    ],
)
def test_it_is_written_in_its_largest_unit_without_a_rest(length: timedelta, text: str) -> None:
    assert written_duration(length) == text


@given(st.timedeltas(timedelta(), timedelta(days=36_500)))
def test_what_is_written_is_read_as_the_same(length: timedelta) -> None:
    assert read_duration(written_duration(length)) == length
