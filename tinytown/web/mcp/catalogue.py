"""What each tool is called, when a model should use it, and what its fields are called.

A row says what the registry cannot: everything else about a tool comes from its operation. An operation without a
row becomes a tool under its own name, so that one that is added is there at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinytown.messages import Priority
from tinytown.runtime.caller import Scope
from tinytown.web.mcp.mission_rows import MISSION_DOCS, MISSION_ROWS
from tinytown.web.mcp.row import Row
from tinytown.web.schemas.requests import More, Wire
from tinytown.web.schemas.types import fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.runtime.operations.registry import Operation


def _urgent(values: dict[str, Any]) -> dict[str, Any]:
    if values.pop("urgent", False):
        values["priority"] = Priority.URGENT
    return values


_TASK_ID = {"task": "task_id"}
_STARTED = {"runtime": True}

ROWS: tuple[Row, ...] = (
    # Read.
    Row(
        "town.get_status",
        "town.status",
        "Town status",
        "See the whole town: its agents with what waits for each, tasks by state, and the runtime. Use it first, and "
        "whenever you need to know how things stand.",
    ),
    Row(
        "agent.list",
        "agent.list",
        "List agents",
        "List the agents: names, states, roles and what each is at. Use it to find whom to give work or write to.",
        workers=True,
    ),
    Row(
        "agent.inbox",
        "inbox.show",
        "Read an inbox",
        "See the messages that wait for an agent, without taking them. Without an agent: those that wait for you.",
        workers=True,
        own="agent",
    ),
    Row(
        "task.list_pending",
        "task.pending",
        "List open tasks",
        "List the tasks that are not finished, of all agents or of one. Use it to see what is still to be done.",
        workers=True,
        own="agent",
    ),
    Row(
        "task.show",
        "task.show",
        "Show a task",
        "Show one task: its whole text, state, agent and result. Use it to learn how a task went.",
        workers=True,
        wire=Wire(names=_TASK_ID),
    ),
    Row(
        "backlog.list",
        "backlog.list",
        "List the backlog",
        "List the tasks that nobody has yet. With an agent: those that fit its role and tags.",
        workers=True,
    ),
    Row(
        "events.read",
        "event.list",
        "Read events",
        "Read the last events of the town, oldest first: what agents did, tasks that ended, rounds that failed. Use it "
        "to find out what happened while you were not looking.",
        wire=Wire(names={"count": "limit", "before": "cursor"}),
    ),
    Row(
        "why",
        "town.why",
        "Explain",
        "Ask why an agent or a task does not get on. The answer is one sentence and the next thing to do. Use it "
        "before you restart or reassign anything.",
    ),
    # Write.
    Row(
        "task.complete",
        "task.complete",
        "Complete a task",
        "Report that a task is done, with its result. Use it once, when the work is finished and checked.",
        workers=True,
        wire=Wire(names={**_TASK_ID, "text": "result"}),
    ),
    Row(
        "task.fail",
        "task.fail",
        "Give a task up",
        "Report that a task cannot be done, and why. Use it instead of leaving a task unfinished.",
        destructive=True,
        workers=True,
        wire=Wire(names={**_TASK_ID, "text": "error"}),
    ),
    Row(
        "task.cancel",
        "task.cancel",
        "Cancel a task",
        "Call a task off that is no longer wanted. Its agent is told.",
        destructive=True,
        wire=Wire(names={**_TASK_ID, "text": "reason"}),
    ),
    Row(
        "message.send",
        "message.send",
        "Send a message",
        "Write to an agent, or to 'conductor'. Use task.assign for work whose end you want to follow; use this to ask "
        "(kind query), to tell (kind info) or to confirm (kind ack).",
        workers=True,
        wire=Wire(
            names={"text": "message", "sender": "from"},
            more={"urgent": More(bool, False, "It reaches the agent at once: a running turn is cut.")},  # noqa: FBT003
            adjust=_urgent,
        ),
    ),
    Row(
        "inbox.answer",
        "inbox.answer",
        "Answer a message",
        "Answer a message that waits in your inbox, where agents ask. It goes to whoever wrote it; each message is "
        "answered once. Use agent.inbox without an agent to see what waits.",
        wire=Wire(names={"message": "message_id", "text": "answer"}),
    ),
    Row(
        "backlog.add",
        "backlog.add",
        "Add to the backlog",
        "Note a task that somebody should do, without saying who. Idle agents whose role or tags fit are told of it.",
        workers=True,
    ),
    Row(
        "backlog.claim",
        "backlog.claim",
        "Claim from the backlog",
        "Give one task of the backlog to an agent. Only one claim of a task succeeds.",
        workers=True,
        wire=Wire(names=_TASK_ID),
    ),
    Row(
        "backlog.assign_all",
        "backlog.assign_all",
        "Assign the whole backlog",
        "Give every task of the backlog to one agent.",
        idempotent=True,
    ),
    Row(
        "backlog.remove",
        "backlog.remove",
        "Remove from the backlog",
        "Take a task out of the backlog for good. Nobody will do it.",
        destructive=True,
        wire=Wire(names=_TASK_ID),
    ),
    # Manage.
    Row(
        "agent.spawn",
        "agent.spawn",
        "Spawn an agent",
        "Start a new agent, or start a stopped one of this name again. It is ready for task.assign when this returns.",
        wire=Wire(fixed=_STARTED),
    ),
    Row(
        "agent.kill",
        "agent.kill",
        "Stop an agent",
        "Stop an agent: after its turn, or at once with now. What waits for it stays in its inbox.",
        destructive=True,
    ),
    Row(
        "agent.close",
        "agent.close",
        "Close an agent",
        "Let an agent finish its turn, take nothing new, and end.",
        destructive=True,
    ),
    Row(
        "agent.restart",
        "agent.restart",
        "Restart an agent",
        "Start a stopped or failed agent again, with fresh rounds. Ask why first, if it failed.",
        wire=Wire(fixed=_STARTED),
    ),
    Row(
        "agent.interrupt",
        "agent.interrupt",
        "Pause an agent",
        "Pause an agent; what it has stays with it. Use agent.resume to let it go on.",
        idempotent=True,
    ),
    Row(
        "agent.resume",
        "agent.resume",
        "Resume an agent",
        "Let a paused agent go on.",
        idempotent=True,
    ),
    Row(
        "agent.prune",
        "agent.prune",
        "Remove stopped agents",
        "Remove agents that have ended, with their records. With all: every agent. What they left undone is handed on.",
        destructive=True,
        idempotent=True,
        wire=Wire(names={"everyone": "all"}),
    ),
    Row(
        "recovery.recover_agents",
        "recovery.recover",
        "Recover agents",
        "Take agents back whose runtime has died. A living runtime does this by itself.",
        idempotent=True,
    ),
    Row(
        "recovery.reclaim_tasks",
        "recovery.reclaim",
        "Reclaim tasks",
        "See what ended agents left undone, and move it: to the backlog, or to another agent. Without a destination "
        "nothing is changed.",
        idempotent=True,
        wire=Wire(names={"to": "to_agent", "source": "from_agent"}),
    ),
    Row(
        "recovery.orphan_tasks",
        "recovery.orphan_tasks",
        "Repair orphaned tasks",
        "See the tasks whose agent has ended or is gone, and put them back, cancel or delete them.",
        destructive=True,
        idempotent=True,
        wire=Wire(names={"source": "from_agent"}),
    ),
    *MISSION_ROWS,
)
"""All but the long calls, which are in `long_calls`."""

WITHOUT_TOOL: Mapping[str, str] = {
    "conductor.start": "the client orchestrates; a second one that does is started by the person",
    "conductor.attend": "for a terminal; its result holds a credential",
    "conductor.leave": "for a terminal",
    "town.show": "town.get_status says it",
    "town.overview": "a picture for screens; town.get_status is for models",
    "town.wait": "agent.wait and task.assign with wait do it",
    "town.stop": "ends the whole town, and with it whoever asks",
    "town.save": "a file of the person's project",
    "town.restore": "replaces the town by a file",
    "town.reset": "deletes the town",
    "agent.show": "the resource tinytown://agents/{agent_name}",
    "agent.history": "events.read",
    "agent.logs": "files on the host of the town",
    "inbox.dismiss": "whether it was read is for the person to say",
    "inbox.list": "town.get_status says how much waits for whom",
    "task.list": "task.list_pending and the resource tinytown://tasks/{task_id}",
    "task.current": "agent.list",
    "dlq.list": "for the person who looks after the town",
    "dlq.show": "for the person who looks after the town",
    "dlq.retry": "for the person who looks after the town",
    "dlq.drop": "for the person who looks after the town",
    "plan.push": "the plan is a file of the person's project",
    "plan.pull": "the plan is a file of the person's project",
}
"""The operations that are no tool, and why. What needs `admin` is none either."""

_AGENT = "The agent's name, its id, or the beginning of the id."
DOCS: Mapping[str, str] = {
    **MISSION_DOCS,
    "agent": _AGENT,
    "task_id": "The task's id, or its first characters (4 or more).",
    "to": "Whom to write to: an agent's name or id, or 'conductor'.",
    "from": "Speak as this agent. Leave it out to speak as yourself.",
    "message": "The whole text of the message.",
    "message_id": "The message's id, or its first characters (4 or more).",
    "answer": "The whole text of the answer.",
    "kind": "What the message is: task (do this), query (answer this), info (know this), ack (received).",
    "priority": "How soon it is read: low, normal, high, urgent.",
    "description": "The whole text of the task: what is to be done and how to tell that it is.",
    "tags": "Words that say which agents it fits.",
    "parent": "The task that this one is a part of. It groups; it makes no order.",
    "depends_on": "Tasks that must be completed before this one begins.",
    "review": "The agent that has to approve of the result.",
    "verify": "Commands that must succeed before it counts as completed.",
    "result": "What was done, in a few sentences.",
    "error": "Why it cannot be done.",
    "reason": "Why.",
    "name": "The name of the agent: letters, digits, '.', '_', '-'.",
    "cli": "Which coding CLI it runs, such as claude or codex. Leave it out for the town's default.",
    "role": "What it is there for, such as backend or reviewer. Leave it out to take the name.",
    "nickname": "What to call it on screens.",
    "worktree": "Give it a git worktree of its own; false: it works in the project's directory.",
    "workdir": "The directory it works in, inside the project.",
    "max_rounds": "After how many rounds it stops.",
    "rounds": "How many rounds it may do from now on.",
    "now": "Cut its running turn instead of waiting for the end of it.",
    "all": "All of them, also those that still live.",
    "force": "Do it although something stands against it.",
    "deep": "With the last rounds of each agent.",
    "tasks": "With the tasks of each agent.",
    "include_stopped": "Also those that have ended.",
    "limit": "How many, at most.",
    "cursor": "Go on with what is older: 'next' of the last answer.",
    "after": "Only what came behind this event: 'position' of the last answer.",
    "task": "Only of this task: its id, or its first characters.",
    "type": "Only of this type, such as task.completed.",
    "subject": "An agent (name or id) or a task (id).",
    "to_backlog": "Move it to the backlog.",
    "to_agent": "Move it to this agent.",
    "from_agent": "Only what this agent left.",
    "action": "What to do with them; list changes nothing.",
    "timeout_secs": "Give up after so many seconds; the answer then says ended: false.",
    "wait": "Come back when the task has ended, with its result. Meanwhile progress is reported.",
}
"""What a field means, by its name on the wire."""


def row_of(operation: Operation[Any, Any]) -> Row:
    """The row of an operation that has none in the table: all that the registry knows about it."""
    summary = " ".join((operation.function.__doc__ or operation.name).partition("\n\n")[0].split())
    title = operation.name.replace(".", " ").replace("_", " ").capitalize()
    return Row(operation.name, operation.name, title, summary, destructive=operation.scope is not Scope.READ)


def documented(row: Row, request: type) -> Wire:
    """The wire of a row, with a word about each field."""
    wire = row.wire
    docs = dict(wire.docs)
    for each in fields_of(request):
        name = wire.names.get(each.name, each.name)
        if each.name not in docs and name in DOCS:
            docs[each.name] = DOCS[name]
    return Wire(wire.names, wire.fixed, wire.more, wire.adjust, docs)
