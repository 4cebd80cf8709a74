"""The end of what works for a town on this host: its runtime, then its server.

The order matters: a runtime writes its last words before its server may go. Both are asked; a server is only
stopped when the runtime has ended, so that nothing is lost.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from tinytown.errors import RuntimeFailed
from tinytown.transport.blocking import run_sync
from tinytown.transport.files import try_lock

if TYPE_CHECKING:
    from tinytown.runtime.ground import Ground
    from tinytown.runtime.town import Town

_PATIENCE = 5.0
"""Seconds beyond the grace of the turns, for the last writes of a runtime."""

_PAUSE = 0.05
"""Seconds between looks at a lock that somebody else holds: the kernel has no bell with a limit of time for it."""


def runtime_pids(town: Town) -> list[int]:
    """The processes that say they are the town's runtime on this host."""
    host = town.ground.host
    return [card.pid for card in run_sync(town.placement.runtimes()) if card.host == host and card.pid > 0]


def end_runtime(town: Town) -> None:
    """Ask the town's runtime on this host to end, and wait until it has; returns at once when there is none.

    Running turns may go on for the grace of the configuration. Raises `RuntimeFailed` when it lives on after that.
    """
    lock = town.ground.state.runtime_lock
    if not lock.exists():
        return
    deadline = time.monotonic() + town.settings.runtime.stop_grace + _PATIENCE
    asked: set[int] = set()
    while (held := try_lock(lock)) is None:
        # One that begins is on the list only a moment after it has taken the lock.
        for pid in set(runtime_pids(town)) - asked:
            asked.add(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if time.monotonic() > deadline:
            raise RuntimeFailed(
                f"The runtime of this town does not end (pid {', '.join(map(str, asked)) or 'unknown'})",
                hint="Its Redis is left running, so that nothing is lost. Look into .tt/logs/runtime.log.",
            )
        time.sleep(_PAUSE)
    held.release()


def stop_server(ground: Ground) -> bool:
    """Stop the town's own server; says if one ran. A central one serves other towns, too, and goes on."""
    if ground.server is None or ground.settings.redis.central:
        return False
    return ground.server.stop()
