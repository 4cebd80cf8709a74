"""From what was typed to what is asked: the same for both ways of reading a command line.

What an operation takes is asked with its own request; the classes in `asked` are for commands that are more than
one operation. Each function imports only what it needs, since reading a command line must cost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.cli.invocation import Invocation
from tinytown.errors import Invalid

if TYPE_CHECKING:
    from tinytown.cli.invocation import Common


def status(common: Common, *, deep: bool, tasks: bool) -> Invocation:
    """`tt status`."""
    from tinytown.runtime.operations.status import Status

    return Invocation("status", Status(deep=deep, tasks=tasks), common)


def list_agents(common: Common) -> Invocation:
    """`tt list`."""
    from tinytown.runtime.operations.agents import ListAgents

    return Invocation("list", ListAgents(), common)


def assign(
    common: Common,
    agent: str,
    task: str,
    *,
    tags: str | None,
    parent: str | None,
    after: str | None = None,
    review: str | None = None,
    verify: tuple[str, ...] = (),
) -> Invocation:
    """`tt assign`; tags are separated by commas, and so are the ids of `after`."""
    from tinytown.runtime.operations.tasks import Assign

    request = Assign(agent, task, split_tags(tags), parent, split_tags(after), review, verify)
    return Invocation("assign", request, common)


def split_tags(tags: str | None) -> tuple[str, ...]:
    """The tags of a comma-separated text, each once, in their order."""
    return tuple(dict.fromkeys(tag.strip() for tag in (tags or "").split(",") if tag.strip()))


def send(
    common: Common,
    to: str,
    text: str,
    *,
    query: bool,
    info: bool,
    ack: bool,
    urgent: bool,
    sender: str | None,
) -> Invocation:
    """`tt send`; at most one of query, info and ack."""
    from tinytown.messages import Priority
    from tinytown.runtime.operations.messages import Send, SendKind

    kinds = [kind for kind, chosen in zip(list(SendKind)[1:], (query, info, ack), strict=True) if chosen]
    if len(kinds) > 1:
        raise Invalid(
            f"A message has one meaning: --{kinds[0]} and --{kinds[1]} exclude each other",
            hint="Send two messages, or drop one of the options.",
        )
    kind = kinds[0] if kinds else SendKind.TASK
    priority = Priority.URGENT if urgent else Priority.NORMAL
    return Invocation("send", Send(to, text, kind, priority, sender), common)


def inbox(common: Common, agent: str | None, *, everyone: bool) -> Invocation:
    """`tt inbox`: one inbox, or all."""
    from tinytown.runtime.operations.messages import Inbox, Inboxes

    if not everyone:
        return Invocation("inbox", Inbox(agent), common)
    if agent is not None:
        raise Invalid("Either one agent or --all", hint=f"Say 'tt inbox {agent}' or 'tt inbox --all'.")
    return Invocation("inbox --all", Inboxes(), common)


def show_task(common: Common, task: str) -> Invocation:
    """`tt task show`."""
    from tinytown.runtime.operations.tasks import ShowTask

    return Invocation("task show", ShowTask(task), common)


def list_tasks(common: Common, *, state: str | None, agent: str | None) -> Invocation:
    """`tt task list`; the state by its name, in any case."""
    from tinytown.lifecycle import TaskState
    from tinytown.runtime.operations.tasks import ListTasks

    if state is None:
        return Invocation("task list", ListTasks(None, agent), common)
    try:
        return Invocation("task list", ListTasks(TaskState(state.lower()), agent), common)
    except ValueError:
        raise Invalid(f"No task state is called '{state}'", hint=f"The states are: {', '.join(TaskState)}.") from None


def end_task(common: Common, how: str, task: str, text: str | None) -> Invocation:
    """`tt task complete`, `fail` and `cancel`: `how` is the name of the command."""
    from tinytown.runtime.operations.tasks import TaskEnd

    return Invocation(f"task {how}", TaskEnd(task, text), common)


def wait(common: Common, agent: str | None, *, task: str | None, seconds: float | None) -> Invocation:
    """`tt wait`: for an agent or for a task."""
    from tinytown.cli.asked import WaitFor
    from tinytown.runtime.operations.waiting import Wait

    if (agent is None) == (task is None):
        raise Invalid(
            "Say what to wait for: an agent, or a task with --task", hint="For example: tt wait --task 550e8400"
        )
    if seconds is not None and not 0 < seconds < 1e8:
        raise Invalid("--timeout is a number of seconds above 0", hint="Without it 'tt wait' waits without end.")
    return Invocation("wait", WaitFor(Wait(agent, task), seconds), common)


def reclaim(
    common: Common,
    *,
    to_backlog: bool,
    to: str | None,
    source: str | None,
    orphan_tasks: bool,
    cancel: bool,
    delete: bool,
    force: bool,
) -> Invocation:
    """`tt reclaim`: what agents have left, or with `orphan_tasks` tasks whose agent has ended or is gone."""
    if not orphan_tasks:
        from tinytown.runtime.operations.reclaiming import Reclaim

        if cancel or delete:
            raise Invalid("--cancel and --delete are for orphan tasks", hint="Say: tt reclaim --orphan-tasks --cancel")
        return Invocation("reclaim", Reclaim(to_backlog=to_backlog, to=to, source=source, force=force), common)
    from tinytown.runtime.operations.orphans import OrphanAction, ReclaimOrphans

    if to is not None:
        raise Invalid(
            "Orphan tasks cannot be given to an agent at once",
            hint="Move them to the backlog, then: tt backlog assign-all AGENT",
        )
    chosen = [
        action for action, wanted in zip(list(OrphanAction)[1:], (to_backlog, cancel, delete), strict=True) if wanted
    ]
    if len(chosen) > 1:
        raise Invalid("Only one of --to-backlog, --cancel and --delete")
    action = chosen[0] if chosen else OrphanAction.LIST
    return Invocation("reclaim --orphan-tasks", ReclaimOrphans(action, source), common)


def gen_key(common: Common, *, name: str | None, scopes: str | None, days: float | None) -> Invocation:
    """`tt auth gen-key`: a key that the town keeps, or with no option one for the configuration."""
    if name is None and scopes is None and days is None:
        return Invocation("auth gen-key", None, common)
    from tinytown.runtime.caller import Scope
    from tinytown.runtime.operations.api_keys import USUAL, MakeKey

    try:
        wanted = USUAL if scopes is None else tuple(Scope(each.strip()) for each in scopes.split(",") if each.strip())
    except ValueError:
        raise Invalid(f"Not all of these are scopes: {scopes}", hint=f"The scopes are: {', '.join(Scope)}.") from None
    return Invocation("auth gen-key", MakeKey(name or "", wanted, days), common)
