"""One run of a coding CLI as a child process.

`run_child` is a structured call: when it has returned or raised, the CLI and everything it started has ended, its
shim is reaped, and no descriptor is left open. Cancelling the call climbs a ladder: interrupt, terminate, kill.
Silence of the child means nothing; only the caller's cancel scope bounds the time it may take.

The work is done by `shim.py`, a small process of its own that outlives neither the child nor this runtime. It may
have stood ready before (`shims.py`). Should somebody kill it, the kernel kills the CLI, and what is left of the tree
is swept from here.
"""

from __future__ import annotations

import contextlib
import errno
import json
import marshal
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from tinytown.actors.child_exit import ChildExit, find_program, not_started
from tinytown.actors.output import LiveText
from tinytown.actors.processes import (
    CHILD_MARK,
    RUNTIME_MARK,
    TOWN_MARK,
    become_subreaper,
    harden_process,
    sweep_marked,
    sweep_run,
)
from tinytown.actors.shims import ShimProcess
from tinytown.errors import RuntimeFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tinytown.actors.shims import Shims

__all__ = [
    "ChildExit",
    "ChildSpec",
    "ChildStarted",
    "Ladder",
    "become_subreaper",
    "find_program",
    "harden_process",
    "run_child",
    "sweep_marked",
]

LOG_CAP_BYTES = 64 << 20
_SHIM_END_S = 5.0
"""Above the shim's own limit for its sweep."""


class Ladder:
    """How a child is ended when its run is cancelled: what is sent, and the seconds until the next step.

    It can be shortened while it is climbed: `hurry` goes to the kill at once.
    """

    __slots__ = ("_scopes", "hurried", "interrupt_s", "kill_s", "terminate_s")

    def __init__(self, *, interrupt_s: float = 5.0, terminate_s: float = 10.0, kill_s: float = 5.0) -> None:
        self.interrupt_s = interrupt_s
        """After SIGINT: the coding CLIs save their session on it."""
        self.terminate_s = terminate_s
        self.kill_s = kill_s
        """After SIGKILL, before the shim itself is given up."""
        self.hurried = False
        self._scopes: set[trio.CancelScope] = set()

    def hurry(self) -> None:
        """Kill now, or as soon as the run is cancelled. Only from within trio."""
        self.hurried = True
        for scope in self._scopes:
            scope.cancel()

    @contextlib.contextmanager
    def grace(self, seconds: float) -> Iterator[trio.CancelScope]:
        """A cancel scope that ends after so many seconds, or on `hurry`."""
        with trio.move_on_after(seconds) as scope:
            self._scopes.add(scope)
            try:
                yield scope
            finally:
                self._scopes.discard(scope)


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What to run."""

    argv: tuple[str, ...]
    """The first item is looked up on the PATH of `env`, or taken from `cwd` if it has a slash."""
    cwd: Path
    env: Mapping[str, str]
    """The whole environment; nothing of the runtime's own is added but a mark of this run."""
    log_path: Path
    """Both outputs are appended to it; made with mode 0600; must not be a symbolic link."""
    stdin_path: Path | None = None
    """The file that is its standard input; otherwise that is empty."""
    log_cap_bytes: int = LOG_CAP_BYTES
    """Beyond it the first and the last eighth are kept."""
    ladder: Ladder = field(default_factory=Ladder)
    on_output: Callable[[str], None] | None = None
    """Called with whole lines, made safe for a terminal, as they come. Must not block. A caller too slow by 1 MiB
    misses what comes then; the log has it."""


@dataclass(frozen=True, slots=True)
class ChildStarted:
    """The CLI runs. Pid and start time together name it until the next boot."""

    pid: int
    start_time: int
    """Clock ticks since the boot; 0 where the system does not tell."""


async def run_child(
    spec: ChildSpec,
    shims: Shims | None = None,
    *,
    task_status: trio.TaskStatus[ChildStarted] = trio.TASK_STATUS_IGNORED,
) -> ChildExit:
    """Run it to its end and say how it ended. With `shims`, under the spare, and another one is made meanwhile.

    `task_status.started` is called with a `ChildStarted` when the CLI runs. If it cannot be started that call
    never comes, and the returned `ChildExit` has a `failure`. Raises `RuntimeFailed` if the log or the input is
    unusable. When cancelled, ends the tree by `spec.ladder` and re-raises.
    """
    program = find_program(spec.argv[0], cwd=spec.cwd, path=spec.env.get("PATH", os.defpath))
    if isinstance(program, ChildExit):
        await trio.lowlevel.checkpoint()
        return program
    marks = {mark: spec.env[mark] for mark in (TOWN_MARK, RUNTIME_MARK) if mark in spec.env}
    spare = shims.take(marks) if shims is not None else None
    if spare is not None:
        run = _Run(spec, spare, shims)
        await run.carry_out(program, task_status)
        if run.begun:
            return run.outcome()
        # It was dead, or died before it had its order: the CLI has never been started.
    run = _Run(spec, await ShimProcess.start(marks), shims)
    await run.carry_out(program, task_status)
    return run.outcome()


class _Run:
    """The runtime's side of one run under one shim."""

    def __init__(self, spec: ChildSpec, shim: ShimProcess, shims: Shims | None) -> None:
        self._spec = spec
        self._shim = shim
        self._shims = shims
        self._child_id = os.urandom(16).hex()
        self._buffer = bytearray()
        self._live = LiveText()
        self._on_output = spec.on_output
        self._ordered = False
        self.begun = False
        """The shim has got its order; the CLI may have been started."""
        self._cli_pid = 0
        self._answer = b""
        self._exit: ChildExit | None = None

    async def carry_out(self, program: str, task_status: trio.TaskStatus[ChildStarted]) -> None:
        """The whole run. The shim has ended, however this ends."""
        try:
            try:
                await self._give_order(program)
                await self._follow(task_status)
            except trio.Cancelled:
                with trio.CancelScope(shield=True):
                    await self._climb()
                raise
        finally:
            with trio.CancelScope(shield=True):
                await self._close()

    async def _give_order(self, program: str) -> None:
        """Tell the shim what to run."""
        spec = self._spec
        order = marshal.dumps(
            {
                "program": program,
                "argv": list(spec.argv),
                "cwd": str(spec.cwd.absolute()),
                "env": {**spec.env, CHILD_MARK: self._child_id},
                "cap": spec.log_cap_bytes,
                "live": spec.on_output is not None,
            }
        )
        with contextlib.ExitStack() as lent:
            stdin = _open_input(spec.stdin_path)
            lent.callback(os.close, stdin)
            log = _open_log(spec.log_path)
            lent.callback(os.close, log)
            with contextlib.suppress(trio.BrokenResourceError):  # `_follow` will find that the shim is gone
                await self._shim.give(order, stdin, log)
        self._ordered = True

    async def _follow(self, task_status: trio.TaskStatus[ChildStarted] = trio.TASK_STATUS_IGNORED) -> None:
        """Take what the shim tells until it has ended. May be cancelled and called again."""
        while (frame := await self._next_frame()) is not None:
            kind, body = frame
            if kind == b"O":
                self._show(self._live.feed(body))
            elif kind == b"A":
                self._show(self._live.end())
                self._answer = body
            elif kind == b"B":
                self.begun = True
            else:
                said: dict[str, int | str] = json.loads(body)
                if kind == b"S":
                    started = ChildStarted(**said)  # type: ignore[arg-type]
                    self._cli_pid = started.pid
                    task_status.started(started)
                    if self._shims is not None:
                        self._shims.restock(self._shim.marks)
                elif kind == b"F":
                    self._exit = not_started(self._spec.argv[0], self._spec.cwd, str(said["step"]), int(said["errno"]))
                else:
                    self._exit = _ended(said, self._answer)

    async def _next_frame(self) -> tuple[bytes, bytes] | None:
        while True:
            header = self._buffer.find(b"\n")
            if header > 0:
                kind, length = self._buffer[:header].split()
                end = header + 1 + int(length)
                if len(self._buffer) >= end:
                    body = bytes(self._buffer[header + 1 : end])
                    del self._buffer[:end]
                    return bytes(kind), body
            chunk = await self._shim.status.receive_some(1 << 16)
            if not chunk:
                return None
            self._buffer += chunk

    def _show(self, text: str) -> None:
        if text and self._on_output is not None:
            self._on_output(text)

    async def _climb(self) -> None:
        """End the tree, step by step, until the shim says that it has ended. The caller shields."""
        ladder = self._spec.ladder
        if not self._ordered:
            return  # nothing runs yet; `_close` is enough
        for step, seconds in ((b"i", ladder.interrupt_s), (b"t", ladder.terminate_s)):
            if not ladder.hurried:
                with ladder.grace(seconds):
                    await self._ask_for(step)
                    return
        with trio.move_on_after(ladder.kill_s):
            await self._ask_for(b"k")

    async def _ask_for(self, step: bytes) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await self._shim.control.send_all(step)
        await self._follow()

    async def _close(self) -> None:
        """Let go of the shim, which then ends what may still run, and reap it. The caller shields."""
        self._on_output = None
        await self._shim.control.aclose()
        with trio.move_on_after(_SHIM_END_S):
            await self._follow()
        if self._exit is None:  # it was killed, or it hangs: the tree is ours to end
            self._shim.process.kill()
            await sweep_run(session=self._shim.process.pid, group=self._cli_pid, child_id=self._child_id)
        self._shim.status.close()
        await self._shim.process.wait()

    def outcome(self) -> ChildExit:
        """How it ended; to be asked after `carry_out`."""
        return self._exit or ChildExit(failure="the process that watched it was killed", answer=self._answer)


def _ended(said: Mapping[str, int | str], answer: bytes) -> ChildExit:
    number = int(said["exit"])
    return ChildExit(
        code=number if number >= 0 else None,
        signal=-number if number < 0 else None,
        answer=answer,
        log_bytes=int(said["kept"]),
        dropped_bytes=int(said["dropped"]),
        survivors=int(said["survivors"]),
    )


def _open_input(path: Path | None) -> int:
    try:
        return os.open(path or os.devnull, os.O_RDONLY | os.O_CLOEXEC | (os.O_NOFOLLOW if path else 0))
    except OSError as error:
        raise RuntimeFailed(f"Cannot read {path}: {error.strerror}") from error


def _open_log(path: Path) -> int:
    # O_NONBLOCK: opening a pipe that somebody put there must not wait for its reader.
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as error:
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise RuntimeFailed(f"Cannot write the log {path}: {reason}", hint="Remove what is there.") from error
    try:
        is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        if is_file:
            os.fchmod(fd, 0o600)
            return fd
        reason = "it is not a file"
    except OSError as error:
        reason = str(error.strerror)
    os.close(fd)
    raise RuntimeFailed(f"Cannot write the log {path}: {reason}", hint="Remove what is there.")
