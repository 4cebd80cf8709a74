"""The towns that this user has made, in `~/.tt/towns.toml`, and how each of them is.

What must be true: the file is replaced as a whole and under a lock, so of towns made at once none is lost. It is a
list for people and nothing is decided by it. To look at a town starts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from tinytown.config import PROJECT_FILE
from tinytown.config_file import read_file
from tinytown.errors import Conflict, InvalidConfig, NotInitialized, RedisUnreachable, TownError
from tinytown.text import term_safe
from tinytown.transport.disk import atomic_write
from tinytown.transport.locks import locked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.records import Agent

NAME = "towns.toml"


@dataclass(frozen=True, slots=True)
class Registered:
    """One entry: what the town was called when it was made, and its directory."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class TownLine:
    """An entry and how it is: `problem` says why a town that is neither online nor offline cannot be opened."""

    name: str
    path: str
    status: Literal["ok", "offline", "no config", "path not found", "problem"]
    agents: int | None = None
    active: int | None = None
    problem: str | None = None


def registered(*, home: Path) -> tuple[Registered, ...]:
    """All entries in the order of the file; none without a file. `InvalidConfig` for one that cannot be read."""
    return tuple(Registered(str(entry["name"]), str(entry["path"])) for entry in _entries(_document(home)))


def register(name: str, path: Path, *, home: Path) -> None:
    """Enter a town; a directory that is there already gets the name. Comments and other towns stay.

    Raises `InvalidConfig` for a file that cannot be read, `Conflict` for a path that is no text, `OSError`.
    """
    import tomlkit

    root = str(path.resolve())
    if not root.isprintable():
        raise Conflict("its path holds what a list cannot show")
    directory = home / ".tt"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(directory / f"{NAME}.lock"):
        document = _document(home)
        entries = _entries(document)
        for entry in entries:
            if entry["path"] == root:
                if entry["name"] == name:
                    return
                entry["name"] = name
                break
        else:
            if "towns" not in document:
                document["towns"] = tomlkit.aot()
            table = tomlkit.table()
            table.update({"name": name, "path": root})
            table.trivia.indent = "\n" if entries else ""
            cast("list[object]", document["towns"]).append(table)
        atomic_write(directory / NAME, tomlkit.dumps(document).encode(), mode=0o600)


def look(entry: Registered, *, environ: Mapping[str, str]) -> TownLine:
    """How a town is now. Starts no server; blocks until its Redis has answered or cannot be reached."""
    from tinytown.runtime.opening import open_blocking
    from tinytown.transport.blocking import run_sync

    root = Path(entry.path)
    if not root.is_dir():
        return TownLine(entry.name, entry.path, "path not found")
    if not (root / PROJECT_FILE).is_file():
        return TownLine(entry.name, entry.path, "no config")
    try:
        with open_blocking(root, environ=environ, start=False) as town:
            agents: list[Agent] = run_sync(town.store.agents())
            name = town.name
    except (RedisUnreachable, NotInitialized):
        return TownLine(entry.name, entry.path, "offline")
    except (TownError, OSError) as error:
        return TownLine(entry.name, entry.path, "problem", problem=str(error))
    active = sum(1 for agent in agents if not agent.state.is_terminal)
    return TownLine(name, entry.path, "ok", agents=len(agents), active=active)


def _document(home: Path) -> dict[str, object]:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    path = home / ".tt" / NAME
    try:
        document = cast("dict[str, object]", tomlkit.parse(read_file(path)))
        _entries(document)
    except (TOMLKitError, TypeError, KeyError):
        raise InvalidConfig(
            f"{term_safe(str(path), lines=False)} is no list of towns",
            hint="Repair it, or remove it: towns are entered again by 'tt init'.",
        ) from None
    return document


def _entries(document: dict[str, object]) -> list[dict[str, object]]:
    entries = cast("list[dict[str, object]]", document.get("towns", []))
    for entry in entries:
        if not isinstance(entry["name"], str) or not isinstance(entry["path"], str):
            raise TypeError
    return entries
