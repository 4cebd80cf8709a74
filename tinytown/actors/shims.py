"""Starting shims, and the one that stands ready.

To start a Python takes longer than all else between a message and the CLI that works on it. So a runtime has one
shim, a spare, that has started and waits: the next run gives it its order at once. A cold shim and a spare are the
same thing, started in the same way; a spare is only older.

What must be true: there is at most one spare, and none before the first CLI of this runtime has started, so that
neither a runtime that serves nobody nor an idle agent costs a process. It ends with its nursery; should the runtime
be killed, it ends by itself, as every shim does. It bears the marks of a run, so the sweeps find it like a run.
"""

from __future__ import annotations

import array
import contextlib
import marshal
import os
import socket
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from tinytown.errors import RuntimeFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

# Read together with what speaks to it: an upgrade of the installation never comes between a runtime and its shims.
# As code it also starts sooner, by a quarter, than as text.
_PROGRAM = marshal.dumps(SourceFileLoader("shim", str(Path(__file__).with_name("shim.py"))).get_code("shim"))
# Runs the program that comes first on the control socket, if all of it comes. Its first line is for lists of processes.
_LOADER = """# tinytown: watches over a coding CLI
import marshal, os, sys
control, size, program = int(sys.argv[1]), int(sys.argv[3]), b""
while len(program) < size and (part := os.read(control, size - len(program))):
    program += part
if len(program) == size:
    exec(marshal.loads(program))
"""
# What a Python built with a shared library cannot start without.
_LIBRARY_PATHS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class ShimProcess:
    """A shim as the runtime has it: it waits for its order, or it has got it."""

    __slots__ = ("control", "marks", "process", "status")

    def __init__(
        self,
        process: trio.Process,
        control: trio.SocketStream,
        status: trio.lowlevel.FdStream,
        marks: Mapping[str, str],
    ) -> None:
        self.process = process
        self.control = control
        """Its end is the shim's."""
        self.status = status
        self.marks = marks

    @classmethod
    async def start(cls, marks: Mapping[str, str]) -> ShimProcess:
        """Start one whose environment is `marks`. Raises `RuntimeFailed` if there can be no process."""
        with contextlib.ExitStack() as lent, contextlib.ExitStack() as kept:
            try:
                control, control_end = socket.socketpair()
                kept.enter_context(control)
                lent.enter_context(control_end)
                status, status_end = os.pipe()
                kept.callback(os.close, status)
                lent.callback(os.close, status_end)
                ends = (control_end.fileno(), status_end)
                with trio.CancelScope(shield=True):
                    process = await trio.lowlevel.open_process(
                        [sys.executable, "-I", "-S", "-c", _LOADER, *map(str, (*ends, len(_PROGRAM)))],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        pass_fds=ends,
                        start_new_session=True,
                        cwd="/",
                        env={**{name: os.environ[name] for name in _LIBRARY_PATHS if name in os.environ}, **marks},
                    )
            except OSError as error:
                raise RuntimeFailed(f"No process can be started: {error.strerror}") from error
            kept.pop_all()
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(control))
        shim = cls(process, stream, trio.lowlevel.FdStream(status), marks)
        try:
            with contextlib.suppress(trio.BrokenResourceError):  # whoever gives it an order will see
                await stream.send_all(_PROGRAM)
        except BaseException:
            await shim.dismiss()
            raise
        return shim

    async def give(self, order: bytes, stdin: int, log: int) -> None:
        """Tell it what to run, and hand it the input and the log. Raises `trio.BrokenResourceError` if it is gone.

        When cancelled, it has not got the whole order, and will start nothing.
        """
        message = len(order).to_bytes(4, "big") + order
        rights = array.array("i", (stdin, log))
        try:
            sent = await self.control.socket.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        except OSError as error:
            raise trio.BrokenResourceError from error
        if sent < len(message):
            await self.control.send_all(message[sent:])

    async def dismiss(self) -> None:
        """End and reap one that has got no order. Not cancelled by the caller's scope."""
        self.process.kill()
        with trio.CancelScope(shield=True):
            await self.process.wait()
            await self.control.aclose()
        self.status.close()


class Shims:
    """The spare of a runtime. `nursery` holds it; when that is cancelled it is ended and reaped."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.spare: ShimProcess | None = None
        """The one that stands ready now."""
        self._starts = False
        self._rest = trio.CancelScope()

    def take(self, marks: Mapping[str, str]) -> ShimProcess | None:
        """The spare, if there is one with these marks; it is the caller's from now on.

        It may have died a moment ago.
        """
        spare = self.spare
        if spare is None or spare.marks != marks:
            return None
        self.spare = None
        self._rest.cancel()
        return spare

    def restock(self, marks: Mapping[str, str]) -> None:
        """Have a spare soon. To be called when nobody waits for the start of a CLI."""
        if self.spare is None and not self._starts:
            self._starts = True
            self._nursery.start_soon(self._keep_one, marks)

    async def _keep_one(self, marks: Mapping[str, str]) -> None:
        """Start a spare and watch over it until it is taken, or ends. After its death the next run starts cold."""
        try:
            spare = await ShimProcess.start(marks)
        except RuntimeFailed:
            return  # the next run will meet with it, and tell
        finally:
            self._starts = False
        self.spare, self._rest = spare, trio.CancelScope()
        try:
            with self._rest:
                await spare.process.wait()
        finally:
            if self.spare is spare:
                self.spare = None
                await spare.dismiss()
