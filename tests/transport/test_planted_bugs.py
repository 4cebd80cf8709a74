"""Bugs planted on purpose: the machine of the mailbox must find each, or its silence would prove nothing.

Each is a change of a script's text that breaks a promise. The searches are derandomized: the same examples every
time, as long as the machine and Hypothesis stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from handing_machine import HandingMachine
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from mailbox_machine import MailboxMachine, machine_on
from servers import RunningServer

from tinytown.transport import scripts

BOUNDED = settings(
    max_examples=400,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)


class Bug(NamedTuple):
    """`wrong` stands instead of `right` in every script that has it; the machine then names the `promise`."""

    right: str
    wrong: str
    promise: str


BUGS = {
    "no fence": Bug("return epoch ~= '' and epoch ~= current", "return false", "I3"),
    "a destructive pop": Bug("redis.call('HSET', K_inflight(agents[place]), unpack(values))", "", "I1|I4"),
    "recovery without removal": Bug("redis.call('HDEL', K_inflight(agent), tag)", "", "I1"),
    "an ack that leaves the counters": Bug(
        "if counted then forget_counters(counter) else over[#over + 1] = counter end",
        "over[#over + 1] = counter",
        "I5",
    ),
    "no de-duplication": Bug("return redis.call('ZMSCORE', K_seen, unpack(ids))", "return {}", "I9|I1"),
    "dead letters dropped": Bug("put_aside(K_dlq, agent, lane, counter, raw, reason, now)", "do end", "I1"),
    # The six above are those every change of the machine was measured by; the rest cost little and find more.
    "quarantine too late": Bug("count >= limits.recoveries", "count > limits.recoveries", "I1|I5"),
    "what was only claimed counts as a death": Bug("if prompted then", "if true then", "I1|I5"),
    "recovery by the text of the tag": Bug("tonumber(a) > tonumber(b)", "a > b", "I6"),
    "a return to the end of the lane": Bug(
        "redis.call('LPUSH', lane_key(agent, lane), raw)", "redis.call('RPUSH', lane_key(agent, lane), raw)", "I6"
    ),
    "a held agent claims": Bug("if held[place] == 1 then", "if false then", "I11|I12"),
    "an overtaken lane": Bug("over = stay > 0 or", "over =", "I6"),
    "a quiet return that hides others": Bug("waiting(agent) == returned and", "", "I17"),
    "a limit passed by one": Bug(">= caps.inbox", "> caps.inbox", "I17"),
    "what a turn holds is disowned": Bug("if not known[tag] then", "if true then", "I1|I4"),
    "what is disowned counts as a death": Bug("redis.call('SREM', K_prompted(actor), tag)\n", "\n", "I1|I5"),
    "a living runtime robbed": Bug("tonumber(lease) > now", "false", "I3"),
}

HANDING_BUGS = {
    "a lane that is overtaken by what is handed over": Bug("  unstand(laned)\n", "", "I17"),
    "a lost hand-over that is never found": Bug("if lost and runtime ~= '' then", "if false then", "I1|I6"),
    "a hand-over without a claim": Bug(
        "redis.call('HSET', K_inflight(message.agent), tag + place, wrap(message.lane, message.id, message.raw))",
        "",
        "I1|I4",
    ),
    "a hand-over that nobody hears": Bug("== 0 then return false end", "< 0 then return false end", "I1|I6"),
    "the low lane among others": Bug("and message.lane < LANES and actor.last < LANES", "", "I6"),
    "a lost hand-over that counts as a death": Bug("redis.call('DEL', K_prompted(agent))\n", "\n", "I1|I5|I6"),
}


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """The scripts with the bug in them, for this process and the time of the block."""
    sound = scripts.source
    names = [value.name for value in vars(scripts).values() if isinstance(value, scripts.Script)]
    assert any(bug.right in sound(name) for name in names), "no script has this text any more: plant the bug anew"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts, "source", lambda name: sound(name).replace(bug.right, bug.wrong))
        forget_digests()
        try:
            yield
        finally:
            forget_digests()


def forget_digests() -> None:
    """Let every script send its text again."""
    for value in vars(scripts).values():
        if isinstance(value, scripts.Script):
            value._digest = None


def find(bug: Bug, machine: Callable[[], MailboxMachine]) -> None:
    with planted(bug), pytest.raises(AssertionError) as found:
        run_state_machine_as_test(machine, settings=BOUNDED)

    said = str(found.value).partition("\n")[0]
    assert any(promise in said for promise in bug.promise.split("|")), said


@pytest.mark.parametrize("name", BUGS)
def test_the_machine_finds(server: RunningServer, name: str) -> None:
    find(BUGS[name], machine_on(server))


@pytest.mark.parametrize("name", HANDING_BUGS)
def test_the_machine_of_standing_actors_finds(server: RunningServer, name: str) -> None:
    find(HANDING_BUGS[name], machine_on(server, HandingMachine))
