"""The index of what waits: tasks that others have to end before they go on.

What must be true: a task stands in it exactly while its record says that it waits, because `Change` writes both
together. It is found from either side: all that wait, in parts, and those that wait for one task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

from tinytown.ids import TaskId

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tinytown.records import Task
    from tinytown.transport.connection import Connection, Value
    from tinytown.transport.keys import Keys

    _Write: TypeAlias = tuple[Value, ...]

AT_ONCE = 512
"""About how many waiting tasks one part has."""


class Waiting:
    """The waiting tasks of one town."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def on(self, task_id: TaskId) -> list[TaskId]:
        """The tasks that wait for this one."""
        reply = await self._connection.execute("SMEMBERS", self._keys("dependents", task_id), repeat=True)
        return sorted(TaskId(raw.decode()) for raw in cast("Iterable[bytes]", reply))

    async def part(self, cursor: int = 0) -> tuple[int, list[TaskId]]:
        """Some of all that wait, and where to go on; begin with 0, which also says that these were the last.

        A task that waits all the while is in one of the parts; one may be in several.
        """
        key = self._keys("waiting")
        reply = await self._connection.execute("SSCAN", key, cursor, "COUNT", AT_ONCE, repeat=True)
        following, members = cast("tuple[bytes, list[bytes]]", reply)
        return int(following), [TaskId(raw.decode("utf-8", "replace")) for raw in members]

    async def forget(self, task_id: TaskId) -> None:
        """Take out what is no waiting task: a record that somebody deleted or changed by hand."""
        await self._connection.execute("SREM", self._keys("waiting"), task_id, repeat=True)


def index_writes(keys: Keys, before: Task | None, after: Task | None) -> list[_Write]:
    """The commands that bring the index from one state of a task to another; None is a task that is not there."""
    if not (before is not None and before.waits) and not (after is not None and after.waits):
        return []
    writes: list[_Write] = []
    old = before.awaited if before is not None else ()
    new = after.awaited if after is not None else ()
    if before is not None:
        gone = [each for each in old if each not in new]
        writes += [("SREM", keys("dependents", each), before.id) for each in gone]
        if after is None or not after.waits:
            writes.append(("SREM", keys("waiting"), before.id))
    if after is not None and after.waits:
        writes += [("SADD", keys("dependents", each), after.id) for each in new if each not in old]
        writes.append(("SADD", keys("waiting"), after.id))
    return writes
