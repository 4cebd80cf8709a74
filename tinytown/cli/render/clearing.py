"""What leaves the town, as `tt prune` and `tt reset` show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.actors.handover import Where
from tinytown.cli.render.agents import safe_name, title
from tinytown.ids import short
from tinytown.text import term_safe

if TYPE_CHECKING:
    from tinytown.runtime.operations.clearing import Pruned, WasReset
    from tinytown.runtime.operations.worktrees import Cleared


def pruned(result: Pruned) -> list[str]:
    """Agents that are gone."""
    if not result.removed:
        return ["✨ No agents to prune", *_worktrees(result.worktrees, "removed")]
    lines = []
    for done in result.removed:
        agent = done.agent
        lines.append(f"🗑️  Removed {safe_name(agent)} ({short(agent.id)}...) - {title(agent)}")
        lines += _left(done.count(Where.BACKLOG), done.count(Where.CONDUCTOR))
    return [*lines, *_worktrees(result.worktrees, "removed"), f"✨ Pruned {len(result.removed)} agent(s)"]


def reset(result: WasReset, *, agents_only: bool) -> list[str]:
    """What would be deleted, or was."""
    name = term_safe(result.town, lines=False)
    if agents_only:
        lines = [
            f"🗑️  Resetting agents in town '{name}'",
            "   This will delete:",
            f"   - {result.agents} agent(s) and their inboxes",
            "   Tasks and backlog will be preserved.",
        ]
    else:
        lines = [
            f"🗑️  Resetting town '{name}'",
            "   This will delete:",
            f"   - {result.agents} agent(s)",
            f"   - {result.tasks} task(s)",
            f"   - {result.backlog} backlog item(s)",
        ]
    if result.in_turn:
        lines.append(f"   {result.in_turn} agent(s) are in a turn, which is cut.")
    if result.keys is None:
        lines += _worktrees(result.worktrees, "goes, its work is somewhere else")
    lines.append("")
    option = " --agents-only" if agents_only else ""
    if result.keys is None:
        confirm = f"   Run with --force to confirm: tt reset{option} --force"
        return [*lines, "⚠️  This action cannot be undone!", confirm]
    only = " (agents only)" if agents_only else ""
    lines.append(f"✅ Reset complete: deleted {result.keys} Redis keys{only}")
    lines += _left(result.to_backlog, result.to_conductor)
    lines += _worktrees(result.worktrees, "removed")
    return [*lines, "   Run 'tt spawn <name>' to create new agents"]


def _left(to_backlog: int, to_conductor: int) -> list[str]:
    """What agents had, and where it is now."""
    lines = [f"   → backlog: {to_backlog} task(s)"] if to_backlog else []
    return [*lines, f"   → conductor's inbox: {to_conductor} message(s)"] if to_conductor else lines


def _worktrees(cleared: Cleared | None, gone: str) -> list[str]:
    """What becomes of worktrees; of those that stay, where their work is."""
    if cleared is None:
        return []
    lines = [f"   🌿 Worktree of {term_safe(name, lines=False)}: {gone}" for name in cleared.gone]
    for kept in cleared.kept:
        stays = f" stays in {kept.path}" if kept.path else ""
        reason = term_safe(kept.reason, lines=False)
        lines.append(f"   🌿 Worktree of {term_safe(kept.agent, lines=False)}{stays}: {reason}")
        if kept.rescue:
            lines.append(f"      A copy of its work is kept in git: {kept.rescue}")
    if any(kept.rescue for kept in cleared.kept):
        lines.append(
            "   💡 Merge or push that work and run 'tt prune' again; or give it up: git worktree remove --force"
        )
    return lines
