"""How requests are grouped under trio: while one group is under way, the next one gathers.

Who finds nothing under way asks at once, in its own task, so that a lone request costs no detour. Whoever comes
meanwhile waits for the next group. So groups grow with the load by themselves, and nobody waits for a timer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, cast

import outcome
from trio.lowlevel import Abort, checkpoint, current_task, reschedule, wait_task_rescheduled

from tinytown.errors import RedisUnreachable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    import trio

    from tinytown.transport.batch import Run

T = TypeVar("T")
Item = TypeVar("Item")
Result = TypeVar("Result")

AT_ONCE = 2
"""Groups of one kind under way: while the server works on one, the next one is made and sent."""


class _Place(outcome.Outcome[Result], Generic[Item, Result]):
    """Where one item waits, and at the same time the outcome with which its task is woken: many are made.

    `task` is None once it was answered, or its caller was cancelled.
    """

    __slots__ = ("error", "item", "result", "task")

    def __init__(self, task: trio.lowlevel.Task, item: Item) -> None:
        self.task: trio.lowlevel.Task | None = task
        self.item = item
        self.result: Result | None = None
        self.error: Exception | None = None

    def leave(self, _: Callable[[], object]) -> Abort:
        """Nobody waits any more."""
        self.task = None
        return Abort.SUCCEEDED

    def answer(self, result: Result | None, error: Exception | None = None) -> None:
        """Wake the task with a result or an error, if it still waits."""
        task = self.task
        if task is not None:
            self.task, self.result, self.error = None, result, error
            reschedule(task, self)

    def unwrap(self) -> Result:
        """What the task gets."""
        if self.error is not None:
            raise self.error
        return cast("Result", self.result)

    def send(self, gen: Generator[T, Result, object]) -> T:
        """Part of being an outcome."""
        return gen.send(self.unwrap())

    async def asend(self, agen: AsyncGenerator[T, Result]) -> T:
        """Part of being an outcome."""
        return await agen.asend(self.unwrap())


class Group(Generic[Item, Result]):
    """Groups of one kind of request, each of `most` items at most, that `run` asks for and `nursery` flushes."""

    def __init__(self, nursery: trio.Nursery, run: Run[Item, Result], most: int) -> None:
        self._nursery = nursery
        self._run = run
        self._most = most
        self._waiting: list[_Place[Item, Result]] = []
        self._under_way = 0
        # A flush was started that has not taken its group yet: it will take whatever waits by then.
        self._called = False

    async def submit(self, item: Item) -> Result:
        """The item's result. When the caller is cancelled while it waits for its group, the item is taken back."""
        if not self._under_way:
            self._under_way = 1
            try:
                return (await self._run((item,)))[0]
            finally:
                self._under_way -= 1
                self._call()
        place: _Place[Item, Result] = _Place(current_task(), item)
        self._waiting.append(place)
        self._call()
        result: Result = await wait_task_rescheduled(place.leave)
        return result

    def _call(self) -> None:
        """See that what waits is flushed, as soon as fewer than so many groups are under way."""
        if not self._waiting or self._called or self._under_way >= AT_ONCE:
            return
        try:
            self._nursery.start_soon(self._flush)
        except RuntimeError:
            # The nursery is closed.
            self._refuse(self._waiting)
        else:
            self._called = True
            self._under_way += 1

    async def _flush(self) -> None:
        """Ask for one group after the other, until nobody waits."""
        self._called = False
        group: list[_Place[Item, Result]] = []
        try:
            while self._waiting:
                group = [place for place in self._waiting[: self._most] if place.task is not None]
                del self._waiting[: self._most]
                if group:
                    await self._ask(group)
                    # Who was answered runs in the next pass, in whatever order, and may ask again: the next group
                    # begins in the one after it, and takes that along.
                    await checkpoint()
                    await checkpoint()
        except BaseException:
            # The flush was cancelled; nobody shall wait for ever.
            self._refuse(group)
            self._refuse(self._waiting)
            raise
        finally:
            self._under_way -= 1

    async def _ask(self, group: list[_Place[Item, Result]]) -> None:
        try:
            results = await self._run([place.item for place in group])
        except Exception as error:
            for place in group:
                place.answer(None, error)
        else:
            for place, result in zip(group, results, strict=True):
                place.answer(result)

    @staticmethod
    def _refuse(places: list[_Place[Item, Result]]) -> None:
        for place in places:
            place.answer(None, RedisUnreachable("The connection to Redis is being closed"))
        places.clear()
