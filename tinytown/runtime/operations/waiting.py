"""Wait until an agent or a task has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.runtime.operations.registry import Scope, operation

if TYPE_CHECKING:
    from tinytown.records import Agent, Task
    from tinytown.runtime.town import Town


@dataclass(frozen=True, slots=True)
class Wait:
    """Exactly one of the two."""

    agent: str | None = None
    task: str | None = None


@operation("town.wait", Scope.READ)
async def wait(town: Town, request: Wait) -> Agent | Task:
    """Wait until an agent has stopped, or a task has ended. The caller sets the limit of time."""
    raise NotImplementedError
