"""`tt wait`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from tinytown.cli.deadline import deadline
from tinytown.cli.session import ask
from tinytown.cli.terminal import remark, say
from tinytown.errors import RedisUnreachable
from tinytown.lifecycle import AgentState, TaskState
from tinytown.records import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinytown.cli.asked import WaitFor
    from tinytown.cli.invocation import Common
    from tinytown.records import Agent
    from tinytown.runtime.operations.waiting import Wait
    from tinytown.runtime.town import Town

T = TypeVar("T")

_MOST_LOSSES = 10
"""Connections that a wait may lose before it gives up: a server that dies so often needs a person."""

_PAUSE = 0.2
"""Seconds before the town is opened again."""


def wait(request: WaitFor, common: Common) -> int:
    """Wait for an end; what keeps it from coming is said at once.

    Fails when the agent is in error, or the task did not come to a good end.
    """
    from tinytown.runtime.operations.waiting import outlook
    from tinytown.runtime.operations.waiting import wait as operation

    told: set[str] = set()

    async def watched(town: Town, asked: Wait) -> Agent | Task:
        why = await outlook(town, asked)
        if why is not None and why not in told:
            told.add(why)
            remark(why)
        return await operation(town, asked)

    asked = request.request
    what = f"agent '{asked.agent}'" if asked.agent is not None else f"task {asked.task}"
    limit = f"{request.seconds:g} s" if request.seconds is not None else ""
    with deadline(request.seconds, f"The end of {what} did not come within {limit}"):
        found = persist(lambda: ask(common, watched, asked))
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(found))
    elif isinstance(found, Task):
        from tinytown.cli.render.tasks import waited

        say(*waited(found))
    else:
        from tinytown.cli.render.agents import ended

        say(ended(found))
    bad = (AgentState.ERROR, TaskState.FAILED, TaskState.CANCELLED)
    return 1 if found.state in bad else 0


def persist(attempt: Callable[[], T]) -> T:
    """Wait over the death of the server: opening the town starts it again, and a wait changes nothing."""
    for _ in range(_MOST_LOSSES):
        try:
            return attempt()
        except RedisUnreachable:
            time.sleep(_PAUSE)
    return attempt()
