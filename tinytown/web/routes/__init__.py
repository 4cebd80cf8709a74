"""The routes of townhall: a table of operations, and the few endpoints that are more than one operation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tinytown.transport.answers import Answers
from tinytown.web.events import EventHub
from tinytown.web.metrics import Metrics
from tinytown.web.routes.call import json_answer
from tinytown.web.routes.endpoint import OperationEndpoint
from tinytown.web.routes.openapi import describe
from tinytown.web.routes.pages import pages
from tinytown.web.routes.repeats import Repeats
from tinytown.web.routes.router import TownRouter
from tinytown.web.routes.special import specials
from tinytown.web.routes.table import ROUTES
from tinytown.web.schemas.types import operations

if TYPE_CHECKING:
    from tinytown.web.hall import Hall
    from tinytown.web.routes.call import Answer, Call
    from tinytown.web.routes.endpoint import Endpoint

__all__ = ("TownRouter", "make_router")


def make_router(hall: Hall) -> TownRouter:
    """The routes of this hall."""
    metrics = Metrics()
    hub = EventHub(hall, listeners=(metrics.hear,))

    async def metrics_page(call: Call) -> Answer:
        return await metrics.page(
            call.town, {"tinytown_event_clients": len(hub.clients), "tinytown_event_clients_cut": hub.cut}
        )

    described: list[Answer] = []

    async def description(call: Call) -> Answer:
        await trio.lowlevel.checkpoint()
        if not described:
            described.append(json_answer(describe(endpoints)))
        return described[0]

    known = operations()
    repeats = Repeats(Answers(hall.town.connection, hall.town.keys))
    endpoints: list[Endpoint] = [
        *(OperationEndpoint(route, known[route.operation], repeats) for route in ROUTES),
        *specials(metrics=metrics_page, events=hub.serve, description=description),
        *pages(),
    ]
    return TownRouter(hall, endpoints, metrics=metrics, hub=hub)
