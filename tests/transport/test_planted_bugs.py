"""Six bugs planted on purpose: the machine of the mailbox must find each, or its silence would prove nothing.

Each is a change of one script's text, and each breaks another promise. The searches are derandomized: the same
examples every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from mailbox_machine import machine_on
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


@dataclass(frozen=True)
class Bug:
    """`wrong` stands instead of `right` in one script, or in all of them; the machine then names a `promise`."""

    script: str
    right: str
    wrong: str
    promise: str


BUGS = {
    "no fence": Bug(
        "*", "return epoch ~= '' and redis.call('HGET', K_epochs, actor) ~= epoch", "return false", "I3"
    ),
    "destructive pop": Bug(
        "claim", "redis.call('HSET', K_inflight(agent), tag, wrap(lane, counter, raw))", "", "I1"
    ),
    "recovery without removal": Bug("*", "redis.call('HDEL', K_inflight(agent), tag)", "", "I1"),
    "ack leaves the counters": Bug(
        "settle",
        "ack = function(_, _, _, counter) forget_counters(counter) end",
        "ack = function(_, _, _, counter) redis.call('SREM', K_live, counter) end",
        "I5",
    ),
    "no de-duplication": Bug("*", "if redis.call('ZSCORE', K_seen, id) then return 2 end", "", "I9|I1"),
    "dead letters dropped": Bug(
        "settle", "put_aside(K_dlq, agent, lane, counter, raw, reason, now)", "forget_counters(counter)", "I1"
    ),
}


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """The scripts with the bug in them, for this process and the time of the block."""
    sound = scripts.source
    hit = set()

    def source(name: str) -> str:
        text = sound(name)
        if bug.script not in ("*", name) or bug.right not in text:
            return text
        hit.add(name)
        return text.replace(bug.right, bug.wrong)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts, "source", source)
        forget_digests()
        try:
            yield
        finally:
            forget_digests()
    assert hit, "the text that the bug replaces is not in the script any more: plant it anew"


def forget_digests() -> None:
    """Let every script send its text again."""
    for value in vars(scripts).values():
        if isinstance(value, scripts.Script):
            value._digest = None


@pytest.mark.parametrize("name", BUGS)
def test_the_machine_finds(server: RunningServer, name: str) -> None:
    bug = BUGS[name]

    with planted(bug), pytest.raises(AssertionError, match=bug.promise):
        run_state_machine_as_test(machine_on(server), settings=BOUNDED)
