"""Where an agent's CLI works on this host: in the project, or in a worktree of its own.

The worktree is made when the first round begins, and looked at again before each later one: whatever was done to it
in between, a round begins in a directory that is there, or does not begin. An agent that has a worktree never works
in the project instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tinytown.actors.worktree import Setup, prepare
from tinytown.errors import Conflict, Invalid
from tinytown.text import term_safe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.actors.child import Ladder
    from tinytown.actors.worktree import Worktree
    from tinytown.config import Settings
    from tinytown.records import Agent
    from tinytown.transport.files import TownFiles


@dataclass(frozen=True, slots=True)
class Workplace:
    """A directory that stands ready, and what the CLI is told of it."""

    cwd: Path
    identity: Mapping[str, str] = field(default_factory=dict)
    """Variables `TINYTOWN_*`."""
    news: str | None = None
    """That a worktree was made just now, for people."""
    notes: tuple[str, ...] = ()


async def workplace_of(
    agent: Agent,
    configured: str | None,
    *,
    files: TownFiles,
    settings: Settings,
    env: Mapping[str, str],
    ladder: Ladder,
) -> Workplace:
    """Where this agent works; `configured` is a directory relative to the project, or None for all of it.

    `env` is the environment of the setup command. Raises `Invalid` for what stays wrong until a person mends it,
    and `RuntimeFailed` or `Full` for what may go better the next time. When cancelled, git and the setup command
    are ended first, the latter by `ladder`; the next call goes on where this one was.
    """
    place = files.root / Path(configured).expanduser() if configured else files.root
    if not agent.worktree:
        return Workplace(place)
    below = place.resolve()
    if not below.is_relative_to(files.root):
        raise Invalid(
            f"The directory of '{agent.name}', {term_safe(str(place), lines=False)}, is outside the project, "
            "so its worktree does not have it",
            hint="Spawn it with --no-worktree, or with a --workdir in the project.",
        )
    worktree = await _worktree_of(agent, files, settings, env, ladder)
    cwd = worktree.workdir / below.relative_to(files.root)
    if not cwd.is_dir():
        raise Invalid(
            f"{term_safe(str(cwd), lines=False)} is not there: its worktree has only what git tracks",
            hint="Commit something in it, or spawn the agent with another --workdir.",
        )
    return Workplace(cwd, worktree.environment, _news(worktree, files.root), worktree.notes)


async def _worktree_of(
    agent: Agent, files: TownFiles, settings: Settings, env: Mapping[str, str], ladder: Ladder
) -> Worktree:
    command = settings.agent.setup
    setup = Setup(command, env, files.setup_log(agent.name), ladder) if command else None
    try:
        worktree = await prepare(
            files.root,
            agent.name,
            include=settings.agent.include,
            port_base=settings.agent.port_base,
            setup=setup,
        )
    except Conflict as error:
        # A branch that is checked out elsewhere does not go away by itself.
        raise Invalid(error.message, hint=error.hint) from error
    if worktree is None:
        raise Invalid(
            "The project is not under git (any more), so there can be no worktree",
            hint=f"Run 'git init' and commit, or spawn it again: tt spawn {agent.name} --no-worktree",
        )
    return worktree


def _news(worktree: Worktree, root: Path) -> str | None:
    if not worktree.created:
        return None
    where = worktree.path.relative_to(root) if worktree.path.is_relative_to(root) else worktree.path
    ports = f"{worktree.ports.start}-{worktree.ports.stop - 1}"
    return f"works in the new worktree {where}, on the branch {worktree.branch}, with the ports {ports}"
