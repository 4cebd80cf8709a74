"""The backlog, as `tt backlog` shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.cli.render.agents import safe_name
from tinytown.cli.terminal import cells, fit
from tinytown.text import term_safe

if TYPE_CHECKING:
    from tinytown.records import Task
    from tinytown.runtime.operations.backlog import (
        AddedToBacklog,
        AssignedAll,
        BacklogItems,
        ClaimedFromBacklog,
        RemovedFromBacklog,
    )

EMPTY = "📋 Backlog is empty."


def added(result: AddedToBacklog) -> list[str]:
    """New work, and who was woken for it."""
    lines = [f"📋 Added task {result.task.id} to backlog"]
    if result.woken:
        lines.append(f"   🔔 Idle agents it suits: {term_safe(', '.join(result.woken), lines=False)}")
    return lines


def listing(found: BacklogItems) -> list[str]:
    """All items, one line each."""
    if not found.tasks:
        return [EMPTY]
    return [f"📋 Backlog ({len(found.tasks)} tasks):", *(_line(task) for task in found.tasks)]


def damaged(identifier: str) -> str:
    """An entry that leads to no free task."""
    shown = term_safe(identifier, lines=False)
    return f"Backlog entry {shown} has no task that can be claimed. Remove it with: tt backlog remove {shown}"


def claimed(result: ClaimedFromBacklog) -> str:
    """An item that an agent has now."""
    return f"📋 Claimed task {result.task.id} from backlog for agent '{safe_name(result.agent)}'"


def assigned_all(result: AssignedAll) -> list[str]:
    """Items that an agent has now."""
    if not result.tasks and not result.left:
        return [EMPTY]
    lines = [f"📋 Assigned {len(result.tasks)} backlog task(s) to agent '{safe_name(result.agent)}'"]
    lines += [f"   → {task.id}" for task in result.tasks]
    return [*lines, f"   {result.left} stay in the backlog"] if result.left else lines


def removed(result: RemovedFromBacklog) -> str:
    """An item that is gone."""
    return f"🗑️  Removed task {term_safe(result.id, lines=False)} from backlog"


def _line(task: Task) -> str:
    before = f"   {task.id} - "
    after = f" [{term_safe(', '.join(task.tags), lines=False)}]" if task.tags else ""
    return f"{before}{fit(task.description, cells(before) + cells(after))}{after}"
