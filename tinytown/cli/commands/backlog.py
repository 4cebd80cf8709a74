"""`tt backlog`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tinytown.cli.render import backlog as render
from tinytown.cli.session import ask, text_or_input
from tinytown.cli.terminal import note, remark, say
from tinytown.runtime.operations import backlog as operations

if TYPE_CHECKING:
    from tinytown.cli.invocation import Common
    from tinytown.runtime.operations.backlog import (
        AddToBacklog,
        AssignAll,
        ClaimFromBacklog,
        ListBacklog,
        RemoveFromBacklog,
    )


def add(request: AddToBacklog, common: Common) -> int:
    """Put new work into the backlog."""
    asked = replace(request, description=text_or_input(request.description))
    result = ask(common, operations.add_to_backlog, asked)
    remark(result.note)
    if common.json:
        _dump(result.task, woken=result.woken)
    else:
        say(*render.added(result))
    return 0


def list_items(request: ListBacklog, common: Common) -> int:
    """Show the backlog."""
    found = ask(common, operations.list_backlog, request)
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(found.tasks))
    else:
        say(*render.listing(found))
    for identifier in found.damaged:
        note(f"Note: {render.damaged(identifier)}")
    return 0


def claim(request: ClaimFromBacklog, common: Common) -> int:
    """Give an item to an agent."""
    result = ask(common, operations.claim_from_backlog, request)
    remark(result.note)
    if common.json:
        _dump(result.task, assigned_to_name=result.agent.name)
    else:
        say(render.claimed(result))
    return 0


def assign_all(request: AssignAll, common: Common) -> int:
    """Give all items to an agent."""
    result = ask(common, operations.assign_all, request)
    remark(result.note)
    if common.json:
        from tinytown.cli.render.encode import dump, fields_of

        say(dump(fields_of(result, agent=result.agent.name, note=None)))
    else:
        say(*render.assigned_all(result))
    return 1 if result.left and not result.tasks else 0


def remove(request: RemoveFromBacklog, common: Common) -> int:
    """Remove an item."""
    result = ask(common, operations.remove_from_backlog, request)
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump({"removed": True, "task_id": result.id}))
    else:
        say(render.removed(result))
    return 0


def _dump(task: object, **more: object) -> None:
    from tinytown.cli.render.encode import dump, fields_of

    say(dump(fields_of(task, **more)))
