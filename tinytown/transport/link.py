"""One live conversation with the server, shared by many tasks.

The rule that everything here serves: **the queue of slots and the stream of replies stay in step.** A command and
its slot enter in one synchronous piece, in the same order; a reply takes the slot at the head; a caller that is
cancelled leaves its slot behind, to swallow the reply. When that cannot be held any longer (end of file, nonsense,
silence), the link breaks once, everybody who waits is told, and it is never used again.

Commands of tasks that run in the same pass of the scheduler go out in one write, since the writer gets its turn in
the next pass. Only when nothing at all is in flight does a command write itself, which saves a task switch.

Cost matters here: 100 tasks, one command each, are 100 times this code per write. So a slot is all
that is made per command, and there is no deadline scope for each: one watchdog looks at the whole.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar, cast

import hiredis
import outcome
import trio
from trio.lowlevel import Abort, checkpoint_if_cancelled, current_task, reschedule, wait_task_rescheduled

from tinytown.errors import TownError
from tinytown.transport.connection import error_of, lost, settled

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from tinytown.transport.address import Address
    from tinytown.transport.connection import Reply
    from tinytown.transport.wire import Wire

T = TypeVar("T")

_NOTHING = object()


class _Slot(outcome.Outcome["Reply"]):
    """Where one reply goes: to a task that waits for it, or nowhere when that was cancelled.

    It is itself the outcome that the task is woken with: to make another object for every reply cost a quarter of
    the throughput.
    """

    __slots__ = ("reply", "task")

    def __init__(self, task: trio.lowlevel.Task) -> None:
        self.task: trio.lowlevel.Task | None = task
        self.reply: Reply | TownError = None

    def abandon(self, _: Callable[[], object]) -> Abort:
        """Nobody waits any more; the place in the queue stays."""
        self.task = None
        return Abort.SUCCEEDED

    def take(self, reply: Reply | TownError) -> None:
        """The reply is there."""
        self.finish(reply)

    def finish(self, reply: Reply | TownError) -> None:
        """Wake the task, if there is one, with this reply or error."""
        if self.task is not None:
            self.reply = reply
            reschedule(self.task, self)
            self.task = None

    def unwrap(self) -> Reply:
        """What the waiting task gets."""
        reply = self.reply
        if isinstance(reply, TownError):
            self.reply = None
            try:
                raise reply
            finally:
                # Else error, traceback and this frame would hold each other.
                del reply
        return reply

    def send(self, gen: Generator[T, Reply, object]) -> T:
        """Part of being an outcome."""
        return gen.send(self.unwrap())

    async def asend(self, agen: AsyncGenerator[T, Reply]) -> T:
        """Part of being an outcome."""
        return await agen.asend(self.unwrap())


class _Batch(_Slot):
    """Where the replies of a pipeline go: it stands in the queue once for each of them."""

    __slots__ = ("due", "replies")

    def __init__(self, task: trio.lowlevel.Task, due: int) -> None:
        super().__init__(task)
        self.due = due
        self.replies: list[Reply | TownError] = []

    def take(self, reply: Reply | TownError) -> None:
        """One more of the replies is there."""
        self.replies.append(reply)
        if len(self.replies) == self.due:
            self.finish(cast("Reply", self.replies))


class Link:
    """One connected wire with its reader, writer and watchdog; `run` makes it live.

    `hear(channel, payload)` gets what is published, `gone()` is called at the moment the link breaks. Silence of
    `reply_within` seconds while replies are due breaks it.
    """

    def __init__(
        self,
        wire: Wire,
        address: Address,
        *,
        reply_within: float,
        hear: Callable[[bytes, bytes], None],
        gone: Callable[[], None],
    ) -> None:
        self._wire = wire
        self._address = address
        self._reply_within = reply_within
        self._hear = hear
        self._gone = gone
        self._replies = hiredis.Reader(replyError=error_of, notEnoughData=_NOTHING)
        self._slots: deque[_Slot] = deque()
        self._unsent: list[bytes] = []
        self._idle_writer: trio.lowlevel.Task | None = None
        # The last moment at which nothing was due or something was heard.
        self._heard = 0.0
        # When the first bytes after that moment left: a server is not silent about what it has not got.
        self._asked = 0.0
        self._scope = trio.CancelScope()
        self._broken: TownError | None = None

    async def run(self, greet: Callable[[Link], Awaitable[None]]) -> TownError:
        """Keep the conversation going until it breaks, and return why; `greet` opens it.

        A `TownError` of `greet` breaks it as well. At the end the wire is closed.
        """
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read)
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._watch)
                    nursery.start_soon(self._open, greet)
        finally:
            self.break_off("the connection was closed")
            with trio.CancelScope(shield=True):
                await self._wire.close()
        assert self._broken is not None
        return self._broken

    def break_off(self, reason: str, error: TownError | None = None) -> None:
        """End the conversation, unless it has ended; all who wait for a reply are told that it was lost.

        `error` is what `run` returns then, when the reason is more than a loss.
        """
        if self._broken is not None:
            return
        self._broken = error or lost(self._address, reason)
        self._gone()
        self._scope.cancel()
        for slot in self._slots:
            # An error of its own for each: a shared one would collect the tracebacks of all.
            slot.finish(lost(self._address, reason))
        self._slots.clear()

    @trio.lowlevel.enable_ki_protection
    async def ask(self, packed: bytes) -> Reply:
        """Send one packed command and wait for its reply; an error reply is raised."""
        await checkpoint_if_cancelled()
        slot = _Slot(current_task())
        self._hand_over(packed)
        self._slots.append(slot)
        reply: Reply = await wait_task_rescheduled(slot.abandon)
        return reply

    @trio.lowlevel.enable_ki_protection
    async def ask_all(self, packed: bytes, count: int) -> list[Reply]:
        """Send `count` packed commands in one piece and wait for all replies; then the first error is raised."""
        await checkpoint_if_cancelled()
        batch = _Batch(current_task(), count)
        self._hand_over(packed)
        self._slots.extend([batch] * count)
        replies: list[Reply | TownError] = await wait_task_rescheduled(batch.abandon)
        return settled(replies, self._address)

    def _hand_over(self, packed: bytes) -> None:
        if self._broken is not None:
            raise lost(self._address, self._broken.message)
        if not self._slots and not self._unsent:
            self._heard = trio.current_time()
            sent = self._wire.send_now(packed)
            if sent == len(packed):
                return
            packed = packed[sent:]
        self._unsent.append(packed)
        writer = self._idle_writer
        if writer is not None:
            self._idle_writer = None
            reschedule(writer)

    async def _open(self, greet: Callable[[Link], Awaitable[None]]) -> None:
        try:
            await greet(self)
        except TownError as error:
            self.break_off(error.message, error)

    @trio.lowlevel.enable_ki_protection
    async def _write(self) -> None:
        unsent = self._unsent
        try:
            while True:
                if not unsent:
                    self._idle_writer = current_task()
                    await wait_task_rescheduled(self._leave_writer)
                payload = b"".join(unsent)
                unsent.clear()
                if self._asked <= self._heard:
                    self._asked = trio.current_time()
                await self._wire.send(payload)
        except OSError as error:
            self.break_off(error.strerror or str(error))

    def _leave_writer(self, _: Callable[[], object]) -> Abort:
        self._idle_writer = None
        return Abort.SUCCEEDED

    @trio.lowlevel.enable_ki_protection
    async def _read(self) -> None:
        receive, feed = self._wire.receive, self._replies.feed
        try:
            while chunk := await receive():
                self._heard = trio.current_time()
                feed(chunk)
                self._hand_out()
            self.break_off("the server closed the connection")
        except OSError as error:
            self.break_off(error.strerror or str(error))
        except hiredis.ProtocolError as error:
            self.break_off(f"it does not speak the protocol of Redis ({error})")

    def _hand_out(self) -> None:
        """Give every reply that is complete to the slot at the head."""
        take, slots = self._replies.gets, self._slots
        next_slot, push = slots.popleft, hiredis.PushNotification
        while (reply := take()) is not _NOTHING:
            if type(reply) is push and reply[0] == b"message":
                self._hear(reply[1], reply[2])
                continue
            # Any other push is the answer to a SUBSCRIBE or UNSUBSCRIBE, and comes in its turn.
            if not slots:
                self.break_off("it answered what nobody asked")
                return
            next_slot().take(reply)

    async def _watch(self) -> None:
        """Break the link when replies are due and nothing at all was heard for too long."""
        while True:
            if not self._slots:
                await trio.sleep(self._reply_within)
                continue
            silent_since = self._silent_since
            await trio.sleep_until(silent_since + self._reply_within)
            # It may be we who were late. In the first pass what has arrived is seen, in the second it is read.
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
            if self._slots and self._silent_since == silent_since:
                self.break_off(f"no answer within {self._reply_within:g} s")

    @property
    def _silent_since(self) -> float:
        return max(self._heard, self._asked)
