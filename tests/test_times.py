"""Points in time and durations as texts."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytown.times import now, seconds_of, span, timestamp

UNTIMED = settings(deadline=None)
"""The machine may be busy; how long an example takes says nothing."""

MOMENTS = st.floats(min_value=0, max_value=4_102_444_800)


@UNTIMED
@given(MOMENTS)
def test_a_time_comes_back_to_the_millisecond(seconds: float) -> None:
    stamp = timestamp(seconds)
    assert len(stamp) == 24
    assert seconds_of(stamp) == pytest.approx(seconds, abs=0.00051)
    assert timestamp(seconds_of(stamp)) == stamp


@UNTIMED
@given(MOMENTS, MOMENTS)
def test_texts_sort_as_the_times_they_tell(first: float, second: float) -> None:
    early, late = sorted((first, second))
    assert timestamp(early) <= timestamp(late)


@UNTIMED
@given(MOMENTS)
def test_it_is_rfc_3339_in_utc(seconds: float) -> None:
    stamp = timestamp(seconds)
    parsed = datetime.fromisoformat(stamp)
    assert parsed.tzinfo == UTC
    assert parsed.timestamp() == pytest.approx(seconds, abs=0.00051)


def test_fractions_round_up_into_the_next_second() -> None:
    assert timestamp(0.9996) == "1970-01-01T00:00:01.000Z"
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"


def test_now_is_now() -> None:
    assert timestamp(time.time() - 5) <= now() <= timestamp(time.time() + 5)


def test_times_of_other_precision_are_read() -> None:
    assert seconds_of("1970-01-01T00:00:01Z") == 1
    assert seconds_of("1970-01-01T00:00:01.5Z") == 1.5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Z",
        "yesterday",
        "1970-01-01",
        "1970-01-01T00:00:01",
        "1970-01-01T00:00:01+01:00",
        "1970-13-01T00:00:01Z",
    ],
)
def test_other_texts_are_no_times(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        seconds_of(text)


@pytest.mark.parametrize("text", ["1970-01-01T00:00:01.xZ", "1970-01-01T00:00:01.Z", "1970-01-01T00:00:01.1e5Z"])
def test_a_fraction_is_digits(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0s"),
        (0, "0s"),
        (0.9, "0s"),
        (45, "45s"),
        (60, "1m"),
        (725, "12m 5s"),
        (3600, "1h"),
        (3659, "1h"),
        (4980, "1h 23m"),
        (86_400, "1d"),
        (273_600, "3d 4h"),
    ],
)
def test_durations_for_people_have_two_units_at_most(seconds: float, shown: str) -> None:
    assert span(seconds) == shown
