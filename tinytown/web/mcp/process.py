"""The process of `townhall mcp-stdio`: one client on standard input and output, until it goes or a signal comes."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from tinytown.actors.processes import look_at, marks_of
from tinytown.errors import Invalid, first_cause
from tinytown.runtime.caller import ID_VARIABLE, TOKEN_VARIABLE, Scope
from tinytown.runtime.opening import open_async
from tinytown.web.log import Lines
from tinytown.web.mcp.changes import Changes
from tinytown.web.mcp.desk import DEFAULT_SCOPES, LocalDesk, limited
from tinytown.web.mcp.server import TownServer
from tinytown.web.mcp.stdio import messages, take_over

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.web.arguments import Asked


def run_stdio(asked: Asked) -> int:
    """Serve the client that started this process; gives the exit status. Raises what opening the town raises."""
    scopes = DEFAULT_SCOPES if asked.scopes is None else parse_scopes(asked.scopes)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    logging.basicConfig(handlers=[handler], level=logging.INFO if asked.verbose else logging.WARNING)
    reading, writing = take_over()
    try:
        return trio.run(_serve, Path(asked.town), with_credential(os.environ), scopes, reading, writing)
    except BaseExceptionGroup as group:
        raise first_cause(group) from None


def parse_scopes(text: str) -> frozenset[Scope]:
    """The scopes in a list with commas. Raises `Invalid` for one that there is not."""
    known = {str(each): each for each in Scope}
    names = [name.strip() for name in text.split(",") if name.strip()]
    wrong = next((name for name in names if name not in known), None)
    if wrong is not None:
        raise Invalid(f"There is no scope '{wrong}'", hint=f"Known are: {', '.join(known)}")
    return frozenset(known[name] for name in names)


def with_credential(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment, with the credential of the agent that all this is done for.

    Many clients keep most of their environment from the servers they start. An agent must not become a person by
    that, so where there is no credential the processes that led here are asked for theirs (Linux).
    """
    if environ.get(ID_VARIABLE) or environ.get(TOKEN_VARIABLE):
        return environ
    above = look_at(os.getppid())
    while above is not None and above.pid > 1:
        marks = marks_of(above.pid)
        if marks.get(ID_VARIABLE) and marks.get(TOKEN_VARIABLE):
            return {**environ, **marks}
        above = look_at(above.parent)
    return environ


async def _serve(start: Path, environ: Mapping[str, str], scopes: frozenset[Scope], reading: int, writing: int) -> int:
    status = 0
    async with open_async(start, environ=environ) as opened, trio.open_nursery() as nursery:

        async def obey(task_status: trio.TaskStatus[None]) -> None:
            nonlocal status
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                task_status.started()
                async for number in signals:
                    status = 128 + number
                    nursery.cancel_scope.cancel()

        await nursery.start(obey)
        town = limited(opened, scopes)
        server = TownServer(LocalDesk(town), Changes(town, nursery))
        async with messages(reading, writing) as (incoming, outgoing):
            await server.sdk.run(incoming, outgoing, server.options())
        nursery.cancel_scope.cancel()
    return status
