"""When a child that crashed is started again, and when no more.

No clock and no dice of its own: the caller brings the time and the random number, so every decision can be
replayed. The shape is that of Erlang's supervisors (intensity within a period) and of the kubelet (a doubling
pause); full jitter keeps children that died together from coming back together.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from tinytown import times
from tinytown.actors.backoff import pause

if TYPE_CHECKING:
    from tinytown.records import Agent


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """At most `intensity` crashes within `period` seconds. The first restart is at once, then the pause doubles
    from `base` seconds up to `cap`."""

    intensity: int = 5
    period: float = 600.0
    base: float = 5.0
    cap: float = 300.0


@dataclass(frozen=True, slots=True)
class RestartAfter:
    """Start it again in `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It crashed too often; a person has to look."""

    crashes: int


Decision: TypeAlias = RestartAfter | GiveUp


def crashes_of(agent: Agent) -> tuple[float, ...]:
    """When it crashed lately, in seconds since 1970, rising. What a person wrote there that is no time is none."""
    found = []
    for stamp in agent.crashed_at:
        with suppress(ValueError):
            found.append(times.seconds_of(stamp))
    return tuple(sorted(found))


def after_crash(
    policy: RestartPolicy, crashes: tuple[float, ...], now: float, random: float
) -> tuple[tuple[float, ...], Decision]:
    """What to do about a crash at `now`, after those at `crashes` (seconds on one clock, rising).

    Gives the crashes to remember, those within the period, and the decision.
    """
    recent = (*(at for at in crashes if now - at < policy.period), now)
    if len(recent) > policy.intensity:
        return recent, GiveUp(len(recent))
    if len(recent) == 1:
        return recent, RestartAfter(0.0)
    return recent, RestartAfter(pause(len(recent) - 1, base=policy.base, cap=policy.cap, random=random))
