"""The conductor's duty: one goal, pursued by others.

It runs when there is something to decide, and never to look whether there is: asked, told of an end or of a
failure, or spoken to by the person. It remembers nothing between two rounds, so each prompt says how the town stands.

Its mailbox is the supervisor's, which the person reads too. What it tells the person lies there, in the low lane
from the mailbox to itself, until the person speaks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tinytown.actors.prompts import to_do
from tinytown.errors import TaskNotFound
from tinytown.ids import SUPERVISOR_ID, AgentId, MessageId, short
from tinytown.lifecycle import TaskState
from tinytown.messages import Informational, Message, Priority, TaskAssign, TaskDone, TaskFailed
from tinytown.text import one_line
from tinytown.transport.delivery import Ack, Return

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinytown.actors.rounds import Round
    from tinytown.ids import TaskId
    from tinytown.records import Agent, Task
    from tinytown.times import Timestamp
    from tinytown.transport.mailbox import Mailbox
    from tinytown.transport.store import Store

MOST_ROUNDS = 1000
"""Rounds of one conductor: far more than any goal takes, and an end to one that runs in circles."""

_SHOWN_TASKS = 40
_SHOWN_TEXT = 300
_SHOWN_NOTES = 5
_PEEKED = 1000

ROLES = """\
| Role | When to suggest |
|---|---|
| backend | API development, server-side logic |
| frontend | UI/UX implementation |
| tester | Writing and running tests |
| reviewer | Always: the quality gate |
| devops | CI/CD, deployment, infrastructure |
| security | Security review, vulnerability analysis |
| docs | Documentation, API specs, README |
| architect | System design, code structure |"""

CAPABILITIES = """\
- `tt spawn NAME [--role ROLE]` - create an agent
- `tt assign AGENT "task"` - give it work; `--review reviewer` lets the reviewer decide when it is done
- `tt backlog add "task" --tags a,b`, `tt backlog list`, `tt backlog claim TASK AGENT` - work without an owner
- `tt mission start -i 23 -i 24`, `tt mission status --work`, `tt mission why` - have GitHub issues worked through
- `tt task show TASK`, `tt task complete TASK --result "summary"` - look at a task, mark it done
- `tt send AGENT "text"`, `--query`, `--info` - speak to an agent
- `tt status --deep`, `tt list`, `tt why AGENT`, `tt logs AGENT` - check progress
- `tt kill AGENT`, `tt restart AGENT` - end an agent, begin its next life"""

REVIEWER = """\
Always spawn a reviewer. Workers do the work, the reviewer decides whether it is done, you coordinate: assign with
`--review reviewer`, or assign a review when a worker reports, until the reviewer approves."""


def note(text: str, *, about: str = "") -> Message:
    """What the person shall find in the conductor's inbox. Of those `about` the same only one waits."""
    message = Message(SUPERVISOR_ID, SUPERVISOR_ID, Informational(text), Priority.LOW)
    return replace(message, id=MessageId(about)) if about else message


def is_note(message: Message) -> bool:
    """It is for the person."""
    own = message.sender == SUPERVISOR_ID and message.to == SUPERVISOR_ID
    return own and message.priority is Priority.LOW and isinstance(message.body, Informational)


class Conducting:
    """The duty of a conductor."""

    def __init__(self, store: Store, mailbox: Mailbox, town: str) -> None:
        self._store = store
        self._mailbox = mailbox
        self._town = town
        self._spoken_at: Timestamp | None = None

    def starts_a_round(self, message: Message) -> bool:
        """It asks, it tells of an end or a failure, or the person speaks. Plain information never does."""
        body = message.body
        if message.sender == SUPERVISOR_ID:
            return not (is_note(message) or _is_past(message))
        if isinstance(body, TaskDone | TaskFailed) or message.starts_a_round():
            return True
        return isinstance(body, Informational) and message.priority is Priority.HIGH

    async def take_up(self, agent: Agent, work: Round) -> None:
        """The goal lasts; what is for the person stays, until the person speaks; what is past goes."""
        if agent.goal is not None:
            work.lasting = (agent.goal,)
        kept, goals = [], 0
        for delivery, entry in work.entries:
            message = entry.message
            goals += _hands_over(message, agent.goal)
            if is_note(message):
                answered = self._spoken_at is not None and message.created_at <= self._spoken_at
                work.decided[delivery.tag] = Ack() if answered else Return(quiet=True)
            elif _is_past(message) or (_hands_over(message, agent.goal) and goals > 1):
                work.decided[delivery.tag] = Ack()
            else:
                kept.append((delivery, entry))
                if message.sender == SUPERVISOR_ID and not isinstance(message.body, TaskAssign):
                    self._spoken_at = message.created_at
        work.entries[:] = kept

    async def prompt(self, agent: Agent, work: Round, *, mark: str) -> str:
        """The goal, how the town stands, what can be done, and the messages."""
        goal = await self._goal(agent)
        told = [entry for _, entry in work.entries if not _hands_over(entry.message, agent.goal)]
        parts = [
            (
                f'# Tinytown Conductor\n\nYou are the **conductor** of Tinytown "{self._town}". You bring about one '
                "goal by handing out work with the command `tt`, which is on the PATH. Others do the work. You are "
                "started again whenever one of them finishes, fails or asks, so never wait and never poll: hand out "
                "what can be handed out now, then end. You remember nothing between two rounds but what stands here."
            )
        ]
        if goal is not None:
            parts.append(
                f"## The goal ({goal.id})\n\n--- {mark} begins\n{goal.description}\n--- {mark} ends\n\n"
                f'When it is reached: tt task complete {goal.id} --result "what was achieved"\n'
                f'When it cannot be reached: tt task fail {goal.id} --error "why"\n'
                "Nothing else ends your work."
            )
        parts.append(f"## Current town state\n\n{await town_state(self._store, besides=agent.goal)}")
        parts.append(f"## Your capabilities\n\n{CAPABILITIES}")
        parts.append(f"## Team roles\n\n{ROLES}")
        parts.append(f"## The reviewer pattern\n\n{REVIEWER}")
        parts.append(
            "## Reporting back\n\nAgents that you start report to you by themselves: their results and failures are "
            'messages to `conductor`. Ask or tell the person with `tt send conductor "text"`: it waits in that '
            "inbox until the person answers, and the answer starts you again."
        )
        notes = [message.body for message in await self._mailbox.peek(SUPERVISOR_ID, most=_PEEKED) if is_note(message)]
        texts = [body.summary for body in notes[-_SHOWN_NOTES:] if isinstance(body, Informational)]
        if texts:
            shown = "\n".join(f"--- {mark} begins\n{text}\n--- {mark} ends" for text in texts)
            parts.append(f"## What the person was told last\n\n{shown}")
        if told:
            parts.append(to_do(told, mark))
        return "\n\n".join(parts).rstrip() + "\n"

    async def lay_down(self, agent: Agent, work: Round) -> None:
        """Tell the person of the end of the goal, and when nothing is left that could wake the conductor."""
        goal = await self._goal(agent)
        if goal is None:
            return
        if goal.state.is_terminal:
            work.news.append(note(f"The goal is {goal.state}: {goal.result or goal.description}"))
        elif not await self._is_awaiting(goal) and not await self._is_woken(goal, work):
            text = (
                f"The goal is open, and nobody works for it: {one_line(goal.description, 100)}. "
                f'Tell the conductor how to go on: tt send conductor "...". Or end it: tt task cancel {short(goal.id)}'
            )
            work.news.append(note(text, about=f"{goal.id}-rests"))

    async def is_done(self, agent_id: str) -> bool:
        """The goal has ended, or there is none."""
        goal = await self._goal(await self._store.agent(AgentId(agent_id)))
        return goal is None or goal.state.is_terminal

    async def _goal(self, agent: Agent) -> Task | None:
        try:
            return None if agent.goal is None else await self._store.task(agent.goal)
        except TaskNotFound:
            return None

    async def _is_awaiting(self, goal: Task) -> bool:
        """Whether somebody is there whose work may come to something."""
        alive = {agent.id for agent in await self._store.agents() if not agent.state.is_terminal}
        if alive and await self._store.tasks(TaskState.PENDING):
            return True
        given = [*await self._store.tasks(TaskState.ASSIGNED), *await self._store.tasks(TaskState.RUNNING)]
        return any(task.id != goal.id and task.assigned_to in alive for task in given)

    async def _is_woken(self, goal: Task, work: Round) -> bool:
        """Whether what came during the round starts the next one. Looked at last: an end and its word come together."""
        known = {entry.message.id for _, entry in work.entries}
        coming = await self._mailbox.peek(SUPERVISOR_ID, most=_PEEKED)
        return any(
            message.id not in known and not _hands_over(message, goal.id) and self.starts_a_round(message)
            for message in coming
        )


FIRST_WORDS = "Read the file {path}: it says who you are and how the town stands. Then begin as it says."
"""What is said first to a conductor in a terminal."""


async def town_state(store: Store, *, besides: TaskId | None = None) -> str:
    """How the town stands, in Markdown: its agents and its last tasks. `besides` is left out."""
    agents, tasks = await store.agents(), [task for task in await store.tasks() if task.id != besides]
    names = {agent.id: agent.name for agent in agents}
    lines = ["Agents:", *(_agent_line(agent) for agent in agents)] if agents else ["No agents yet: a fresh start."]
    lines += ["", f"Tasks: {_counted(tasks)}"]
    if len(tasks) > _SHOWN_TASKS:
        lines.append(f"The last {_SHOWN_TASKS}; all of them: tt task list")
    lines += [_task_line(task, names) for task in tasks[-_SHOWN_TASKS:]]
    return "\n".join(lines)


def _agent_line(agent: Agent) -> str:
    role = f", {agent.role}" if agent.role else ""
    reason = f": {one_line(agent.reason, _SHOWN_TEXT)}" if agent.reason else ""
    return f"- {agent.name}{role} ({agent.state.capitalize()}){reason}"


def _task_line(task: Task, names: dict[AgentId, str]) -> str:
    who = names.get(task.assigned_to, "conductor") if task.assigned_to is not None else "nobody"
    result = f" -> {one_line(task.result, _SHOWN_TEXT)}" if task.result else ""
    return f"- {short(task.id)} [{task.state}] {who}: {one_line(task.description, _SHOWN_TEXT)}{result}"


def _counted(tasks: Sequence[Task]) -> str:
    counts = {state: sum(task.state is state for task in tasks) for state in TaskState}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "none"


def _hands_over(message: Message, goal: TaskId | None) -> bool:
    return isinstance(message.body, TaskAssign) and message.body.task_id == goal


def _is_past(message: Message) -> bool:
    """The mailbox told itself: of an end that it made, or of its own failure."""
    own = message.sender == SUPERVISOR_ID
    told = isinstance(message.body, Informational) and message.priority is Priority.HIGH
    return own and (told or isinstance(message.body, TaskDone | TaskFailed))


def context(town: str, state: str, *, fresh: bool) -> str:
    """What a conductor in a person's terminal is told: the file `.tt/conductor_context.md`."""
    begin = (
        "This is a fresh start. Ask what shall be built, offer to look at the project (README, design, code), suggest "
        "roles, then break the idea into tasks."
        if fresh
        else "Agents are there already. Show how they stand, check with `tt status --deep`, and go on from there."
    )
    return f"""\
# Tinytown Conductor

You are the **conductor** of Tinytown "{town}". You coordinate its agents with the command `tt`; the person in this
terminal says what shall be built.

## Current Town State

{state}

{begin}

## Your Capabilities

{CAPABILITIES}

## Team Roles

{ROLES}

## The Reviewer Pattern

{REVIEWER}

## Reporting Back

Agents report to `conductor` by themselves. Read what they say with `tt inbox`; wait for one with `tt wait --task TASK`.

## Your Role

1. Break down user requests into tasks
2. Spawn workers + reviewer
3. Assign work, then assign review
4. Coordinate until the reviewer approves
5. Save state with `tt sync pull`, suggest a git commit
"""
