"""Tasks, as `tt assign` and `tt task` show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.cli.render.encode import fields_of
from tinytown.cli.terminal import cells, fit
from tinytown.ids import short
from tinytown.lifecycle import TaskState
from tinytown.text import term_safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinytown.messages import JsonObject
    from tinytown.records import Task
    from tinytown.runtime.operations.tasks import TaskView

ICONS = {
    TaskState.PENDING: "⏳",
    TaskState.ASSIGNED: "📌",
    TaskState.RUNNING: "🔄",
    TaskState.COMPLETED: "✅",
    TaskState.FAILED: "❌",
    TaskState.CANCELLED: "🚫",
}

EMPTY = "No tasks. Run 'tt assign <agent> <task>' to create one."


def moment(stamp: str) -> str:
    """A time of a record to the second."""
    whole, dot, _ = stamp.partition(".")
    return term_safe(f"{whole}Z" if dot else stamp, lines=False)


def listing(views: Sequence[TaskView], *, state: TaskState | None) -> list[str]:
    """Many tasks, one line each."""
    if not views:
        return [EMPTY if state is None else f"No {state} tasks."]
    return [f"📋 Tasks ({len(views)}):", *(_line(view) for view in views)]


def _line(view: TaskView) -> str:
    task = view.task
    before = f"   {ICONS[task.state]} {short(task.id)}-... - "
    after = f" [{term_safe(view.agent_name or 'unassigned', lines=False)}]"
    return f"{before}{fit(task.description, cells(before) + cells(after))}{after}"


def details(view: TaskView) -> list[str]:
    """All that is known of one task."""
    task = view.task
    rows: list[tuple[str, str | None]] = [
        ("Description", task.description),
        ("State", task.state.capitalize()),
        ("Assigned to", view.agent_name or task.assigned_to),
        ("Assigned by", view.assigned_by_name or task.assigned_by),
        ("Created", moment(task.created_at)),
        ("Updated", moment(task.updated_at)),
        ("Started", task.started_at and moment(task.started_at)),
        ("Completed", task.completed_at and moment(task.completed_at)),
        ("Tags", ", ".join(task.tags)),
        ("Parent", task.parent_id),
        ("Depends on", ", ".join(task.depends_on)),
        ("Error" if task.state is TaskState.FAILED else "Result", task.result),
    ]
    return [f"📋 Task: {task.id}", *(line for name, text in rows if text for line in _row(name, text))]


def ended(view: TaskView, how: str) -> list[str]:
    """A task that was brought to its end just now; `how` is `completed`, `failed` or `cancelled`."""
    task = view.task
    name = {"completed": "Result", "failed": "Error"}.get(how, "Reason")
    return [
        f"{ICONS[task.state]} Task {task.id} marked as {how}",
        *_row("Description", task.description),
        *(_row(name, task.result) if task.result else []),
    ]


def waited(task: Task) -> list[str]:
    """A task that was waited for."""
    name = "Error" if task.state is TaskState.FAILED else "Result"
    return [
        f"{ICONS[task.state]} Task {task.id} {task.state}",
        *(_row(name, task.result) if task.result else []),
    ]


def flat(view: TaskView) -> JsonObject:
    """The record of the task, and the names that belong to its ids."""
    return fields_of(
        view.task,
        assigned_to_name=view.agent_name or None,
        assigned_by_name=view.assigned_by_name or None,
    )


def _row(name: str, text: str) -> list[str]:
    first, *rest = term_safe(text).splitlines() or [""]
    return [f"   {name}: {first}", *(f"      {line}" if line else "" for line in rest)]
