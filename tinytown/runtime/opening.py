"""Open a town: find its ground, connect, make sure that Redis holds this very town, and see who asks.

What must be true: a town is open only when Redis holds the id and the incarnation mark that this host knows. Data
that vanished, or another town's data, is an error and never an empty town.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, cast

from tinytown.errors import Forbidden, NotInitialized, RedisUnreachable, TownDataLost, TownNameTaken
from tinytown.runtime.caller import PERSON, Caller, credential, verified
from tinytown.runtime.ground import Ground, survey
from tinytown.runtime.town import Town
from tinytown.text import term_safe
from tinytown.transport.disk import read_inside
from tinytown.transport.files import read_incarnation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from tinytown.ids import AgentId
    from tinytown.transport.connection import Connection, Value
    from tinytown.transport.multiplexed import MultiplexedConnection

NAME_FILE = "name"
"""In the state directory: what the town was called when it was made, to tell a changed name from lost data."""

_NAME_BYTES = 1024
_TOWN_ID_VARIABLE = "TINYTOWN_TOWN_ID"
_SERVER_WITHIN = 10.0
"""Seconds that an agent's `tt` waits for a server that died; a runtime starts it again in less than one."""

_CLOSING = 2.0
"""Seconds for the last writes of a town that is closed."""


@contextmanager
def open_blocking(place: Path, *, environ: Mapping[str, str], start: bool = True) -> Iterator[Town]:
    """The town that `place` is in, on a connection for one thread: run its operations with `run_sync`.

    Its server is asked first and started only when it does not answer; never without `start`.
    Raises as `Town.connect`, and `Forbidden` for the credential of an agent that is not one of this town.
    """
    from tinytown.transport.blocking import BlockingConnection, run_sync

    ground = survey(place, environ=environ)
    mark = _known_mark(ground)
    with BlockingConnection(ground.address) as connection:
        try:
            caller = run_sync(_admit(connection, ground, mark, environ))
        except RedisUnreachable:
            if ground.server is None or not start:
                raise
            if credential(environ) is None:
                ground.server.ensure()
            else:
                _await_server(ground)
            caller = run_sync(_admit(connection, ground, mark, environ))
        yield Town(ground, connection, caller, environ=environ)


@asynccontextmanager
async def open_async(start: Path, *, environ: Mapping[str, str], grouped: bool = False) -> AsyncIterator[Town]:
    """The town that `start` is in, under trio; raises as `open_blocking`.

    `grouped`: what many tasks send at the same moment goes to the server together (`transport.batch`). What the
    block raises leaves it as it is, in no exception group.
    """
    import trio

    from tinytown.transport.batch import Grouped

    ground = survey(start, environ=environ)
    mark = _known_mark(ground)
    failure: BaseException | None = None
    async with AsyncExitStack() as stack:
        connection = await _connected(stack, ground)
        caller = await _admit(connection, ground, mark, environ)
        async with trio.open_nursery() as nursery:
            batch = Grouped(nursery) if grouped else None
            town = Town(ground, connection, caller, environ=environ, nursery=nursery, batch=batch)
            try:
                yield town
            except BaseException as error:  # raised again below, outside the nursery
                failure = error
            with trio.move_on_after(_CLOSING, shield=True):
                await town.close()
            nursery.cancel_scope.cancel()
        try:
            if failure is not None:
                raise failure
        finally:
            del failure


def _await_server(ground: Ground) -> None:
    """Wait until the runtime has started the server again.

    An agent starts none itself: whatever comes out of its round ends with the round.
    """
    from time import monotonic, sleep

    from tinytown.transport.blocking import BlockingConnection, run_sync
    from tinytown.transport.connection import pauses

    deadline = monotonic() + _SERVER_WITHIN
    for pause in pauses():
        sleep(pause)
        with BlockingConnection(ground.address) as connection:
            try:
                run_sync(connection.execute("PING"))
            except RedisUnreachable:
                if monotonic() > deadline:
                    raise
            else:
                return


async def _connected(stack: AsyncExitStack, ground: Ground) -> MultiplexedConnection:
    import trio

    from tinytown.transport.multiplexed import MultiplexedConnection

    try:
        return await stack.enter_async_context(MultiplexedConnection.open(ground.address))
    except RedisUnreachable:
        if ground.server is None:
            raise
    await trio.to_thread.run_sync(ground.server.ensure)
    return await stack.enter_async_context(MultiplexedConnection.open(ground.address))


def _known_mark(ground: Ground) -> str:
    """The incarnation mark that this host knows; without one the town was never finished."""
    mark = read_incarnation(ground.state.directory)
    if mark is None:
        raise NotInitialized(term_safe(str(ground.root), lines=False))
    return mark


async def _admit(connection: Connection, ground: Ground, mark: str, environ: Mapping[str, str]) -> Caller:
    """Who asks, after it was made sure that Redis holds this town. One round trip."""
    shown = credential(environ)
    commands: list[tuple[Value, ...]] = [("GET", ground.keys("town_id")), ("GET", ground.keys("incarnation"))]
    if shown is not None:
        commands += [
            ("HGET", ground.keys("tokens"), shown.agent_id),
            ("GET", ground.keys("agent", shown.agent_id)),
        ]
    if ground.directory is None:
        commands.append(("INFO",))
    found = cast("list[bytes | None]", await connection.pipeline(commands, repeat=True))
    if ground.directory is None:
        from tinytown.transport.server_probe import check_external, parse_info

        check_external(parse_info(found[-1] or b""))
    _check_identity(ground, mark, found[0], found[1])
    if shown is None:
        return PERSON
    theirs = environ.get(_TOWN_ID_VARIABLE)
    if theirs and theirs != ground.state.town_id:
        raise Forbidden(
            f"You are an agent of another town, and have no rights in '{ground.settings.name}'",
            hint="A program that only uses Tinytown should run without the variables TINYTOWN_*.",
        )
    return verified(shown, found[2], _name(found[3], shown.agent_id))


def _check_identity(ground: Ground, mark: str, town_id: bytes | None, incarnation: bytes | None) -> None:
    here, where = ground.settings.name, ground.address.url
    if town_id == ground.state.town_id.encode() and incarnation == mark.encode():
        return
    first = (read_inside(ground.state.directory, [NAME_FILE], limit=_NAME_BYTES) or b"").decode("utf-8", "replace")
    if town_id != ground.state.town_id.encode() and first and first != here:
        shown = term_safe(first, lines=False)
        raise TownDataLost(
            f"This town is called '{shown}' in Redis, and '{here}' in {ground.files.config.name}",
            hint=f'The name is part of every key and cannot be changed: put name = "{shown}" back.',
        )
    if town_id is None and incarnation is None:
        raise TownDataLost(
            f"Redis at {where} answers, but holds nothing of town '{here}': its data was deleted or lost",
            hint="Bring the data back and try again; or give it up and begin empty: tt init --fresh",
        )
    if town_id != ground.state.town_id.encode():
        raise TownNameTaken(
            f"Redis at {where} holds another town that is called '{here}'",
            hint="Check the address of Redis; if it is right, this town needs another name or another server.",
        )
    raise TownDataLost(
        f"Redis at {where} holds town '{here}' in a state that this host does not know: "
        "it was begun anew or restored elsewhere",
        hint="If that was meant, take it over with: tt init --join",
    )


def _name(record: bytes | None, agent_id: AgentId) -> str:
    """The name in an agent's record; its id when there is none that can be read."""
    from tinytown.errors import BadMessage
    from tinytown.records import Agent

    try:
        return Agent.decode(record or b"").name
    except BadMessage:
        return agent_id
