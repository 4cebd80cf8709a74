"""When a child that crashed is started again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tinytown.runtime.restart import Decision, GiveUp, RestartAfter, RestartPolicy, after_crash

POLICY = RestartPolicy()


def decisions(*times: float, policy: RestartPolicy = POLICY, random: float = 1.0) -> list[Decision]:
    """What is decided at crashes at these times."""
    crashes: tuple[float, ...] = ()
    out = []
    for now in times:
        crashes, decision = after_crash(policy, crashes, now, random)
        out.append(decision)
    return out


def test_the_first_restart_is_at_once_and_the_next_pauses_double() -> None:
    assert decisions(0, 10, 20, 30, 40) == [RestartAfter(seconds) for seconds in (0, 5, 10, 20, 40)]


def test_the_sixth_crash_within_ten_minutes_is_the_last() -> None:
    assert decisions(0, 1, 2, 3, 4, 5)[-1] == GiveUp(6)
    assert decisions(0, 100, 200, 300, 400, 599.9)[-1] == GiveUp(6)


def test_crashes_that_are_ten_minutes_old_do_not_count() -> None:
    assert decisions(0, 100, 200, 300, 400, 600) == [RestartAfter(s) for s in (0, 5, 10, 20, 40, 40)]
    assert decisions(*(n * 600 for n in range(50))) == [RestartAfter(0)] * 50


def test_a_pause_is_never_above_the_cap() -> None:
    patient = RestartPolicy(intensity=20, cap=60)

    assert decisions(*range(12), policy=patient)[-1] == RestartAfter(60)


def test_dice_spread_what_crashed_together() -> None:
    assert decisions(0, 1, 2, random=0.5) == [RestartAfter(0), RestartAfter(2.5), RestartAfter(5)]


def test_who_may_never_crash_is_given_up_at_once() -> None:
    assert decisions(0, policy=RestartPolicy(intensity=0)) == [GiveUp(1)]


@given(
    gaps=st.lists(st.floats(0, 1000), max_size=40),
    intensity=st.integers(0, 8),
    period=st.floats(1, 1000),
    random=st.floats(0, 1, exclude_max=True),
)
def test_it_is_given_up_exactly_when_more_crashes_than_allowed_lie_within_the_period(
    gaps: list[float], intensity: int, period: float, random: float
) -> None:
    policy = RestartPolicy(intensity=intensity, period=period)
    now, times, crashes = 0.0, [], ()
    for gap in gaps:
        now += gap
        times.append(now)
        crashes, decision = after_crash(policy, crashes, now, random)
        recent = [at for at in times if now - at < period]
        assert isinstance(decision, GiveUp) is (len(recent) > intensity)
        assert list(crashes) == recent
        if isinstance(decision, RestartAfter):
            assert 0 <= decision.seconds <= policy.cap
