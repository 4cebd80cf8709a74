"""Completion for shells: the script is cyclopts's, the names of agents and the ids of missions are ours."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tinytown.cli.invocation import Common
from tinytown.errors import Invalid, TownError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from tinytown.runtime.ground import Ground
    from tinytown.transport.connection import Connection

Shell = Literal["bash", "zsh", "fish"]
_SHELLS: tuple[Shell, ...] = ("bash", "zsh", "fish")

_PATIENCE = 0.5
"""Seconds for Redis to name them: whoever has pressed Tab waits for it."""


def agent_names(_context: object) -> Iterable[str]:
    """The names of the agents of the town here."""
    from tinytown.transport.store import Store

    async def names(connection: Connection, ground: Ground) -> Iterable[str]:
        return (await Store(connection, ground.keys, ground.settings.limits).names()).values()

    return _asked(names)


def mission_ids(_context: object) -> Iterable[str]:
    """The ids of the missions of the town here."""
    from tinytown.transport.missions import Missions

    async def ids(connection: Connection, ground: Ground) -> Iterable[str]:
        return [mission.id for mission in await Missions(connection, ground.keys).all()]

    return _asked(ids)


def _asked(read: Callable[[Connection, Ground], Coroutine[object, object, Iterable[str]]]) -> list[str]:
    """What is read of the town here, sorted; nothing when there is none or its Redis does not answer.

    No server is started for it.
    """
    from tinytown.runtime.ground import survey
    from tinytown.transport.blocking import BlockingConnection, run_sync

    try:
        ground = survey(Path(Common().start), environ=os.environ)
        with BlockingConnection(ground.address, reply_within=_PATIENCE) as connection:
            return sorted(run_sync(read(connection, ground)))
    except (TownError, OSError):
        return []


def install(wanted: Shell | None) -> list[str]:
    """Write the script where the shell looks for it; gives what to tell the person."""
    from tinytown.cli.app import build

    shell = wanted or _detected()
    app = build()
    path = app.install_completion(shell=shell)
    again = {"bash": "source ~/.bashrc", "zsh": "exec zsh", "fish": "exec fish"}[shell]
    return [f"✅ Completion for {shell} installed: {path}", f"   Start a new shell, or run: {again}"]


def _detected() -> Shell:
    """The shell of the person, by the environment."""
    name = Path(os.environ.get("SHELL", "")).name
    if name in _SHELLS:
        return name
    raise Invalid("Your shell could not be told from SHELL", hint="Name it: tt --install-completion bash")
