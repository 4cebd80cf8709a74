"""Make a town.

The steps are ordered so that a crash between any two of them leaves something that the next `tt init` completes:
directories and id, configuration, server, records in one commit, and last the mark on this host that says "this
town exists". All of them happen under a lock, so of several at once exactly one makes the town.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, cast

from tinytown.config import PROJECT_FILE, default_toml, load
from tinytown.errors import AlreadyInitialized, Conflict, Forbidden, TownError, TownNameTaken
from tinytown.ids import new_id, town_name
from tinytown.records import Event
from tinytown.runtime.ground import Ground, ground_of
from tinytown.runtime.local_token import ensure_token
from tinytown.runtime.naming import default_name
from tinytown.runtime.opening import NAME_FILE
from tinytown.text import term_safe
from tinytown.transport.disk import atomic_write, private_directory
from tinytown.transport.files import (
    TownFiles,
    TownState,
    locked,
    read_incarnation,
    update_gitignore,
    write_incarnation,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.transport.connection import Connection

SCHEMA = "1"
"""The version of the layout in Redis."""


@dataclass(frozen=True, slots=True)
class InitRequest:
    """A town in `root`; without a name it is called after the git repository and branch, or the directory.

    `join`: another host has this town on the same Redis; share it. `fresh`: its data is lost; begin without it.
    `listed`: enter it in the user's list of towns.
    """

    root: Path
    name: str | None = None
    join: bool = False
    fresh: bool = False
    listed: bool = True


@dataclass(frozen=True, slots=True)
class Initialized:
    """`socket`: the server is our own, reached through a Unix socket. `kept_config`: `tinytown.toml` was there."""

    name: str
    root: Path
    started_server: bool
    socket: bool = True
    kept_config: bool = False
    restored: bool = False
    joined: bool = False
    notices: tuple[str, ...] = ()


def initialize(request: InitRequest, *, environ: Mapping[str, str]) -> Initialized:
    """Make a town. Blocks: under trio call it in a worker thread.

    A `tinytown.toml` that is there, as in a fresh clone, is kept, and the rest is made. Raises
    `AlreadyInitialized`, `InvalidName`, `InvalidConfig`, `TownNameTaken` for a name that another town on the same
    Redis has, and what starting or reaching the server raises.
    """
    if request.name is not None:
        town_name(request.name)
    try:
        request.root.mkdir(parents=True, exist_ok=True)
        made = _initialize(request, TownFiles(request.root, environ=environ), environ)
    except OSError as error:
        kind = Forbidden if isinstance(error, PermissionError) else Conflict
        where = term_safe(str(error.filename or request.root), lines=False)
        raise kind(f"No town can be made here: {where}: {error.strerror}") from error
    return _listed(made) if request.listed else made


def _listed(made: Initialized) -> Initialized:
    """Enter the town in the user's list; the town is made, whatever becomes of that."""
    from tinytown.runtime.towns_file import register

    try:
        register(made.name, made.root, home=Path.home())
    except (TownError, OSError) as error:
        line = f"The town is not entered in the list of towns: {term_safe(str(error), lines=False)}"
        return replace(made, notices=(*made.notices, line))
    return made


def _initialize(request: InitRequest, files: TownFiles, environ: Mapping[str, str]) -> Initialized:
    kept_config = files.config.is_file()
    if kept_config and request.name is not None:
        _agree_on_name(files, request.name, environ)
    state, is_new = files.initialise()
    with locked(state.directory / "init.lock"):
        if read_incarnation(state.directory) is not None and not (request.fresh or request.join):
            raise _already(files)
        wrote_config = not files.config.is_file()
        if wrote_config:
            _write_config(files, request.name)
        try:
            return _make(files, state, request, environ, kept_config=not wrote_config)
        except BaseException:
            if wrote_config:
                # It would stand in the way of another try with another name.
                files.config.unlink(missing_ok=True)
            raise
        finally:
            if is_new and files.town_id() != state.town_id:
                # Joined: the town has the directory of its own id now.
                rmtree(state.directory, ignore_errors=True)


def _make(
    files: TownFiles, state: TownState, request: InitRequest, environ: Mapping[str, str], *, kept_config: bool
) -> Initialized:
    """Server, records, mark."""
    from tinytown.transport.blocking import BlockingConnection, run_sync

    update_gitignore(files.root)
    ground = ground_of(files, state, environ=environ)
    if ground.server is not None:
        ground.server.ensure()
    with BlockingConnection(ground.address) as connection:
        if ground.server is None:
            run_sync(_check_server(connection))
        if request.join:
            state, mark = run_sync(_join(connection, ground))
        else:
            mark = run_sync(_create(connection, ground, request, kept_config=kept_config))
    atomic_write(state.directory / NAME_FILE, ground.settings.name.encode())
    ensure_token(state.directory)
    write_incarnation(state.directory, mark)
    started = ground.server.binary if ground.server is not None else None
    saved = files.root / ground.settings.redis.aof_path
    offer = ("There is a save file of this town. Bring it back with: tt restore",) if saved.is_file() else ()
    return Initialized(
        name=ground.settings.name,
        root=files.root,
        started_server=started is not None,
        socket=ground.server is not None,
        kept_config=kept_config,
        joined=request.join,
        notices=(
            *ground.settings.notices,
            *(started.passed_over if started is not None else ()),
            *(() if request.join else offer),
        ),
    )


async def _create(connection: Connection, ground: Ground, request: InitRequest, *, kept_config: bool) -> str:
    """The records of a new town, in one commit; gives its mark. What an earlier, broken off try made is kept."""
    from tinytown.transport.store import Raced, Store

    keys, town_id, mark = ground.keys, ground.state.town_id, new_id()
    store = Store(connection, keys, ground.settings.limits)
    change = store.change().require_absent(keys("town_id")).require_absent(keys("incarnation"))
    change.write("SET", keys("town_id"), town_id).write("SET", keys("incarnation"), mark)
    change.write("SET", keys("schema"), SCHEMA).create_supervisor()
    change.tell(Event("town.initialized", detail=f"town '{ground.settings.name}'"))
    try:
        await store.commit(change)
    except Raced:
        found_id, found_mark = await _marks(connection, ground)
        if found_id == town_id and found_mark is not None:
            if request.fresh and found_mark == read_incarnation(ground.state.directory):
                raise _already(ground.files) from None
            return found_mark
        other = f"another name in {PROJECT_FILE}" if kept_config else "another one: tt init --name NAME"
        raise TownNameTaken(
            f"Another town on {ground.address.url} is called '{ground.settings.name}' already",
            hint=f"Choose {other}; or, if it is this very project on another host, share it: tt init --join",
        ) from None
    return mark


async def _join(connection: Connection, ground: Ground) -> tuple[TownState, str]:
    """Take over the id and the mark of a town that is in Redis already."""
    town_id, mark = await _marks(connection, ground)
    if town_id is None or mark is None:
        raise Conflict(
            f"There is no town '{ground.settings.name}' on {ground.address.url} to join",
            hint="Make it with 'tt init', or check the name and the address in tinytown.toml.",
        )
    state, files = ground.state, ground.files
    if town_id != state.town_id:
        private_directory(files.state_root / town_id)
        atomic_write(files.directory / "town", f"{town_id}\n".encode())
        state = files.state()
    return state, mark


async def _marks(connection: Connection, ground: Ground) -> tuple[str | None, str | None]:
    keys = ground.keys
    found = await connection.execute("MGET", keys("town_id"), keys("incarnation"), repeat=True)
    town_id, mark = cast("list[bytes | None]", found)
    return (town_id.decode() if town_id else None), (mark.decode() if mark else None)


async def _check_server(connection: Connection) -> None:
    from tinytown.transport.server_probe import check_external, parse_info

    check_external(parse_info(cast("bytes", await connection.execute("INFO", repeat=True))))


def _agree_on_name(files: TownFiles, name: str, environ: Mapping[str, str]) -> None:
    stated = load(files.root, environ=environ, home=Path.home()).name
    if stated != name:
        raise Conflict(
            f"{PROJECT_FILE} is there and calls this town '{term_safe(stated, lines=False)}'",
            hint="Leave --name out to use it, or change the name in that file first.",
        )


def _write_config(files: TownFiles, name: str | None) -> None:
    from tinytown.actors.drivers.presets import PRESETS

    presets = {preset.name: preset.command for preset in PRESETS.values()}
    atomic_write(files.config, default_toml(name or default_name(files.root), presets=presets).encode(), mode=0o644)


def _already(files: TownFiles) -> AlreadyInitialized:
    where = term_safe(str(files.root), lines=False)
    return AlreadyInitialized(
        f"There is a town at {where} already",
        hint="Use it: 'tt status' shows it, 'tt start' connects to it.",
    )
