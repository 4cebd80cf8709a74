"""The connection of the runtime: one socket for all its tasks, kept up by itself.

    open ─ nursery
           └ keeper      dials, greets, renews subscriptions; when the link breaks, pauses and begins again
             └ link      reader, writer, watchdog of one conversation (link.py)

What a caller may rely on: a command issued while there is a link is written in this pass of the scheduler or the
next; one issued while there is none waits up to `patience` for it; one that was under way when the link broke
raises `RedisUnreachable`, since nobody knows whether it was done, and only `repeat=True` asks it again.
"""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import trio

from tinytown.errors import RedisUnreachable, TownError
from tinytown.transport.connection import (
    LONGEST_PAUSE,
    Misplaced,
    NotReady,
    greeting,
    pack,
    pauses,
    unreachable,
    unspoken,
    unwelcome,
)
from tinytown.transport.link import Link
from tinytown.transport.wire import dial

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from typing import Self

    from tinytown.transport.address import Address
    from tinytown.transport.connection import Reply, Value

T = TypeVar("T")

CONNECT_WITHIN = 5.0
"""Seconds for a new link to be greeted, where the silence of a reply has no limit."""


class MultiplexedConnection:
    """A connection that many tasks share. Made by `open`, ended with its block.

    `reply_within`: seconds of silence, while replies are due, after which the server counts as hung and the link
    is dropped. `patience`: seconds a command waits for a link or for a server that is not ready.
    """

    def __init__(self, address: Address, *, reply_within: float = 5.0, patience: float = 5.0) -> None:
        self._address = address
        self._reply_within = reply_within
        self._patience = patience
        self._connect_within = reply_within if math.isfinite(reply_within) else CONNECT_WITHIN
        self._link: Link | None = None
        # Why there is no link, as long as there is none.
        self._trouble: TownError | None = None
        self._closed = False
        self._waiting = trio.lowlevel.ParkingLot()
        self._callbacks: dict[bytes, Callable[[bytes], None]] = {}
        self._reconnect_callbacks: list[Callable[[], None]] = []
        self._loss_callbacks: list[Callable[[], None]] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, address: Address, *, reply_within: float = 5.0, patience: float = 5.0) -> AsyncIterator[Self]:
        """Connect, and keep the connection up for the time of the block.

        The first try must succeed: it raises `RedisUnreachable`, `RedisRefused` or `InvalidConfig` at once. What
        the block raises leaves it as it is, in no exception group.
        """
        connection = cls(address, reply_within=reply_within, patience=patience)
        failure: BaseException | None = None
        try:
            async with trio.open_nursery() as nursery:
                try:
                    await nursery.start(connection._keep)
                    yield connection
                except BaseException as error:  # raised again below, outside the nursery
                    failure = error
                nursery.cancel_scope.cancel()
            if failure is not None:
                raise failure
        finally:
            connection._close()
            del failure

    @property
    def address(self) -> Address:
        """Where it leads."""
        return self._address

    async def execute(self, *command: Value, repeat: bool = False) -> Reply:
        """Ask one command; see `Connection.execute`."""
        packed = pack(command)
        link = self._link
        trouble: RedisUnreachable | None = None
        if link is not None:
            try:
                return await link.ask(packed)
            except RedisUnreachable as error:
                trouble = error
        return await self._persist(lambda link: link.ask(packed), link, trouble, repeat=repeat)

    async def pipeline(self, commands: Sequence[Sequence[Value]], *, repeat: bool = False) -> list[Reply]:
        """Ask several commands in one write; see `Connection.pipeline`."""
        if not commands:
            await trio.lowlevel.checkpoint()
            return []
        packed = b"".join([pack(tuple(command)) for command in commands])
        count = len(commands)
        link = self._link
        trouble: RedisUnreachable | None = None
        if link is not None:
            try:
                return await link.ask_all(packed, count)
            except RedisUnreachable as error:
                trouble = error
        return await self._persist(lambda link: link.ask_all(packed, count), link, trouble, repeat=repeat)

    def dedicated(self) -> AbstractAsyncContextManager[MultiplexedConnection]:
        """A second connection, without a limit on silence; see `Connection.dedicated`."""
        return MultiplexedConnection.open(self._address, reply_within=math.inf, patience=self._patience)

    async def subscribe(self, channel: str, callback: Callable[[bytes], None]) -> None:
        """Hear what is published on `channel`; see `ListeningConnection.subscribe`."""
        self._callbacks[channel.encode()] = callback
        await self.execute("SUBSCRIBE", channel, repeat=True)

    async def unsubscribe(self, channel: str) -> None:
        """End what `subscribe` began."""
        self._callbacks.pop(channel.encode(), None)
        await self.execute("UNSUBSCRIBE", channel, repeat=True)

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback()` after each reconnect; see `ListeningConnection.on_reconnect`."""
        self._reconnect_callbacks.append(callback)

    def on_loss(self, callback: Callable[[], None]) -> None:
        """Call `callback()` each time a link that was up has broken. It must be short and must not raise."""
        self._loss_callbacks.append(callback)

    # The slow path: no link, a broken one, or a server that is not ready.

    async def _persist(
        self,
        attempt: Callable[[Link], Awaitable[T]],
        link: Link | None,
        trouble: RedisUnreachable | None,
        *,
        repeat: bool,
    ) -> T:
        """Try until it is answered, as far as patience and `repeat` allow.

        `trouble` is what came of a first try on `link`, if there was one.
        """
        deadline = trio.current_time() + self._patience
        between = pauses()
        while True:
            if isinstance(trouble, NotReady):
                if isinstance(trouble, Misplaced) and link is not None:
                    link.break_off(trouble.message, trouble)
                pause = next(between)
                if trio.current_time() + pause >= deadline:
                    raise trouble
                await trio.sleep(pause)
            elif trouble is not None:
                if not repeat:
                    raise trouble
                repeat = False
            try:
                link = await self._linked(deadline)
            except RedisUnreachable as error:
                # What came of the first try says more than that there was no second.
                raise trouble or error from None
            try:
                return await attempt(link)
            except RedisUnreachable as error:
                trouble = error

    async def _linked(self, deadline: float) -> Link:
        """The link, as soon as there is one."""
        with trio.move_on_at(deadline):
            while self._link is None and not self._closed:
                await self._waiting.park()
        if self._link is not None:
            return self._link
        trouble = self._trouble
        if trouble is None or isinstance(trouble, RedisUnreachable):
            raise unspoken(self._address, "it is closed" if self._closed else f"none within {self._patience:g} s")
        raise type(trouble)(trouble.message, hint=trouble.hint)

    # The keeper.

    async def _keep(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Have a link; when it breaks, pause and have a new one. Raises only while there was none yet."""
        between = pauses()
        links = 0

        def welcome(link: Link) -> None:
            nonlocal links
            links += 1
            self._link, self._trouble = link, None
            self._waiting.unpark_all()
            if links == 1:
                task_status.started()
                return
            for callback in self._reconnect_callbacks:
                callback()

        while True:
            began = trio.current_time()
            trouble = await self._converse(welcome)
            if not links:
                raise trouble
            self._trouble = trouble
            for callback in self._loss_callbacks:
                callback()
            if trio.current_time() - began > LONGEST_PAUSE:
                # It was well for a while: a server that only restarts is found again at once.
                between = pauses()
            await trio.sleep(next(between))

    async def _converse(self, welcome: Callable[[Link], None]) -> TownError:
        """One link from its beginning to its end; returns why it ended, or never began."""

        async def greet(link: Link) -> None:
            await self._greet(link)
            welcome(link)

        try:
            wire = await dial(self._address, self._connect_within)
        except TownError as error:
            return error
        link = Link(wire, self._address, reply_within=self._reply_within, hear=self._hear, gone=self._unlink)
        return await link.run(greet)

    async def _greet(self, link: Link) -> None:
        """Introduce ourselves on a new link, and renew the subscriptions."""
        with trio.move_on_after(self._connect_within):
            try:
                for command in greeting(self._address):
                    await link.ask(pack(command))
                for channel in list(self._callbacks):
                    await link.ask(pack(("SUBSCRIBE", channel)))
            except TownError as error:
                raise unwelcome(self._address, error) from None
            return
        raise unreachable(self._address, TimeoutError(f"no answer within {self._connect_within:g} s"))

    def _hear(self, channel: bytes, payload: bytes) -> None:
        callback = self._callbacks.get(channel)
        if callback is not None:
            callback(payload)

    def _unlink(self) -> None:
        self._link = None

    def _close(self) -> None:
        self._closed = True
        self._waiting.unpark_all()
