"""Pauses after failures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytown.actors.backoff import pause


def test_the_bound_doubles_up_to_the_cap() -> None:
    bounds = [pause(failures, base=5.0, cap=600.0, random=1.0) for failures in range(1, 10)]

    assert bounds == [5, 10, 20, 40, 80, 160, 320, 600, 600]


@given(
    failures=st.integers(1, 10**9),
    base=st.floats(0.01, 3600),
    cap=st.floats(0.01, 86400),
    random=st.floats(0, 1, exclude_max=True),
)
def test_a_pause_is_never_negative_and_never_above_the_cap(
    failures: int, base: float, cap: float, random: float
) -> None:
    assert 0 <= pause(failures, base=base, cap=cap, random=random) <= cap


@pytest.mark.parametrize("random", [0.0, 0.25, 0.999])
def test_the_pause_is_that_part_of_the_bound_which_the_dice_say(random: float) -> None:
    assert pause(3, base=5.0, cap=600.0, random=random) == 20 * random
