"""The process of `townhall`: signals in, exit status out.

SIGINT and SIGTERM end it within the grace; a second one cuts what still runs. SIGHUP reads the certificate again.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from tinytown.actors.child import harden_process
from tinytown.errors import first_cause
from tinytown.text import term_safe
from tinytown.web.log import begin_logging
from tinytown.web.run import Townhall, townhall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tinytown.web.arguments import Asked
    from tinytown.web.settings import TownhallSettings

_ENDS = (signal.SIGINT, signal.SIGTERM)


def run(asked: Asked) -> int:
    """Serve until a signal ends it; gives the exit status. Raises as `townhall`."""
    begin_logging(verbose=asked.verbose)
    harden_process()
    try:
        trio.run(_main, asked)
    except BaseExceptionGroup as group:
        raise first_cause(group) from None
    return 0


async def _main(asked: Asked) -> None:
    only_mcp = asked.mode == "mcp-http"

    def changed(found: TownhallSettings) -> TownhallSettings:
        port = found.mcp_port if only_mcp else found.port
        return replace(
            found,
            bind=found.bind if asked.bind is None else asked.bind,
            port=port if asked.port is None else asked.port,
        )

    with trio.open_signal_receiver(*_ENDS, signal.SIGHUP) as signals, trio.CancelScope() as whole:
        async with trio.open_nursery() as nursery:
            async with townhall(Path(asked.town), announce=_announce, settings=changed, only_mcp=only_mcp) as served:
                # What is there now stays: collecting garbage among it would only hold up every client, again and again.
                gc.collect()
                gc.freeze()
                _tell_ready(asked.ready_fd)
                await _until_asked(signals, served)
                _announce("👋 Closing townhall...")
                nursery.start_soon(_cut_at_next, signals, whole)
            nursery.cancel_scope.cancel()


async def _until_asked(signals: AsyncIterator[int], served: Townhall) -> None:
    async for number in signals:
        if number != signal.SIGHUP:
            return
        served.reload()


async def _cut_at_next(signals: AsyncIterator[int], whole: trio.CancelScope) -> None:
    async for number in signals:
        if number != signal.SIGHUP:
            whole.cancel()


def _announce(line: str) -> None:
    print(term_safe(line), flush=True, file=sys.stdout)


def _tell_ready(descriptor: int | None) -> None:
    if descriptor is not None:
        with suppress(OSError):
            os.write(descriptor, b"1")
            os.close(descriptor)
