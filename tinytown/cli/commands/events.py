"""`tt events`."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from tinytown.cli.render.events import EMPTY, line
from tinytown.cli.session import opened
from tinytown.cli.terminal import flush, say
from tinytown.runtime.operations import events as operations
from tinytown.transport.blocking import run_sync

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.cli.asked import EventsAsked
    from tinytown.cli.invocation import Common
    from tinytown.records import Event
    from tinytown.runtime.operations.events import Events
    from tinytown.runtime.town import Town


def events(request: EventsAsked, common: Common) -> int:
    """Show the last events, and with `follow` those to come; as JSON one array, or one object a line."""
    with opened(common) as town:
        found = run_sync(operations.events(town, request.request))
        if request.follow:
            for event in found.events:
                _tell(event, found.names, common)
            run_sync(_follow(town, request.request, found.position, common))
        elif common.json:
            from tinytown.cli.render.encode import dump

            say(dump(found.events))
        else:
            say(*([line(event, found.names) for event in found.events] or [EMPTY]))
    return 0


async def _follow(town: Town, asked: Events, position: str, common: Common) -> None:
    names: dict[str, str] = {}
    async with aclosing(operations.follow(town, asked, position)) as coming:
        async for event in coming:
            if event.agent and event.agent not in names:
                names = {str(known): name for known, name in (await town.store.names()).items()}
            _tell(event, names, common)


def _tell(event: Event, names: Mapping[str, str], common: Common) -> None:
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(event))
    else:
        say(line(event, names))
    flush()
