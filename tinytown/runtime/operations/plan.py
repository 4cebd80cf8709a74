"""The plan and the town: `tasks.toml` goes to Redis, what came of it comes back.

What must be true: a plan's id always means the same task, since the task's id is made from it; so pushing twice
pushes once. A push is one commit, for the whole file or not at all. It changes nothing of a task that runs or has
ended: while there is a town, the town knows best.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from tinytown.errors import AgentNotFound, Invalid, Untrusted
from tinytown.ids import SUPERVISOR_ID, SUPERVISOR_NAMES, TaskId, is_id
from tinytown.plan import PLAN_FILE, InvalidPlan, parse_plan, plan_tag
from tinytown.records import Task
from tinytown.runtime.operations.plan_placing import Placing, Pushed
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.rousing import rouse_for
from tinytown.runtime.operations.task_views import name_of
from tinytown.runtime.operations.tasks import checked_commands, checked_reviewer, checked_tags
from tinytown.runtime.operations.texts import checked_text
from tinytown.runtime.plan_file import Standing, updated
from tinytown.text import term_safe
from tinytown.transport.backlog import AT_ONCE
from tinytown.transport.store import Raced, Seen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.ids import AgentId
    from tinytown.plan import Plan
    from tinytown.records import Agent
    from tinytown.runtime.town import Town

MOST = 2000
"""Entries of a plan that are pushed: one script takes them all, and the server waits while it runs."""


__all__ = ("Pull", "Pulled", "Push", "Pushed", "pull", "push", "task_id_of")


@dataclass(frozen=True, slots=True)
class Push:
    """The text of a plan; `source` is what it is called in messages.

    `allow_verify`: whoever asks has read the commands in it and lets them run.
    """

    text: str
    source: str = PLAN_FILE
    allow_verify: bool = False


@dataclass(frozen=True, slots=True)
class Pull:
    """The text of the plan as it is; None when there is none.

    `everything`: with the tasks of the town that are not in it. Without a plan, all that came from one are added.
    """

    text: str | None = None
    source: str = PLAN_FILE
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Pulled:
    """The new text, and how many tasks of the town are in it. `missing` are entries that were never pushed."""

    text: str
    count: int
    added: int = 0
    missing: tuple[str, ...] = ()


@operation("plan.push", Scope.WRITE)
async def push(town: Town, request: Push) -> Pushed:
    """Make the plan's tasks those of the town.

    New ones are given to their agents in the order of what they depend on, without an agent they go to the backlog;
    those that have not begun are brought up to date. Raises `InvalidPlan`, `Untrusted` for commands that nobody has
    accepted, `Invalid`, `TooLarge`, `MailboxFull`, `TownFull`; then nothing was pushed.
    """
    plan = parse_plan(request.text, source=request.source)
    _check(town, plan, request.source)
    while True:
        there = await _see(town, [task_id_of(entry.id) for entry in plan.entries])
        if not request.allow_verify:
            _refuse_commands(plan, there)
        placing = Placing(town, plan, {entry.id: task_id_of(entry.id) for entry in plan.entries}, there)
        pushed = placing.place_all(await _agents(town, plan))
        if placing.nothing_to_do:
            return pushed
        try:
            await town.store.commit(placing.change)
        except (Raced, AgentNotFound):
            continue
        note = await rouse_for(town, placing.change.messages)
        return pushed if note is None else replace(pushed, notes=(*pushed.notes, note))


@operation("plan.pull", Scope.READ)
async def pull(town: Town, request: Pull) -> Pulled:
    """Write into a plan how its tasks stand.

    Changes nothing in the town. Raises `InvalidPlan` for a text that is none.
    """
    text = '[meta]\ndescription = "Task plan for this project"\n' if request.text is None else request.text
    plan = parse_plan(text, source=request.source)
    there = await _see(town, [task_id_of(entry.id) for entry in plan.entries])
    names = await town.store.names()
    plan_ids: dict[str, str] = {task_id_of(entry.id): entry.id for entry in plan.entries}
    added: list[Task] = []
    if request.everything or request.text is None:
        for task in await town.store.tasks():
            wanted = request.everything or task.plan_id is not None
            if wanted and task.id not in plan_ids and task.review_of is None:
                plan_ids[task.id] = task.plan_id or task.id
                added.append(task)
    found = {task_id: seen.record for task_id, seen in there.items() if seen is not None}
    standings = {plan_ids[task.id]: _standing(task, names, plan_ids) for task in found.values()}
    new = [(plan_ids[task.id], _standing(task, names, plan_ids)) for task in added]
    after = updated(text, plan, standings, new)
    parse_plan(after, source=request.source)
    missing = tuple(entry.id for entry in plan.entries if task_id_of(entry.id) not in found)
    return Pulled(after, len(standings) + len(new), len(new), missing)


def task_id_of(plan_id: str) -> TaskId:
    """The id of the task that a plan's id means. One that is a task's id already means that task."""
    from hashlib import sha256

    if is_id(plan_id.lower()):
        return TaskId(plan_id.lower())
    digest = sha256(f"plan {plan_id}".encode()).hexdigest()
    parts = (digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32])
    return TaskId("-".join(parts))


def _check(town: Town, plan: Plan, source: str) -> None:
    """Refuse what an operation on a single task would refuse, with the line it stands in."""
    if len(plan.entries) > MOST:
        raise InvalidPlan(f"{source} has {len(plan.entries):,} tasks; at most {MOST:,} are pushed")
    for entry in plan.entries:
        where = f"{source}: line {entry.line}: "
        for check in (
            lambda entry=entry: checked_text(entry.description, town, what="description"),
            lambda entry=entry: checked_tags(entry.tags),
            lambda entry=entry: checked_reviewer(entry.review, entry.agent),
            lambda entry=entry: checked_commands(entry.verify, town),
        ):
            try:
                check()
            except Invalid as error:
                raise type(error)(where + error.message, hint=error.hint) from None


def _refuse_commands(plan: Plan, there: Mapping[TaskId, Seen[Task] | None]) -> None:
    """A plan may have come with a repository: what it would run has to be read first."""
    new = []
    for entry in plan.entries:
        seen = there[task_id_of(entry.id)]
        known = seen.record.verify if seen is not None else ()
        new += [(entry, command) for command in entry.verify if command not in known]
    if new:
        listed = "\n".join(f"  {entry.id}: {term_safe(command, lines=False)}" for entry, command in new)
        raise Untrusted(
            f"The plan has commands that would run on this machine to verify tasks:\n{listed}",
            hint="When you have read them, push with: tt sync push --allow-verify",
        )


async def _see(town: Town, task_ids: list[TaskId]) -> dict[TaskId, Seen[Task] | None]:
    """These tasks with the bytes they were read from, None for those there are not."""
    found: dict[TaskId, Seen[Task] | None] = {}
    for start in range(0, len(task_ids), AT_ONCE):
        part = task_ids[start : start + AT_ONCE]
        raws = await town.connection.execute("MGET", *(town.keys("task", each) for each in part), repeat=True)
        for task_id, raw in zip(part, cast("list[bytes | None]", raws), strict=True):
            found[task_id] = None if raw is None else Seen(Task.decode(raw), raw)
    return found


async def _agents(town: Town, plan: Plan) -> dict[str, Agent]:
    """The agents that the plan names and that there are."""
    wanted = {entry.agent for entry in plan.entries if entry.agent is not None}
    found = {agent.name: agent for agent in await town.store.agents() if agent.name in wanted}
    for name in wanted.intersection(SUPERVISOR_NAMES):
        found[name] = await town.store.find_agent(name)
    return found


def _standing(task: Task, names: Mapping[AgentId, str], plan_ids: Mapping[str, str]) -> Standing:
    ours = plan_tag(task.plan_id) if task.plan_id else None
    owner = task.assigned_to if task.assigned_to in names or task.assigned_to == SUPERVISOR_ID else None
    return Standing(
        status=task.state.value,
        agent=name_of(owner, names) or None,
        result=task.result if task.state.is_terminal else None,
        description=task.description,
        parent=plan_ids.get(task.parent_id or ""),
        depends_on=tuple(plan_ids[each] for each in task.depends_on if each in plan_ids),
        tags=tuple(tag for tag in task.tags if tag != ours),
        review=task.review,
        verify=task.verify,
    )
