"""`Town`: the handle on everything a town has. Operations take it; the Python API is made of its methods.

It is made by opening a town (`tinytown.runtime.opening`), on either kind of connection. This module does not
import trio; only the methods of the Python API, which run under it, need it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tinytown.transport.journal import Journal
from tinytown.transport.mailbox import Mailbox
from tinytown.transport.missions import Missions
from tinytown.transport.placement import Placement
from tinytown.transport.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    import trio

    from tinytown.config import Settings
    from tinytown.records import Agent
    from tinytown.runtime.caller import Caller
    from tinytown.runtime.channel import Channel
    from tinytown.runtime.ground import Ground
    from tinytown.runtime.handle import AgentHandle
    from tinytown.transport.batch import Batch
    from tinytown.transport.connection import Connection
    from tinytown.transport.files import TownFiles
    from tinytown.transport.keys import Keys

T = TypeVar("T")


class Town:
    """One town, open.

    >>> async def main():
    ...     async with Town.connect(".") as town:
    ...         worker = await town.spawn_agent("worker-1", cli="claude")
    ...         task_id = await worker.assign("Write the tests of the parser")
    ...         task = await worker.wait_task(task_id)
    ...         print(task.state, task.result)

    `notices` are lines that a person should see. `nursery` is None on a connection for one thread.
    """

    __slots__ = (
        "_channel",
        "caller",
        "connection",
        "environ",
        "ground",
        "journal",
        "mailbox",
        "missions",
        "notices",
        "nursery",
        "placement",
        "store",
    )

    def __init__(
        self,
        ground: Ground,
        connection: Connection,
        caller: Caller,
        *,
        environ: Mapping[str, str],
        nursery: trio.Nursery | None = None,
        batch: Batch | None = None,
    ) -> None:
        limits = ground.settings.limits
        self.ground = ground
        self.connection = connection
        self.caller = caller
        self.environ = environ
        self.nursery = nursery
        self.notices = ground.settings.notices
        self.store = Store(connection, ground.keys, limits)
        self.mailbox = (
            Mailbox(connection, ground.keys, limits)
            if batch is None
            else Mailbox(connection, ground.keys, limits, batch)
        )
        self.journal = Journal(connection, ground.keys, length=limits.events)
        self.placement = Placement(connection, ground.keys, limits)
        self.missions = Missions(connection, ground.keys)
        self._channel: Channel | None = None

    @classmethod
    def connect(cls, path: str | Path = ".") -> AbstractAsyncContextManager[Town]:
        """Open the town that `path` is in, for the time of an `async with` block.

        Needs trio. Its server is started if need be. Raises `NotInitialized` when there is no town,
        `InvalidConfig`, `TownDataLost` when Redis does not hold the town's data, and the kinds of `Unavailable`
        when Redis cannot be reached or started.
        """
        import os

        from tinytown.runtime.opening import open_async

        return open_async(Path(path), environ=os.environ)

    @classmethod
    @asynccontextmanager
    async def init(cls, path: str | Path = ".", name: str | None = None) -> AsyncIterator[Town]:
        """Make a town in this directory, which is made if need be, and open it for the time of the block.

        Without a name it is called after the git repository and branch, or after the directory. Raises
        `AlreadyInitialized`, `TownNameTaken`, `InvalidName`, and what `connect` raises.
        """
        import os

        import trio

        from tinytown.runtime.opening import open_async
        from tinytown.runtime.operations.initialize import InitRequest, initialize

        request = InitRequest(Path(path), name)
        await trio.to_thread.run_sync(lambda: initialize(request, environ=os.environ))
        async with open_async(Path(path), environ=os.environ) as town:
            yield town

    @property
    def name(self) -> str:
        """The town's name."""
        return self.ground.settings.name

    @property
    def root(self) -> Path:
        """The project's directory, absolute."""
        return self.ground.root

    @property
    def config(self) -> Settings:
        """All settings, as they were read when the town was opened."""
        return self.ground.settings

    @property
    def settings(self) -> Settings:
        """The same as `config`."""
        return self.ground.settings

    @property
    def files(self) -> TownFiles:
        """Where its files are."""
        return self.ground.files

    @property
    def keys(self) -> Keys:
        """Its keys in Redis."""
        return self.ground.keys

    @property
    def channel(self) -> Channel:
        """Messages and records, directly."""
        if self._channel is None:
            from tinytown.runtime.channel import Channel

            self._channel = Channel(self)
        return self._channel

    async def spawn_agent(
        self,
        name: str,
        cli: str | None = None,
        *,
        max_rounds: int | None = None,
        role: str | None = None,
        worktree: bool | None = None,
    ) -> AgentHandle:
        """Create and start an agent; a stopped one of this name is started again under its id.

        `cli` names an agent CLI, by default that of the configuration; `max_rounds` is how often it may run;
        `worktree` whether it works in a git worktree of its own. Raises `InvalidName`, `UnknownCli`, `AgentExists`,
        `TooManyAgents`, `RuntimeFailed`, and `Conflict` when there can be no worktree.

        >>> async def main(town):
        ...     reviewer = await town.spawn_agent("reviewer", cli="codex", max_rounds=3)
        ...     print(reviewer.id)
        """
        from tinytown.runtime.handle import AgentHandle
        from tinytown.runtime.operations.agents import Spawn, spawn

        spawned = await spawn(self, Spawn(name, cli=cli, max_rounds=max_rounds, role=role, worktree=worktree))
        return AgentHandle(self, spawned.agent)

    async def agent(self, name: str) -> AgentHandle:
        """The agent of this name, id, or unique prefix of its id; `AgentNotFound`, `AmbiguousId`."""
        from tinytown.runtime.handle import AgentHandle

        return AgentHandle(self, await self.store.find_agent(name))

    async def list_agents(self) -> list[Agent]:
        """All agents, stopped ones too, in the order of creation."""
        return await self.store.agents()

    async def aside(self, work: Callable[[], T]) -> T:
        """Do what blocks: in a worker thread under trio, at once otherwise."""
        if self.nursery is None:
            return work()
        import trio

        return await trio.to_thread.run_sync(work)

    async def close(self) -> None:
        """Give back what the channel holds. Whoever opened the town calls it, while the connection is there."""
        if self._channel is not None:
            await self._channel.close()
