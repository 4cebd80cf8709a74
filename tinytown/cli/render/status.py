"""A town at one glance, as `tt status` shows it."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING

from tinytown import times
from tinytown.cli.render.agents import REASON, safe_name, title, worktree
from tinytown.cli.render.encode import fields_of, plain
from tinytown.cli.render.tasks import ICONS, flat
from tinytown.cli.terminal import cells, fit
from tinytown.ids import short
from tinytown.lifecycle import AgentState, TaskState
from tinytown.text import one_line, term_safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinytown.messages import JsonObject
    from tinytown.records import Agent
    from tinytown.runtime.operations.pending import Counts
    from tinytown.runtime.operations.status import AgentStatus, TownStatus
    from tinytown.runtime.operations.tasks import TaskView

_DURABILITY = {
    "always": "always (every write is on disk before it is answered)",
    "fast": "fast (power loss may take the last second)",
    "none": "none (memory only)",
    "external": "external (as that server is set up)",
}
_ACTIVE = (TaskState.RUNNING, TaskState.ASSIGNED)


def overview(status: TownStatus, *, deep: bool, tasks: bool) -> list[str]:
    """The whole of it, for people."""
    led = bool(status.runtimes)
    lines = [
        f"🏘️  Town: {term_safe(status.name, lines=False)}",
        f"📂 Root: {term_safe(status.root, lines=False)}",
        f"📡 Redis: {term_safe(status.redis_url, lines=False)}",
        f"💾 Durability: {_DURABILITY.get(status.durability, status.durability)}",
        *([] if status.conductor is None else _conductor(status.conductor, deep=deep, led=led)),
        f"🤖 Agents: {len(status.agents)}",
    ]
    for entry in status.agents:
        lines += _deep_lines(entry, led=led) if deep else _lines(entry, led=led)
    if tasks:
        lines += _tasks(status)
    if deep:
        lines += ["", "📊 Stats: rounds completed, uptime since spawn"]
    return lines


def warnings(status: TownStatus) -> list[str]:
    """What a person should know beside it."""
    lines = list(status.notices)
    agents = [entry.agent for entry in (*status.agents, status.conductor) if entry is not None]
    alive = any(agent.acts for agent in agents)
    if alive and not status.runtimes:
        lines.append("No runtime is alive, so no agent works. Start one with: tt start")
    if status.dead_letters:
        lines.append(f"{status.dead_letters} message(s) failed too often. Look at them with: tt dlq")
    if status.quarantined:
        lines.append(f"{status.quarantined} message(s) lie in quarantine. Look at them with: tt dlq")
    return lines


def encode(status: TownStatus) -> JsonObject:
    """The whole of it, for programs: each agent and each task with the fields of its record."""
    agents = [_flat(entry) for entry in status.agents]
    conductor = None if status.conductor is None else _flat(status.conductor)
    return fields_of(status, agents=agents, conductor=conductor, tasks=[flat(view) for view in status.tasks])


def _flat(entry: AgentStatus) -> JsonObject:
    return fields_of(
        entry.agent,
        pending=entry.pending,
        counts=entry.counts,
        in_hand=entry.in_hand,
        checkout=entry.checkout,
        rounds=plain(entry.rounds) if entry.rounds else None,
        work=entry.work or None,
    )


def _title(agent: Agent, *, led: bool) -> str:
    """Its state. What its record says of a turn is not true any more when no runtime is there that has it."""
    return title(agent) if led or not agent.in_round else "Cut off: no runtime"


def _conductor(entry: AgentStatus, *, deep: bool, led: bool) -> list[str]:
    agent = entry.agent
    pending = f"{entry.pending} messages pending{_breakdown(entry.pending, entry.counts)}"
    lines = [f"🚂 Conductor ({_title(agent, led=led)}) - {pending}, {agent.rounds_completed} rounds"]
    if entry.work:
        before = "   🎯 "
        lines.append(before + fit(entry.work, cells(before)))
    return lines + (_rounds(entry) if deep else []) + _trouble(agent)


def _lines(entry: AgentStatus, *, led: bool) -> list[str]:
    agent = entry.agent
    pending = f"{entry.pending} messages pending{_breakdown(entry.pending, entry.counts)}"
    if agent.state is AgentState.STOPPED and agent.rounds_completed >= agent.max_rounds:
        spent = f"completed {agent.rounds_completed}/{agent.max_rounds} rounds"
        pending = f"{spent}, {pending}" if entry.pending else spent
    line = f"   {safe_name(agent)} ({_title(agent, led=led)}) - {pending}"
    return [line, *worktree(entry.checkout, indent=6), *_trouble(agent)]


def _deep_lines(entry: AgentStatus, *, led: bool) -> list[str]:
    agent = entry.agent
    pending = f"{entry.pending} pending{_breakdown(entry.pending, entry.counts)}"
    worked = f"{agent.rounds_completed} rounds, uptime {_uptime(agent)}"
    lines = [f"   {safe_name(agent)} ({_title(agent, led=led)}) - {pending}, {worked}"]
    return lines + _rounds(entry) + worktree(entry.checkout, indent=6) + _trouble(agent)


def _rounds(entry: AgentStatus) -> list[str]:
    return [f"      └─ {fit(event.detail or event.type, 9)}" for event in entry.rounds]


def _breakdown(pending: int, counts: Counts) -> str:
    if not pending:
        return ""
    return (
        f" (tasks: {counts.tasks}, queries: {counts.queries}, "
        f"informational: {counts.informational}, confirmations: {counts.confirmations})"
    )


def _trouble(agent: Agent) -> list[str]:
    if not agent.reason or (agent.state is not AgentState.ERROR and not agent.failed_rounds):
        return []
    return [f"      ⚠️  {one_line(agent.reason, REASON)}"]


def _uptime(agent: Agent) -> str:
    try:
        begun = times.seconds_of(agent.created_at)
        ended = times.seconds_of(agent.last_heartbeat) if agent.state.is_terminal else time.time()
    except ValueError:
        return "unknown"
    return times.span(ended - begun)


def _tasks(status: TownStatus) -> list[str]:
    counts = {state: status.task_counts.get(state, 0) for state in TaskState}
    in_flight = sum(counts[state] for state in _ACTIVE)
    done = sum(number for state, number in counts.items() if state.is_terminal)
    sums = f"{counts[TaskState.PENDING]} pending, {in_flight} in-flight, {done} done"
    lines = [
        f"📋 Tasks: {sum(counts.values())} total ({sums})",
        "",
        "📊 Task Breakdown by State:",
        *(f"   {ICONS[state]} {state.capitalize() + ':':<10} {number}" for state, number in counts.items()),
        f"   📋 {'Backlog:':<10} {status.backlog}",
    ]
    if status.tasks:
        lines += ["", "📋 Tasks by Agent:", *_by_agent(status)]
    return lines


def _by_agent(status: TownStatus) -> list[str]:
    groups: dict[str, list[TaskView]] = defaultdict(list)
    for view in status.tasks:
        groups[view.agent_name if view.task.assigned_to else ""].append(view)
    known = [name for name in (entry.agent.name for entry in status.agents) if name in groups]
    lines: list[str] = []
    for name in dict.fromkeys([*known, *sorted(name for name in groups if name)]):
        active = [view for state in _ACTIVE for view in groups[name] if view.task.state is state]
        done = [view for view in groups[name] if view.task.state not in _ACTIVE]
        lines.append(f"   {term_safe(name, lines=False)} ({len(active)} active, {len(done)} done):")
        lines += _task_lines([*active, *done])
    if groups.get(""):
        lines.append(f"   (unassigned) ({len(groups[''])} tasks):")
        lines += _task_lines(groups[""])
    return lines


def _task_lines(views: Sequence[TaskView]) -> list[str]:
    lines = []
    for view in views:
        before = f"      {ICONS[view.task.state]} {short(view.task.id)} "
        lines.append(before + fit(view.task.description, cells(before)))
    return lines
