"""The conductor: start it for a goal, and wait for what comes of that."""

from __future__ import annotations

import os
import secrets
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tinytown import times
from tinytown.actors.commands import split_line
from tinytown.actors.conductor import FIRST_WORDS, MOST_ROUNDS, context, is_note, town_state
from tinytown.actors.drivers.choice import resolve_cli
from tinytown.actors.environment import path_with_tt
from tinytown.errors import Conflict, Invalid, TaskNotFound
from tinytown.ids import SUPERVISOR_ID
from tinytown.lifecycle import AgentState
from tinytown.messages import Message, TaskAssign
from tinytown.records import Event, Task, TaskSource
from tinytown.runtime.background import Served, ensure_runtime
from tinytown.runtime.caller import ID_VARIABLE, TOKEN_VARIABLE, digest
from tinytown.runtime.living import held_agents
from tinytown.runtime.operations.programs import cli_warning
from tinytown.runtime.operations.registry import Scope, operation, require
from tinytown.runtime.operations.texts import checked_text
from tinytown.runtime.operations.waiting import STARTS_OVER
from tinytown.text import one_line
from tinytown.transport.store import Raced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tinytown.ids import MessageId, TaskId
    from tinytown.records import Agent
    from tinytown.runtime.town import Town
    from tinytown.transport.store import Seen


@dataclass(frozen=True, slots=True)
class Conduct:
    """Pursue a goal; without one go on with that of the conductor that ended before it was reached.

    `cli` comes from the configuration when it is None. With `runtime=False` no runtime is started.
    """

    goal: str | None = None
    cli: str | None = None
    runtime: bool = True


@dataclass(frozen=True, slots=True)
class Conducted:
    """The conductor and its goal as they are stored. `warning` is what will keep it from working."""

    agent: Agent
    task: Task
    runtime_started: bool
    resumed: bool
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class AwaitGoal:
    """The goal of the conductor, by the id of its task, and since when what it says is news.

    `told` is what the person was told already: a wait over the death of the server is begun again.
    """

    task: TaskId
    since: times.Timestamp
    told: set[tuple[MessageId, times.Timestamp]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Attend:
    """A conductor in the terminal of a person. `cli` comes from the configuration when it is None."""

    cli: str | None = None


@dataclass(frozen=True, slots=True)
class Attended:
    """What to run, and with which environment; `context` is the file that it reads first."""

    cli: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    context: Path
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """The credential that a conductor in a terminal had."""

    token: str


@operation("conductor.start", Scope.MANAGE)
async def conduct(town: Town, request: Conduct) -> Conducted:
    """Start the conductor for a goal.

    Raises `Conflict` while one acts, `Invalid` when there is no goal, `UnknownCli`, `Untrusted`, `TooLarge`,
    `MailboxFull`, `TownFull`, and `RuntimeFailed` when it is stored, but nothing runs it.
    """
    text = None if request.goal is None else checked_text(request.goal, town, what="goal")
    cli = request.cli or town.settings.conductor_cli
    warning = cli_warning(town, cli)
    while True:
        seen = await town.store.see_agent(SUPERVISOR_ID)
        former = await _open_goal(town, seen.record)
        await _refuse_second(town, seen.record, former)
        if text is None and former is None:
            raise Invalid("The conductor needs a goal", hint='Say what it shall bring about: tt conductor "goal"')
        try:
            agent, task = await _begin(town, seen, former, text, cli)
        except Raced:
            continue
        served = await ensure_runtime(town) if request.runtime else Served()
        return Conducted(agent, task, served.started, text is None, served.beside(warning))


async def await_goal(town: Town, request: AwaitGoal, tell: Callable[[Message], None]) -> Task:
    """Wait until the goal is reached or given up, or nobody pursues it any more. The caller sets the limit of time.

    `tell` gets what the conductor has for the person, as it comes and once.
    """
    require(town, Scope.READ)
    # Taken before the records are read: what happens in between is not missed.
    position = await town.journal.position()
    await _tell_notes(town, request, tell)
    task = await town.store.task(request.task)
    if task.state.is_terminal or not (await town.store.agent(SUPERVISOR_ID)).acts:
        return task
    async with aclosing(town.journal.follow(position)) as events:
        async for event in events:
            if event.type == "message.sent":
                if event.agent == SUPERVISOR_ID:
                    await _tell_notes(town, request, tell)
            elif event.task == task.id or event.agent == SUPERVISOR_ID or event.type in STARTS_OVER:
                task = await town.store.task(task.id)
                if task.state.is_terminal or not (await town.store.agent(SUPERVISOR_ID)).acts:
                    return task
    raise AssertionError("the journal has no end")


async def _tell_notes(town: Town, request: AwaitGoal, tell: Callable[[Message], None]) -> None:
    for message in await town.mailbox.peek(SUPERVISOR_ID):
        fresh = message.created_at >= request.since and (message.id, message.created_at) not in request.told
        if fresh and is_note(message):
            request.told.add((message.id, message.created_at))
            tell(message)


@operation("conductor.attend", Scope.MANAGE)
async def attend(town: Town, request: Attend) -> Attended:
    """Make ready what a conductor in a person's terminal needs; its credential holds until `leave`, or the next one.

    Raises `Conflict` while another acts, `UnknownCli`, `Untrusted`, and `Invalid` for a CLI that has no command for a
    terminal.
    """
    agent = await town.store.agent(SUPERVISOR_ID)
    await _refuse_second(town, agent, await _open_goal(town, agent))
    cli = request.cli or town.settings.conductor_cli
    warning = cli_warning(town, cli)
    preset = resolve_cli(town.settings, cli)
    if not preset.interactive:
        raise Invalid(
            f"Agent CLI '{one_line(cli, 40)}' has no command for a terminal",
            hint=f'Set agent_clis.{one_line(cli, 40)}.interactive, or name a goal: tt conductor "goal"',
        )
    path = town.files.conductor_context
    fresh = not await town.store.agents()
    text = context(town.name, await town_state(town.store), fresh=fresh)
    with town.files.open_log(path, fresh=True) as file:
        file.write(text.encode())
    words = split_line(preset.interactive, key=f"agent_clis.{cli}.interactive")
    first = FIRST_WORDS.format(path=path)
    if not any(mark in preset.interactive for mark in ("{prompt}", "{context_file}")):
        words = (*words, "{prompt}")
    command = tuple(word.replace("{context_file}", str(path)).replace("{prompt}", first) for word in words)
    token = secrets.token_urlsafe(32)
    await town.connection.execute("HSET", town.keys("tokens"), SUPERVISOR_ID, digest(token), repeat=True)
    environ = {**town.environ, **preset.env}
    environ |= {
        "PATH": path_with_tt(environ.get("PATH", os.defpath)),
        "TINYTOWN_TOWN": str(town.root),
        "TINYTOWN_AGENT": "conductor",
        ID_VARIABLE: SUPERVISOR_ID,
        TOKEN_VARIABLE: token,
    }
    served = await ensure_runtime(town)
    return Attended(cli, command, environ, path, served.beside(warning))


@operation("conductor.leave", Scope.MANAGE)
async def leave(town: Town, request: Leave) -> None:
    """Let the credential of a conductor in a terminal end, unless there is a newer one."""
    expected = await town.connection.execute("HGET", town.keys("tokens"), SUPERVISOR_ID, repeat=True)
    if expected == digest(request.token).encode():
        await town.connection.execute("HDEL", town.keys("tokens"), SUPERVISOR_ID, repeat=True)


async def _refuse_second(town: Town, agent: Agent, goal: Seen[Task] | None) -> None:
    if agent.acts and (goal is not None or await held_agents(town, [agent])):
        what = f": {one_line(goal.record.description, 60)}" if goal is not None else ""
        raise Conflict(
            f"A conductor is at work already{what}",
            hint="Speak to it with 'tt send conductor \"...\"', or end it first with 'tt kill conductor'.",
        )


async def _open_goal(town: Town, agent: Agent) -> Seen[Task] | None:
    if agent.goal is None:
        return None
    try:
        seen = await town.store.see_task(agent.goal)
    except TaskNotFound:
        return None
    return None if seen.record.state.is_terminal else seen


async def _begin(
    town: Town, seen: Seen[Agent], former: Seen[Task] | None, text: str | None, cli: str
) -> tuple[Agent, Task]:
    """Store the conductor with its goal, in one commit."""
    change = town.store.change()
    if text is None:
        assert former is not None, "the caller has looked"
        task = former.record
        change.require_task(former)
    else:
        task = replace(Task(text, source=TaskSource.CONDUCTOR), assigned_by=SUPERVISOR_ID).assign(SUPERVISOR_ID)
        change.create_task(task)
        if former is not None:
            change.replace_task(former, former.record.cancel("The conductor was given another goal."))
            change.tell(Event("task.cancelled", agent=SUPERVISOR_ID, task=former.record.id))
    agent = replace(
        seen.record,
        name="conductor",
        cli=cli,
        state=AgentState.STARTING,
        goal=task.id,
        incarnation=seen.record.incarnation + 1,
        rounds_completed=0,
        max_rounds=MOST_ROUNDS,
        failed_rounds=0,
        backoff_until=None,
        reason=None,
        crashed_at=(),
        current_task=None,
        in_round=False,
        last_heartbeat=times.now(),
        host=town.ground.host,
    )
    change.replace_agent(seen, agent).send(Message(SUPERVISOR_ID, SUPERVISOR_ID, TaskAssign(task.id)))
    change.tell(Event("agent.spawned", agent=SUPERVISOR_ID, detail=f"conductor ({cli})"))
    change.tell(Event("task.assigned", agent=SUPERVISOR_ID, task=task.id, detail=one_line(task.description, 100)))
    await town.store.commit(change.ring(SUPERVISOR_ID))
    return agent, task
