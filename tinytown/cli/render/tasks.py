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
        ("Plan", task.plan_id),
        ("Review by", task.review and _review(task)),
        ("Verify", "\n".join(task.verify)),
        ("Claimed", None if task.state.is_terminal else task.claim),
        ("Note", task.note),
        ("Error" if task.state is TaskState.FAILED else "Result", task.result),
    ]
    return [
        f"📋 Task: {task.id}",
        *(line for name, text in rows if text for line in _row(name, text)),
        *(line for each in task.evidence for line in _evidence(each)),
    ]


def _review(task: Task) -> str:
    where = f", in task {task.review_task}" if task.review_task else ""
    times = f", sent back {task.reviews} time{'s' if task.reviews != 1 else ''}" if task.reviews else ""
    return f"{task.review}{where}{times}"


def _evidence(found: JsonObject) -> list[str]:
    """One check: what came of it, at which commit, and the end of what it printed if it has failed."""
    passed = found.get("code") == 0 and not found.get("failure")
    outcome = "passed" if passed else str(found.get("failure") or f"exit status {found.get('code')}")
    commit = f", at commit {str(found['commit'])[:12]}" if found.get("commit") else ""
    dirty = " with changes beside it" if commit and found.get("dirty") else ""
    lines = [
        (
            f"   {'✅' if passed else '❌'} Check {term_safe(str(found.get('name')), lines=False)}: "
            f"{term_safe(f'{outcome}{commit}{dirty}', lines=False)}"
        )
    ]
    if found.get("command") != found.get("name"):
        lines.append(f"      $ {term_safe(str(found.get('command')), lines=False)}")
    if not passed:
        lines += [f"      {line}" for line in term_safe(str(found.get("tail") or "")).splitlines()]
    return lines


def ended(view: TaskView, how: str) -> list[str]:
    """A task that was brought to its end just now; `how` is `completed`, `failed` or `cancelled`."""
    task = view.task
    if how == "completed" and task.state is not TaskState.COMPLETED:
        return [
            f"📝 Task {task.id}: your result is kept",
            *_row("Description", task.description),
            *(_row("Claimed", task.claim) if task.claim else []),
            "   It counts as completed when your round has ended and "
            + (f"'{term_safe(task.review, lines=False)}' approves." if task.review else "the checks succeed."),
        ]
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
