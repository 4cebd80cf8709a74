"""Why an agent does nothing, why a task is not done: from what is known of them to the one fact that blocks.

Nothing here reads or writes. The facts are asked in the order in which a person has to deal with them: an agent
that is stopped needs a restart before it is worth saying that its runtime is gone. What an agent waits for is put
as a predicate (`is paused and …`), so that one sentence serves the agent and the task that waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from tinytown import times
from tinytown.ids import SUPERVISOR_ID, short
from tinytown.lifecycle import AgentState
from tinytown.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinytown.records import Agent
    from tinytown.runtime.operations.pending import Counts
    from tinytown.transport.placement import RuntimeCard

TEXT = 60
"""Characters of a task's or a reason's text inside a sentence."""


class Fact(StrEnum):
    """What blocks; for programs."""

    ENDED = "ended"
    WORKING = "working"
    STARTING = "starting"
    PAUSED = "paused"
    DRAINING = "draining"
    STOPPED = "stopped"
    ERROR = "error"
    NO_RUNTIME = "no_runtime"
    BACKOFF = "backoff"
    ABOUT_TO_BEGIN = "about_to_begin"
    SNOOZED = "snoozed"
    DEAD_LETTER = "dead_letter"
    QUARANTINED = "quarantined"
    NOTHING_WAITS = "nothing_waits"
    FOR_A_PERSON = "for_a_person"
    DEPENDENCY = "dependency"
    IN_REVIEW = "in_review"
    VERIFICATION_FAILED = "verification_failed"
    NO_MATCHING_AGENT = "no_matching_agent"
    UNCLAIMED = "unclaimed"
    NO_AGENT = "no_agent"
    NO_MESSAGE = "no_message"
    QUEUED = "queued"


@dataclass(frozen=True, slots=True)
class Reason:
    """A fact, what it means of the agent, and what a person can do, if anything."""

    fact: Fact
    predicate: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of an agent. `now` and `snoozed` are seconds since 1970, the latter of each message that waits.

    `holder` is the living runtime that holds it; `work` describes its current task. `waiting` counts the messages
    in its lanes, `in_hand` those its turn holds, `put_aside` those among the dead letters and in quarantine.
    """

    agent: Agent
    now: float
    counts: Counts
    waiting: int = 0
    in_hand: int = 0
    runtimes: int = 0
    holder: RuntimeCard | None = None
    snoozed: tuple[float, ...] = field(default=())
    put_aside: int = 0
    work: str = ""


def of_agent(seen: Situation) -> Reason:
    """The one reason for what the agent does, or does not."""
    if seen.agent.id == SUPERVISOR_ID:
        if (reason := _of_conductor(seen)) is not None:
            return reason
        return Reason(Fact.FOR_A_PERSON, f"has {_messages(seen.waiting)} for a person to read", "tt inbox conductor")
    for ask in _QUESTIONS:
        reason = ask(seen)
        if reason is not None:
            return reason
    return Reason(Fact.NOTHING_WAITS, "is idle: nothing waits in its mailbox", f"tt assign {seen.agent.name} '...'")


def _of_conductor(seen: Situation) -> Reason | None:
    """What holds of it besides its mailbox, which a person reads, too."""
    agent = seen.agent
    if agent.state is AgentState.ERROR:
        why = f": {one_line(agent.reason, 200)}" if agent.reason else ""
        return Reason(Fact.ERROR, f"is in error{why}", "Mend the cause, then: tt conductor --detach")
    if not agent.acts:
        return None
    if agent.state is AgentState.PAUSED:
        return Reason(Fact.PAUSED, "is paused and takes no turn until it is resumed", f"tt resume {agent.name}")
    for ask in (_no_runtime, _at_its_goal, _starting, _backoff):
        if (reason := ask(seen)) is not None:
            return reason
    return Reason(
        Fact.FOR_A_PERSON,
        f"rests until an agent reports to it or a person speaks to it; {_messages(seen.waiting)} "
        f"{_wait(seen.waiting)} in its inbox",
        "Read them with 'tt inbox', and speak to it with: tt send conductor '...'",
    )


def _at_its_goal(seen: Situation) -> Reason | None:
    agent = seen.agent
    return Reason(Fact.WORKING, "works on its goal", f"tt logs {agent.name} --follow") if agent.in_round else None


def _asked_of_it(seen: Situation) -> Reason | None:
    """What a person or a failure has decided for it."""
    agent, name = seen.agent, seen.agent.name
    left = f", and {_messages(seen.waiting)} {_wait(seen.waiting)} in its mailbox" if seen.waiting else ""
    match agent.state:
        case AgentState.ERROR:
            why = f": {one_line(agent.reason, 200)}" if agent.reason else ""
            return Reason(Fact.ERROR, f"is in error{why}", f"Mend the cause, then: tt restart {name}")
        case AgentState.STOPPED:
            spent = f" after {agent.rounds_completed} of {agent.max_rounds} rounds"
            return Reason(Fact.STOPPED, f"has stopped{spent}{left}", f"tt restart {name}")
        case AgentState.PAUSED:
            still = "; its turn still runs" if agent.in_round and seen.holder is not None else left
            return Reason(Fact.PAUSED, f"is paused and takes no turn until it is resumed{still}", f"tt resume {name}")
        case AgentState.DRAINING:
            return Reason(Fact.DRAINING, f"ends after its turn and takes no other{left}", f"tt wait {name}")
        case _:
            return None


def _no_runtime(seen: Situation) -> Reason | None:
    if seen.holder is not None:
        return None
    if seen.runtimes:
        return Reason(Fact.NO_RUNTIME, "waits for a living runtime to take it over, which takes some seconds")
    return Reason(Fact.NO_RUNTIME, "has no runtime: none is alive in this town", "tt start --detach")


def _working(seen: Situation) -> Reason | None:
    agent, holder = seen.agent, seen.holder
    if not agent.in_round or holder is None:
        return None
    number = f"round {agent.rounds_completed + 1} of {agent.max_rounds}"
    since = f" since {moment(agent.last_active_at)}" if agent.last_active_at else ""
    what = f"works on {seen.work}" if seen.work else f"works on {_messages(seen.in_hand)}"
    where = f"held by runtime {short(holder.id)}, pid {holder.pid}"
    return Reason(Fact.WORKING, f"{what}{since} ({number}, {where})", f"tt logs {agent.name} --follow")


def _starting(seen: Situation) -> Reason | None:
    if seen.agent.state is not AgentState.STARTING:
        return None
    return Reason(Fact.STARTING, "is starting")


def _backoff(seen: Situation) -> Reason | None:
    agent = seen.agent
    if agent.backoff_until is None or times.seconds_of(agent.backoff_until) <= seen.now:
        return None
    failed = f"{agent.failed_rounds} failed round{'s' if agent.failed_rounds != 1 else ''}"
    why = f" ({one_line(agent.reason, 200)})" if agent.reason else ""
    return Reason(
        Fact.BACKOFF,
        f"waits until {moment(agent.backoff_until)} after {failed}{why}",
        f"An urgent message begins a round at once: tt send {agent.name} --urgent '...'",
    )


def _waiting(seen: Situation) -> Reason | None:
    if seen.counts.actionable:
        number = seen.counts.actionable
        asks = "asks" if number == 1 else "ask"
        return Reason(Fact.ABOUT_TO_BEGIN, f"is about to begin a round: {_messages(number)} {asks} for work")
    if seen.snoozed:
        number = len(seen.snoozed)
        until = moment(times.timestamp(min(seen.snoozed)))
        return Reason(Fact.SNOOZED, f"is idle: {_messages(number)} that failed {_wait(number)} until {until}")
    if seen.put_aside:
        number = seen.put_aside
        lie = "lies" if number == 1 else "lie"
        return Reason(
            Fact.DEAD_LETTER,
            f"is idle: nothing waits, but {_messages(number)} of its own {lie} among the dead letters",
            f"tt dlq list {seen.agent.name}",
        )
    if seen.waiting:
        return Reason(
            Fact.NOTHING_WAITS,
            f"is idle: only {_messages(seen.waiting)} that {'asks' if seen.waiting == 1 else 'ask'} for nothing "
            f"{_wait(seen.waiting)}, and the next round reads along",
        )
    return None


_QUESTIONS: tuple[Callable[[Situation], Reason | None], ...] = (
    _asked_of_it,
    _no_runtime,
    _working,
    _starting,
    _backoff,
    _waiting,
)


def moment(stamp: str) -> str:
    """A time of a record to the second."""
    whole, dot, _ = stamp.partition(".")
    return f"{whole}Z" if dot else stamp


def _messages(number: int) -> str:
    return f"{number} message{'s' if number != 1 else ''}"


def _wait(number: int) -> str:
    return "waits" if number == 1 else "wait"
