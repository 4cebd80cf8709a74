"""`tt assign` and `tt task`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tinytown.cli.render import tasks as render
from tinytown.cli.session import ask, text_or_input
from tinytown.cli.terminal import remark, say
from tinytown.runtime.operations import tasks as operations
from tinytown.text import term_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tinytown.cli.invocation import Common
    from tinytown.runtime.operations.task_ends import EndedTask
    from tinytown.runtime.operations.tasks import Assign, CurrentTask, ListTasks, ShowTask, TaskEnd, TaskView
    from tinytown.runtime.town import Town


def assign(request: Assign, common: Common) -> int:
    """Give an agent a new task."""
    asked = replace(request, description=text_or_input(request.description))
    result = ask(common, operations.assign, asked)
    remark(result.note)
    if common.json:
        from tinytown.cli.render.encode import dump, fields_of

        say(dump(fields_of(result.task, assigned_to_name=result.agent.name)))
    else:
        agent = term_safe(result.agent.name, lines=False)
        say(f"📋 Assigned task {result.task.id} to agent '{agent}'")
    return 0


def show(request: ShowTask, common: Common) -> int:
    """Show one task."""
    view = ask(common, operations.show_task, request)
    _show(view, render.details(view), common)
    return 0


def list_tasks(request: ListTasks, common: Common) -> int:
    """List tasks."""
    found = ask(common, operations.list_tasks, request).tasks
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump([render.flat(view) for view in found]))
    else:
        say(*render.listing(found, state=request.state))
    return 0


def current(request: CurrentTask, common: Common) -> int:
    """Show what an agent is at."""
    found = ask(common, operations.current_task, request)
    if found.task is not None:
        _show(found.task, render.details(found.task), common)
    elif common.json:
        say("null")
    else:
        say(f"Agent '{term_safe(found.agent.name, lines=False)}' has no current task.")
    return 0


def complete(request: TaskEnd, common: Common) -> int:
    """Complete a task."""
    return _end(request, common, operations.complete_task, "completed")


def fail(request: TaskEnd, common: Common) -> int:
    """Say that a task cannot be done."""
    return _end(request, common, operations.fail_task, "failed")


def cancel(request: TaskEnd, common: Common) -> int:
    """Cancel a task."""
    return _end(request, common, operations.cancel_task, "cancelled")


def _end(
    request: TaskEnd,
    common: Common,
    operation: Callable[[Town, TaskEnd], Coroutine[object, object, EndedTask]],
    how: str,
) -> int:
    text = None if request.text is None else text_or_input(request.text)
    view = ask(common, operation, replace(request, text=text))
    remark(view.notice)
    _show(view, render.ended(view, how), common)
    return 0


def _show(view: TaskView, lines: list[str], common: Common) -> None:
    if common.json:
        from tinytown.cli.render.encode import dump

        lines = [dump(render.flat(view))]
    say(*lines)
