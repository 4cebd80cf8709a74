"""What the runtime knows about processes: its own standing, and strays that carry a mark of ours.

A pid is only a number that the kernel gives out again. So a stray is signalled through a pidfd, after another look
at whether it still is the process that was meant. On systems without /proc and pidfds (macOS) the sweeps find
nothing; there the process groups that the shims kill are all there is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

TOWN_MARK = "TINYTOWN_TOWN_ID"
"""In the environment of every child: the town it works for."""
RUNTIME_MARK = "TINYTOWN_RUNTIME_ID"
"""In the environment of every child: the life of the runtime that started it."""
CHILD_MARK = "TINYTOWN_CHILD"
"""In the environment of a child and all it starts: which run they belong to."""

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_DEATH_S = 2.0
"""How long one pass waits for what it has killed; a process in an uninterruptible sleep would outlast any wait."""
_PASSES = 20
"""A process may fork between being found and being killed; a few passes are enough for all but a fork bomb."""


def become_subreaper() -> None:
    """Make orphaned descendants of this process its children, so that it can find and reap them (Linux)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def harden_process() -> None:
    """Close the memory and the environment of this process to other processes of its user (Linux).

    A coding CLI runs as the same user and could read the password of Redis from /proc/<pid>/environ. This also
    turns core dumps off. A program that is executed afterwards is open again.
    """
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> None:
    if sys.platform != "linux":
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@dataclass(frozen=True, slots=True)
class Process:
    """One line of /proc at the moment it was read."""

    pid: int
    parent: int
    group: int
    session: int
    zombie: bool
    start_time: int
    """Clock ticks between the boot and its start; with the pid it names a process for good until the next boot."""


def look_at(pid: int) -> Process | None:
    """The process of this pid, or None if there is none or the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return Process(
            pid=pid,
            parent=int(fields[1]),
            group=int(fields[2]),
            session=int(fields[3]),
            zombie=fields[0] in (b"Z", b"X"),
            start_time=int(fields[19]),
        )
    except (OSError, ValueError, IndexError):
        return None


def all_processes() -> Iterator[Process]:
    """Every process that can be seen."""
    try:
        names = os.listdir("/proc")  # noqa: PTH208  (names are all that is wanted)
    except OSError:
        return
    for name in names:
        if name.isdigit() and (process := look_at(int(name))) is not None:
            yield process


def marks_of(pid: int) -> dict[str, str]:
    """The `TINYTOWN_` variables a process of our user was started with; empty if that cannot be known."""
    try:
        if Path(f"/proc/{pid}").stat().st_uid != os.getuid():
            return {}
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    ours = (entry.decode("utf-8", "replace") for entry in entries if entry.startswith(b"TINYTOWN_"))
    return {name: value for name, _, value in (entry.partition("=") for entry in ours)}


async def sweep_marked(town_id: str, *, live_runtimes: Collection[str]) -> tuple[int, ...]:
    """Kill what an earlier life of a runtime left running for this town; returns the pids.

    To be called once at the start of a runtime, before it starts children. Only processes of our user whose
    environment names exactly this town, and a runtime that is not in `live_runtimes`, are meant; never this
    process or one above it, for a runtime may have been started from within an agent.
    """
    kin = _ancestry()

    def is_leftover(process: Process) -> bool:
        if process.zombie or process.pid in kin:
            return False
        marks = marks_of(process.pid)
        runtime = marks.get(RUNTIME_MARK)
        return marks.get(TOWN_MARK) == town_id and runtime is not None and runtime not in live_runtimes

    return await _kill_all(is_leftover)


async def sweep_run(*, session: int, group: int, child_id: str) -> tuple[int, ...]:
    """Kill and reap what is left of a run whose shim has died; returns the pids.

    `session` is the pid of the shim, `group` that of the CLI (0 if it never started), `child_id` the value of
    `CHILD_MARK`. What has left the session and cleared its environment as well is not found.
    """
    if sys.platform != "linux" and group:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    me = os.getpid()
    sessions = {session}  # grows: whoever shares the session of a marked process belongs to the run as well
    ours = os.getsid(0)

    def is_left(process: Process) -> bool:
        if process.pid in (me, session) or process.session == ours:
            return False
        if process.zombie and process.parent != me:
            return False
        if process.session in sessions or (group and process.group == group):
            return True
        marked = not process.zombie and marks_of(process.pid).get(CHILD_MARK) == child_id
        if marked:
            sessions.add(process.session)
        return marked

    return await _kill_all(is_left)


def _ancestry() -> frozenset[int]:
    found = set()
    pid = os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        process = look_at(pid)
        pid = process.parent if process is not None else 0
    return frozenset(found)


async def _kill_all(is_meant: Callable[[Process], bool]) -> tuple[int, ...]:
    killed: dict[int, None] = {}
    for _ in range(_PASSES):
        found = [process for process in all_processes() if is_meant(process)]
        if not found:
            break
        with trio.move_on_after(_DEATH_S):
            for process in found:
                if await _kill(process):
                    killed[process.pid] = None
        await trio.lowlevel.checkpoint()
    return tuple(killed)


async def _kill(process: Process) -> bool:
    """SIGKILL and wait for the end; reaps it if it is our child. False if it was gone by then."""
    try:
        handle = os.pidfd_open(process.pid)
    except (OSError, AttributeError):
        return False
    try:
        again = look_at(process.pid)
        if again is None or again.start_time != process.start_time:
            return False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        await trio.lowlevel.wait_readable(handle)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)  # noqa: ASYNC222  (it does not wait)
    finally:
        trio.lowlevel.notify_closing(handle)
        os.close(handle)
    return True
