"""Many small requests, one script: what many tasks ask for at about the same time goes to the server together.

Measured (see `bench/mailbox.py`): a script call costs the server and the client more than the work inside it, so
grouping sends, claims and settlements is what lets a town of hundreds of agents outrun one connection an agent.
Durability gains too: one fsync serves the whole group.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
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
    """Groups what many tasks ask for at about the same time; its flushes run in the nursery it is given.

    The nursery must outlive whoever submits, the last words of a cancelled actor included: what waits for a flush
    when it is cancelled, or comes later, gets `RedisUnreachable`. A group has at most `most` items: of larger ones the
    server waits for the client and the client for the server, where smaller ones let both work at once (measured with
    1,000 agents: 23,400 messages/s with 48, 16,300 with 256).
    """

    def __init__(self, nursery: trio.Nursery, *, most: int = 48) -> None:
        self._nursery = nursery
        self._most = most

    def __call__(self, run: Run[Item, Result]) -> Callable[[Item], Awaitable[Result]]:
        """See `Batch`."""
        # Here, because every `tt` imports this module, and none imports trio.
        from tinytown.transport.group import Group

        return Group(self._nursery, run, self._most).submit
