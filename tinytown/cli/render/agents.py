"""Agents, as `tt list`, `spawn`, `restart`, `kill`, `interrupt`, `close` and `stop` show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.lifecycle import AgentState
from tinytown.text import one_line, term_safe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinytown.ids import AgentId
    from tinytown.records import Agent
    from tinytown.runtime.operations.agents import Spawned
    from tinytown.runtime.operations.ending import Killed, Stopped
    from tinytown.runtime.operations.pausing import Interrupted
    from tinytown.runtime.operations.worktrees import Checkout

REASON = 500
"""Characters of a reason: it ends with what to do, so it is shown whole."""

EMPTY = "No agents. Run 'tt spawn <name>' to create one."


def title(agent: Agent) -> str:
    """The state as people see it."""
    return agent.state.capitalize()


def safe_name(agent: Agent) -> str:
    """The name; one written by hand into Redis may hold anything."""
    return term_safe(agent.name, lines=False)


def listing(agents: Sequence[Agent], checkouts: Mapping[AgentId, Checkout]) -> list[str]:
    """All agents, and where the worktrees are of those that have one."""
    if not agents:
        return [EMPTY]
    lines = ["Agents:"]
    for agent in agents:
        lines.append(f"  {safe_name(agent)} ({agent.id}) - {title(agent)}")
        lines += worktree(checkouts.get(agent.id), indent=4)
    return lines


def worktree(checkout: Checkout | None, *, indent: int) -> list[str]:
    """The branch and the place of a worktree, where there is one."""
    if checkout is None:
        return []
    branch = term_safe(checkout.branch, lines=False) if checkout.branch else "no branch"
    return [f"{' ' * indent}🌿 {branch} in {term_safe(checkout.path, lines=False)}"]


def spawned(result: Spawned, log: str, *, background: bool) -> list[str]:
    """A new agent; `log` is where it writes."""
    agent = result.agent
    how = "background" if background else "foreground"
    lines = [
        f"🤖 Spawned agent '{agent.name}' using model '{term_safe(agent.cli, lines=False)}'",
        f"   ID: {agent.id}",
        f"🔄 Starting agent loop in {how} (max {agent.max_rounds} rounds)...",
        f"   Logs: {term_safe(log, lines=False)}",
    ]
    return [*lines, "   Agent running in background. Check status with 'tt status'"] if background else lines


def restarted(result: Spawned, log: str) -> list[str]:
    """An agent in a new life."""
    agent = result.agent
    return [
        f"🔄 Restarting agent '{safe_name(agent)}'...",
        f"   Rounds: {agent.max_rounds}",
        f"   Log: {term_safe(log, lines=False)}",
        "",
        f"✅ Agent '{safe_name(agent)}' restarted",
    ]


def killed(result: Killed, *, now: bool) -> list[str]:
    """An agent that was asked to end."""
    if result.immediate:
        outcome = "Agent has stopped."
    elif now:
        outcome = "Its turn is cut; the unfinished work stays in its mailbox."
    else:
        outcome = "Agent will stop at the start of its next round."
    return [f"🛑 Requested stop for agent '{safe_name(result.agent)}'", f"   {outcome}"]


def closed(result: Killed) -> list[str]:
    """An agent that ends after its turn."""
    outcome = "Agent has stopped." if result.immediate else "Agent will stop after its running turn."
    return [f"🚪 Closed agent '{safe_name(result.agent)}'", f"   {outcome}"]


def interrupted(result: Interrupted, *, now: bool) -> list[str]:
    """An agent that was paused."""
    if not result.in_turn:
        outcome = "It takes no turn"
    elif now:
        outcome = "Its turn is cut, the unfinished work stays in its mailbox, and it takes no other"
    else:
        outcome = "Its turn goes on to its end, and it takes no other"
    name = safe_name(result.agent)
    return [f"⏸️  Interrupted agent '{name}'", f"   {outcome} until 'tt resume {name}'."]


def stopped(result: Stopped, town: str, *, now: bool) -> list[str]:
    """A town whose agents were asked to end."""
    how = "Their turns are cut." if now else "Agents will stop at the start of their next round."
    return [
        f"🛑 Requested graceful stop for {result.count} agent(s) in town '{term_safe(town, lines=False)}'",
        *([f"   {how}"] if result.count else []),
        *([f"   Missions that rest until an agent is there again: {result.missions}"] if result.missions else []),
    ]


def ended(agent: Agent) -> str:
    """An agent that was waited for."""
    if agent.state is AgentState.ERROR:
        reason = f": {one_line(agent.reason, REASON)}" if agent.reason else ""
        return f"❌ Agent '{safe_name(agent)}' is in error{reason}"
    rounds = f"{agent.rounds_completed}/{agent.max_rounds} rounds"
    return f"🛑 Agent '{safe_name(agent)}' stopped - completed {rounds}"
