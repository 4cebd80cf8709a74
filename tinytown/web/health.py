"""Whether townhall is alive, and whether it can serve. Both are public, and say nothing of the town."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from tinytown.errors import TownError
from tinytown.web.figures import dispatcher, figures_of, ping, scaling
from tinytown.web.routes.call import Answer, json_answer

if TYPE_CHECKING:
    from tinytown.messages import JsonObject
    from tinytown.web.routes.call import Call

READY_WITHIN = 2.0
"""Seconds that Redis may take."""


async def healthz(call: Call) -> Answer:
    """The process serves."""
    await trio.lowlevel.checkpoint()
    return json_answer({"status": "ok", "uptime_secs": int(trio.current_time() - call.hall.started_at)})


async def readyz(call: Call) -> Answer:
    """So does Redis. Whether missions get on is told beside it, and decides nothing."""
    shown: JsonObject | None = None
    if not call.hall.stopping.is_set():
        with trio.move_on_after(READY_WITHIN), suppress(TownError):
            latency = await ping(call.hall.town)
            missions = await dispatcher(call.hall.town)
            shown = {"redis": "connected", "redis_latency_ms": round(latency * 1000, 3), "dispatcher": missions}
    if shown is None:
        return json_answer({"status": "not_ready", "redis": "disconnected", "dispatcher": "unknown"}, 503)
    return json_answer({"status": "ready", **shown})


async def scaling_page(call: Call) -> Answer:
    """How many agents there should be."""
    return json_answer(scaling(await figures_of(call.town), time.time()))
