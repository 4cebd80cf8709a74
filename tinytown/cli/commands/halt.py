"""`tt stop --redis`: end the runtime of this host, then the town's own server."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from tinytown.cli.terminal import note
from tinytown.errors import RuntimeFailed
from tinytown.transport.blocking import run_sync
from tinytown.transport.files import try_lock

if TYPE_CHECKING:
    from tinytown.runtime.town import Town

_PATIENCE = 5.0
"""Seconds beyond the grace of the turns, for the last writes of a runtime."""

_PAUSE = 0.05
"""Seconds between looks at a lock that somebody else holds: the kernel has no bell with a limit of time for it."""


def halt(town: Town) -> bool:
    """End this host's runtime of the town, letting running turns end, then the server; says if there was one."""
    _end_runtime(town)
    server = town.ground.server
    if server is None or town.settings.redis.central:
        if server is not None:
            note("Note: the central Redis serves other towns, too, and goes on.")
        return False
    return server.stop()


def _end_runtime(town: Town) -> None:
    lock = town.ground.state.runtime_lock
    if not lock.exists():
        return
    deadline = time.monotonic() + town.settings.runtime.stop_grace + _PATIENCE
    asked: set[int] = set()
    while (held := try_lock(lock)) is None:
        for card in run_sync(town.placement.runtimes()):
            if card.host == town.ground.host and card.pid > 0 and card.pid not in asked:
                asked.add(card.pid)
                with suppress(ProcessLookupError):
                    os.kill(card.pid, signal.SIGTERM)
        if time.monotonic() > deadline:
            raise RuntimeFailed(
                f"The runtime of this town does not end (pid {', '.join(map(str, asked)) or 'unknown'})",
                hint="Its Redis is left running, so that nothing is lost. Look into .tt/logs/runtime.log.",
            )
        time.sleep(_PAUSE)
    held.release()
