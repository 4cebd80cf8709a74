"""A companion of the runtime: a process that lives beside it, as long as it and no longer, and may die without harm.

Its standard input is a pipe that nobody but the runtime holds open: with the end of that it has to end, so it does
when the runtime was killed, too. (The signal that Linux sends at a parent's death would come when the thread that
started it ends.)
"""

from __future__ import annotations

import subprocess
import time
from random import random
from typing import TYPE_CHECKING

import trio

from tinytown.actors.processes import sweep_run
from tinytown.runtime.restart import GiveUp, RestartPolicy, after_crash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BEGIN_AFTER = 0.5
"""Seconds before each start. At the beginning of a runtime the rounds of its agents go first, and one that lives but a
moment needs no companion. A low priority would do that, too, but the commands that it does would keep it."""

_END_WITHIN = 0.5
"""Seconds that a runtime which ends waits for it. What it has in hand then may wait for the next runtime, which waits
for the end of this one; it ends by itself soon after."""

_POLICY = RestartPolicy(base=1.0)

_KEPT = ("PYTHON", "LD_", "LC_", "LANG")
"""How the variables begin that it gets, by which Python finds its modules and its encodings. Whatever else is in the
runtime's environment could be read by every process of this user."""


async def accompany(command: Sequence[str], *, environ: Mapping[str, str], report: Callable[[str], None]) -> None:
    """Keep a process of this command alive until the caller cancels, or it has crashed too often."""
    crashes: tuple[float, ...] = ()
    seconds = 0.0
    while True:
        await trio.sleep(BEGIN_AFTER + seconds)
        try:
            status = await _live(command, environ)
        except OSError as error:
            report(f"{_name(command)} could not be started: {error}")
            return
        if status == 0:
            continue
        crashes, decision = after_crash(_POLICY, crashes, time.monotonic(), random())  # noqa: S311
        if isinstance(decision, GiveUp):
            report(f"{_name(command)} ended {decision.crashes} times by a crash; it is not started again")
            return
        seconds = decision.seconds


def _name(command: Sequence[str]) -> str:
    return f"The companion '{' '.join(command)}'"


async def _live(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """One life; gives the exit status."""
    with trio.CancelScope(shield=True):
        process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={name: value for name, value in environ.items() if name.startswith(_KEPT) or name == "HOME"},
        )
    try:
        return await process.wait()
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)


async def _end(process: trio.Process) -> None:
    assert process.stdin is not None
    await process.stdin.aclose()
    with trio.move_on_after(_END_WITHIN):
        await process.wait()
    if process.returncode:
        # What it had started died with it, and is left to us to be reaped.
        await sweep_run(session=process.pid, group=0, child_id="")
