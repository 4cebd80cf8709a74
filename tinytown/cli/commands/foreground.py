"""`tt spawn --foreground` and `tt restart --foreground`: the agent in the runtime, its output in this terminal.

The runtime runs the agent as it runs any other; this process only reads along, so nothing is lost when the
terminal goes away. Ctrl-C is the exception that it knows: it asks the agent to end now.
"""

from __future__ import annotations

from threading import Event, Thread
from typing import TYPE_CHECKING

from tinytown.cli.commands.agents import beside, log_of
from tinytown.cli.commands.waiting import persist
from tinytown.cli.failures import INTERRUPTED
from tinytown.cli.render import agents as render
from tinytown.cli.session import place
from tinytown.cli.tail import LogTail
from tinytown.cli.terminal import flush, note, say
from tinytown.errors import TownError
from tinytown.lifecycle import AgentState
from tinytown.runtime.operations import agents as operations
from tinytown.transport.blocking import run_sync

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tinytown.records import Agent
    from tinytown.runtime.operations.agents import Restart, Spawn, Spawned
    from tinytown.runtime.town import Town

_LOOK = 0.1
"""Seconds between looks at the logs, while nothing tells that the agent has ended."""


def run_spawn(town: Town, request: Spawn) -> int:
    """Start an agent and stay with it until it ends."""
    tail = LogTail(town.files, request.name)
    result = run_sync(operations.spawn(town, request))
    beside(result)
    return _stay(town, result, tail, render.spawned(result, place(town, log_of(town, result)), background=False))


def run_restart(town: Town, request: Restart) -> int:
    """Start an agent again and stay with it until it ends."""
    tail = LogTail(town.files, run_sync(town.store.find_agent(request.agent)).name)
    result = run_sync(operations.restart(town, request))
    beside(result)
    return _stay(town, result, tail, render.restarted(result, place(town, log_of(town, result))))


def _stay(town: Town, result: Spawned, tail: LogTail, beginning: Iterable[str]) -> int:
    """Tell of the beginning and stay until the end. From the first line on Ctrl-C ends the agent."""
    watch = _Watch(town, result.agent)
    watch.start()
    try:
        say(*beginning)
        while not watch.over.wait(_LOOK):
            say(*tail.lines())
            flush()
    except KeyboardInterrupt:
        return _stop(town, result.agent)
    say(*tail.lines(), *tail.rest())
    if watch.failure is not None:
        raise watch.failure
    assert watch.agent is not None
    say(render.ended(watch.agent))
    return 1 if watch.agent.state is AgentState.ERROR else 0


class _Watch(Thread):
    """Waits for the end of the agent, on a connection of its own."""

    def __init__(self, town: Town, agent: Agent) -> None:
        super().__init__(daemon=True)
        self._town = town
        self._id = agent.id
        self.over = Event()
        self.agent: Agent | None = None
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Wait, then say so."""
        try:
            self.agent = persist(self._wait)
        except BaseException as error:
            self.failure = error
        finally:
            self.over.set()

    def _wait(self) -> Agent:
        from tinytown.records import Agent
        from tinytown.runtime.opening import open_blocking
        from tinytown.runtime.operations.waiting import Wait, wait

        with open_blocking(self._town.root, environ=self._town.environ) as town:
            found = run_sync(wait(town, Wait(agent=self._id)))
        assert isinstance(found, Agent)
        return found


def _stop(town: Town, agent: Agent) -> int:
    """Ask the agent to end now; over a new connection, since the old one may be gone."""
    from tinytown.runtime.opening import open_blocking
    from tinytown.runtime.operations.ending import Kill, kill

    try:
        with open_blocking(town.root, environ=town.environ) as again:
            run_sync(kill(again, Kill(agent.id, now=True)))
    except TownError as error:
        note(f"Note: {error.message}")
    else:
        note(f"🛑 Requested stop for agent '{agent.name}'")
    return INTERRUPTED
