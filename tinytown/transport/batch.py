"""Many small requests, one script: what the tasks of one scheduler pass ask for goes to the server together.

Measured (see `bench/mailbox.py`): a script call costs the server and the client more than the work inside it, so
grouping sends, claims and settlements is what lets a town of hundreds of agents outrun one connection an agent.
Durability gains too: one fsync serves the whole group.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar

from tinytown.errors import RedisUnreachable

if TYPE_CHECKING:
    import outcome
    import trio

Item = TypeVar("Item")
Result = TypeVar("Result")

Run: TypeAlias = Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]


class Batch(Protocol):
    """How the mailbox makes batches."""

    def __call__(self, run: Run[Item, Result]) -> Callable[[Item], Awaitable[Result]]:
        """A function that submits one item and gives its result."""


def one_by_one(run: Run[Item, Result]) -> Callable[[Item], Awaitable[Result]]:
    """Each item by itself: for `tt`, which has one thing to say."""

    async def submit(item: Item) -> Result:
        return (await run((item,)))[0]

    return submit


class Grouped:
    """Groups what is submitted in one scheduler pass. Its flushes run in the nursery it is given.

    The nursery must outlive whoever submits, the last words of a cancelled actor included: what is under way when
    it is cancelled, or comes later, gets `RedisUnreachable`.
    """

    def __init__(self, nursery: trio.Nursery, *, most: int = 256) -> None:
        self._nursery = nursery
        self._most = most

    def __call__(self, run: Run[Item, Result]) -> Callable[[Item], Awaitable[Result]]:
        """See `Batch`."""
        return _Group(self._nursery, run, self._most).submit


class _Slot(Generic[Item]):
    """One item that waits. `task` is None once it was answered, or its caller was cancelled."""

    __slots__ = ("item", "task")

    def __init__(self, task: trio.lowlevel.Task, item: Item) -> None:
        self.task: trio.lowlevel.Task | None = task
        self.item = item

    def answer(self, result: outcome.Outcome[object]) -> None:
        """Let the caller go on with this; nothing happens when nobody waits any more."""
        import trio

        task, self.task = self.task, None
        if task is not None:
            trio.lowlevel.reschedule(task, result)


class _Group(Generic[Item, Result]):
    def __init__(self, nursery: trio.Nursery, run: Run[Item, Result], most: int) -> None:
        self._nursery = nursery
        self._run = run
        self._most = most
        self._waiting: list[_Slot[Item]] = []

    async def submit(self, item: Item) -> Result:
        """The item's result. When the caller is cancelled before the flush, the item is taken back."""
        import trio

        slot = _Slot(trio.lowlevel.current_task(), item)
        if not self._waiting:
            try:
                self._nursery.start_soon(self._flush)
            except RuntimeError:
                raise _closing() from None
        self._waiting.append(slot)

        def abort(_: object) -> trio.lowlevel.Abort:
            slot.task = None
            return trio.lowlevel.Abort.SUCCEEDED

        result: Result = await trio.lowlevel.wait_task_rescheduled(abort)
        return result

    async def _flush(self) -> None:
        import outcome

        taken, self._waiting = [slot for slot in self._waiting if slot.task is not None], []
        try:
            for start in range(0, len(taken), self._most):
                group = taken[start : start + self._most]
                try:
                    results = await self._run([slot.item for slot in group])
                except Exception as error:
                    for slot in group:
                        slot.answer(outcome.Error(error))
                else:
                    for slot, result in zip(group, results, strict=True):
                        slot.answer(outcome.Value(result))
        finally:
            # Only a cancelled flush leaves anybody here; without this they would wait for ever.
            for slot in taken:
                slot.answer(outcome.Error(_closing()))


def _closing() -> RedisUnreachable:
    return RedisUnreachable("The connection to Redis is being closed")
