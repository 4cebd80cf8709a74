"""The backlog: tasks that nobody has, in the order in which they came.

What must be true: a task in it is pending and has no agent, and every commit that takes it out of the list changes
or deletes its record. So whoever compares the record they have read takes the task alone, and one that was refused
has lost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tinytown.errors import BadMessage
from tinytown.ids import TaskId
from tinytown.lifecycle import TaskState
from tinytown.records import Task
from tinytown.transport.store import Seen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from tinytown.transport.connection import Connection
    from tinytown.transport.keys import Keys
    from tinytown.transport.store import Change

AT_ONCE = 200
"""Items that are read together: enough to make the number of round trips small, and no reply large."""


class Backlog:
    """The backlog of one town."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self._key = keys("backlog")

    async def ids(self) -> list[TaskId]:
        """What is in it, in its order."""
        reply = await self._connection.execute("LRANGE", self._key, 0, -1, repeat=True)
        return [TaskId(raw.decode("utf-8", "replace")) for raw in cast("list[bytes]", reply)]

    async def newest(self) -> TaskId | None:
        """The last of it, None when it is empty. Nothing new has come as long as this is the same."""
        raw = await self._connection.execute("LINDEX", self._key, -1, repeat=True)
        return None if raw is None else TaskId(cast("bytes", raw).decode("utf-8", "replace"))

    async def holds(self, task_id: TaskId) -> bool:
        """Whether this task is in it."""
        return await self._connection.execute("LPOS", self._key, task_id, repeat=True) is not None

    async def see(self, ids: Sequence[TaskId]) -> list[Seen[Task] | None]:
        """These tasks with the bytes they were read from; None for a record that is gone or cannot be read."""
        found: list[Seen[Task] | None] = []
        for start in range(0, len(ids), AT_ONCE):
            # What was pushed by hand may be anything, and a key needs a last part.
            names = [self._keys("task", each or "-") for each in ids[start : start + AT_ONCE]]
            raws = await self._connection.execute("MGET", *names, repeat=True)
            found += [_seen(raw) for raw in cast("list[bytes | None]", raws)]
        return found

    async def each(self) -> AsyncGenerator[Seen[Task], None]:
        """Every task in it that can be claimed, in its order, read in parts. Close it with `contextlib.aclosing`."""
        ids = await self.ids()
        for start in range(0, len(ids), AT_ONCE):
            for seen in await self.see(ids[start : start + AT_ONCE]):
                if seen is not None and is_free(seen.record):
                    yield seen

    def put(self, change: Change, task_id: TaskId) -> Change:
        """Put a task at the end; the change makes it pending and nobody's. One that is in it already goes there."""
        return change.write("LREM", self._key, 0, task_id).write("RPUSH", self._key, task_id)

    def take(self, change: Change, task_id: TaskId) -> Change:
        """Take a task out; the change replaces its record."""
        return change.write("LREM", self._key, 0, task_id)


def is_free(task: Task) -> bool:
    """It waits for somebody to claim it."""
    return task.state is TaskState.PENDING and task.assigned_to is None and not task.waits


def _seen(raw: bytes | None) -> Seen[Task] | None:
    if raw is None:
        return None
    try:
        return Seen(Task.decode(raw), raw)
    except BadMessage:
        return None
