"""Why a task is not done: from what is known of it to the one fact that blocks. Nothing here reads or writes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tinytown import times
from tinytown.ids import SUPERVISOR_ID, short
from tinytown.lifecycle import TaskState
from tinytown.runtime.operations.reasons import TEXT, Fact, Reason, moment, of_agent
from tinytown.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinytown.records import Task
    from tinytown.runtime.operations.reasons import Situation
    from tinytown.transport.shelves import Shelved

_NAMED = 3
"""Agents or tasks that a sentence names; of more it says how many."""

_RUNS = frozenset({Fact.ABOUT_TO_BEGIN, Fact.NOTHING_WAITS, Fact.SNOOZED, Fact.DEAD_LETTER, Fact.STARTING})
"""Reasons of an agent that say nothing of one task: what becomes of the task's own message does."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """What a task waits for; `task` is None when there is no such task."""

    id: str
    task: Task | None = None
    agent_name: str = ""


@dataclass(frozen=True, slots=True)
class TaskSituation:
    """What is known of a task.

    `agent` is the situation of the agent it was given to. `ahead` is how many messages its agent reads before the
    task's own, None when it lies in no lane; `in_hand`: a turn has taken it; `due`: it waits until then (seconds
    since 1970); `shelved`: it was put aside. `suitable` are the agents alive that may claim it from the backlog,
    None when it is not there. `failed_check` says which check its work has not passed.
    """

    task: Task
    agent: Situation | None = None
    dependencies: tuple[Dependency, ...] = ()
    ahead: int | None = None
    in_hand: bool = False
    due: float | None = None
    shelved: Shelved | None = None
    suitable: tuple[str, ...] | None = None
    review: Dependency | None = None
    failed_check: str = ""


def of_task(seen: TaskSituation) -> Reason:
    """The one reason why the task is where it is; the predicate is the task's."""
    for ask in _QUESTIONS:
        reason = ask(seen)
        if reason is not None:
            return reason
    raise AssertionError("the last question has an answer to everything")


def _ended(seen: TaskSituation) -> Reason | None:
    task = seen.task
    if not task.state.is_terminal:
        return None
    since = f" since {moment(task.completed_at)}" if task.completed_at else ""
    said = f": {one_line(task.result, 200)}" if task.result and task.state is not TaskState.COMPLETED else ""
    return Reason(Fact.ENDED, f"is {task.state}{since}{said}", f"tt task show {short(task.id)}")


def _depends(seen: TaskSituation) -> Reason | None:
    open_ones = [each for each in seen.dependencies if each.task is None or each.task.state is not TaskState.COMPLETED]
    if seen.task.state is not TaskState.PENDING or not open_ones:
        return None
    # What can never be completed matters more than what only is not yet.
    hopeless = [each for each in open_ones if each.task is None or each.task.state.is_terminal]
    first = (hopeless or open_ones)[0]
    more = f", and for {len(open_ones) - 1} more" if len(open_ones) > 1 else ""
    if first.task is None:
        text = f"can never begin: it waits for task {short(first.id)}, which does not exist{more}"
        return Reason(Fact.DEPENDENCY, text, f"tt task cancel {short(seen.task.id)}")
    what = f"task {short(first.id)} '{one_line(first.task.description, TEXT)}'"
    if hopeless:
        text = f"cannot begin: it waits for {what}, which is {first.task.state}{more}"
        return Reason(Fact.DEPENDENCY, text, f"See why: tt task show {short(first.id)}")
    by = f", in the hands of '{first.agent_name}'" if first.agent_name else ""
    text = f"waits for {what}, which is {first.task.state}{by}{more}"
    return Reason(Fact.DEPENDENCY, text, f"tt why {short(first.id)}")


def _free(seen: TaskSituation) -> Reason | None:
    task = seen.task
    if task.state is not TaskState.PENDING or task.assigned_to is not None:
        return None
    if seen.suitable is None:
        return Reason(Fact.NO_AGENT, "is nobody's, and does not lie in the backlog", f"tt task cancel {short(task.id)}")
    if not seen.suitable:
        tags = f" among its tags ({', '.join(task.tags)})" if task.tags else ""
        return Reason(
            Fact.NO_MATCHING_AGENT,
            f"lies in the backlog, and no agent that is alive has a role{tags}"
            if tags
            else "lies in the backlog, and no agent is alive",
            "tt spawn NAME --role ROLE",
        )
    named = ", ".join(f"'{name}'" for name in seen.suitable[:_NAMED])
    more = f" and {len(seen.suitable) - _NAMED} more" if len(seen.suitable) > _NAMED else ""
    return Reason(
        Fact.UNCLAIMED,
        f"lies in the backlog until an agent claims it; {named}{more} may",
        f"tt backlog claim {short(task.id)} {seen.suitable[0]}",
    )


def _in_review(seen: TaskSituation) -> Reason | None:
    review = seen.review
    if review is None or review.task is None or review.task.state.is_terminal:
        return None
    by = f" by '{review.agent_name}'" if review.agent_name else ""
    return Reason(
        Fact.IN_REVIEW, f"is in review{by} (task {short(review.id)}, {review.task.state})", f"tt why {short(review.id)}"
    )


def _undecided(seen: TaskSituation) -> Reason | None:
    """Its review has ended without a verdict, or too often with the same one."""
    task = seen.task
    if task.claim is None or task.review_task is None or task.waits:
        return None
    note = f": {one_line(task.note, 200)}" if task.note else ""
    return Reason(
        Fact.FOR_A_PERSON,
        f"is claimed to be done, and its review decides nothing{note}",
        f"tt task complete {short(task.id)}, or tt task fail {short(task.id)}",
    )


def _put_aside(seen: TaskSituation) -> Reason | None:
    letter = seen.shelved
    if letter is None or seen.in_hand or seen.ahead is not None:
        return None
    dead = letter.shelf == "dlq"
    return Reason(
        Fact.DEAD_LETTER if dead else Fact.QUARANTINED,
        f"will not be tried again: its message lies {'among the dead letters' if dead else 'in quarantine'} "
        f"({one_line(letter.reason, 200)})",
        f"tt dlq retry {short(letter.id)}",
    )


def _of_its_agent(seen: TaskSituation) -> Reason | None:
    agent = seen.agent
    if agent is None:
        return Reason(Fact.NO_AGENT, "belongs to an agent that is gone", "tt reclaim --orphan-tasks")
    reason = of_agent(agent)
    name = agent.agent.name
    if agent.agent.id == SUPERVISOR_ID:
        return Reason(Fact.FOR_A_PERSON, "waits for a person: it is the conductor's", "tt inbox conductor")
    if seen.failed_check and reason.fact is not Fact.WORKING:
        return Reason(
            Fact.VERIFICATION_FAILED,
            f"has not passed the check {seen.failed_check} and is back with agent '{name}', which {reason.predicate}",
            f"tt task show {short(seen.task.id)}",
        )
    if reason.fact is Fact.WORKING and (seen.in_hand or agent.agent.current_task == seen.task.id):
        on_it = of_agent(replace(agent, work="it"))
        attempt = f", attempt {seen.task.attempts}" if seen.task.attempts > 1 else ""
        text = f"is in the hands of agent '{name}', which {on_it.predicate}{attempt}"
        return Reason(Fact.WORKING, text, reason.advice)
    if reason.fact in _RUNS:
        return None
    return Reason(reason.fact, f"waits for agent '{name}', which {reason.predicate}", reason.advice)


def _of_its_message(seen: TaskSituation) -> Reason:
    task = seen.task
    name = seen.agent.agent.name if seen.agent is not None else ""
    if seen.due is not None:
        until = moment(times.timestamp(seen.due))
        return Reason(Fact.SNOOZED, f"has failed and is tried again by agent '{name}' at {until}")
    if seen.ahead:
        return Reason(
            Fact.QUEUED, f"waits its turn: agent '{name}' reads {seen.ahead} other message(s) first", f"tt inbox {name}"
        )
    if seen.ahead == 0 or seen.in_hand:
        return Reason(Fact.ABOUT_TO_BEGIN, f"is next: agent '{name}' is about to begin")
    if task.state is TaskState.PENDING:
        return Reason(Fact.ABOUT_TO_BEGIN, f"waits for nothing any more, and is handed to agent '{name}' in a moment")
    return Reason(
        Fact.NO_MESSAGE,
        f"is given to agent '{name}', and no message tells the agent of it any more",
        f"Cancel it and assign it anew: tt task cancel {short(task.id)}",
    )


_QUESTIONS: tuple[Callable[[TaskSituation], Reason | None], ...] = (
    _ended,
    _depends,
    _free,
    _in_review,
    _undecided,
    _put_aside,
    _of_its_agent,
    _of_its_message,
)
