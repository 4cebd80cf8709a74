"""Where tasks are found: all of them by creation, by their state, by the agent that has or had them, by what they
wait for. Every commit that changes a task keeps it true."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.times import seconds_of
from tinytown.transport import waiting

if TYPE_CHECKING:
    from tinytown.records import Task
    from tinytown.transport.connection import Value
    from tinytown.transport.keys import Keys


def index_writes(keys: Keys, before: Task | None, after: Task | None) -> list[tuple[Value, ...]]:
    """The commands that bring the index from one state of a task to another; None is a task that is not there."""
    writes: list[tuple[Value, ...]] = []
    if before is None and after is not None:
        writes.append(("ZADD", keys("tasks"), round(seconds_of(after.created_at) * 1000), after.id))
    if before is not None and after is None:
        writes.append(("ZREM", keys("tasks"), before.id))
    old, new = ([] if each is None else _sets(keys, each) for each in (before, after))
    if before is not None:
        writes += [("SREM", each, before.id) for each in old if each not in new]
    if after is not None:
        writes += [("SADD", each, after.id) for each in new if each not in old]
    return writes + waiting.index_writes(keys, before, after)


def _sets(keys: Keys, task: Task) -> list[str]:
    of_agent = [] if task.assigned_to is None else [keys("agent_tasks", task.assigned_to)]
    return [keys("tasks_in", task.state), *of_agent]
