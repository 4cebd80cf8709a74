"""The worktrees of a town's agents on this host: who can have one, where they are, what becomes of those left over.

Git is asked under trio, which is imported only when there is something to ask: `tt list` looks at files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tinytown.actors.worktree_name import checked_out, names_there, place_of
from tinytown.errors import Conflict, InvalidName, TownError
from tinytown.ids import agent_name
from tinytown.text import term_safe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable

    from tinytown.records import Agent
    from tinytown.runtime.town import Town

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Checkout:
    """A worktree as it stands on this host's disk. `path` is relative to the town."""

    path: str
    branch: str | None
    """What is checked out in it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A worktree that stays, and why. `path` is relative to the town, None for one on another host."""

    agent: str
    path: str | None
    reason: str
    rescue: str | None = None
    """The ref in git under which everything is found that it held just now."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """What became of the worktrees that no agent has any more, or would become of them."""

    gone: tuple[str, ...] = ()
    """The names of the agents that had them."""
    kept: tuple[Kept, ...] = ()


def checkout_of(root: Path, agent: Agent) -> Checkout | None:
    """The worktree of an agent, None when it has none here (yet)."""
    if not agent.worktree:
        return None
    place = place_of(root, agent.name)
    return Checkout(_shown(root, agent.name), checked_out(place)) if (place / ".git").is_file() else None


async def isolation(town: Town, *, asked: bool | None, workdir: str | None) -> tuple[bool, str | None]:
    """Whether a new agent gets a worktree, and what a person should know of that.

    With `asked` None it is as configured, and gives way where no worktree is possible; what was asked for raises
    `Conflict` there.
    """
    wanted = town.settings.agent.isolation == "worktree" if asked is None else asked
    if not wanted:
        return False, None
    obstacle = await _under_trio(town, _obstacle, town.root, workdir)
    if obstacle is None:
        return True, None
    why, hint = obstacle
    if asked:
        raise Conflict(f"There can be no worktree: {why}", hint=hint)
    return False, f"It works in the project's directory, without a worktree: {why}"


async def clear(
    town: Town, agents: Iterable[Agent] = (), *, spare: Collection[str] = (), preview: Collection[str] | None = None
) -> Cleared | None:
    """Remove the worktrees of this host that no agent has, as far as nothing is lost by it; None if there are none.

    `agents` have just been removed: of those of other hosts it says that theirs are there. `spare` are names whose
    turn may still be about to end. With `preview` nothing is changed, and it is as if these names had no agent.
    """
    kept = [
        Kept(agent.name, None, "it is on another host; 'tt prune' there looks at it")
        for agent in agents
        if agent.worktree and agent.host not in (None, town.ground.host)
    ]
    names = names_there(town.root)
    if not names:
        return Cleared((), tuple(kept)) if kept else None
    alive = {agent.name for agent in await town.store.agents()}.difference(preview or ())
    gone = []
    for name in names:
        if name in alive:
            continue
        if name in spare:
            why = "its turn is only now being cut; 'tt prune' looks at it again"
            found: Kept | None = Kept(name, _shown(town.root, name), why)
        else:
            found = await _under_trio(town, _kept, town.root, name, _look if preview is not None else _remove)
        if found is None:
            gone.append(name)
        else:
            kept.append(found)
    here = {each.agent for each in kept if each.path is not None} | set(gone)
    kept = [each for each in kept if each.path is not None or each.agent not in here]
    return Cleared(tuple(gone), tuple(kept)) if gone or kept else None


async def _obstacle(root: Path, workdir: str | None) -> tuple[str, str] | None:
    from tinytown.actors.git import git_or_none
    from tinytown.actors.repository import Repository

    if workdir is not None and not (root / Path(workdir).expanduser()).resolve().is_relative_to(root):
        return "the directory of the agent is outside the project", "Leave out --worktree or --workdir."
    if await Repository.find(root) is None:
        return "the project is not under git", "Run 'git init' and commit, or leave out --worktree."
    if await git_or_none(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}") is None:
        return "the repository has no commit yet", "Make the first commit, or leave out --worktree."
    return None


async def _kept(root: Path, name: str, attempt: Callable[[Path, str], Awaitable[Kept | None]]) -> Kept | None:
    """What an attempt finds that stays; a name or a repository that it cannot work with keeps the worktree, too."""
    try:
        agent_name(name)
        return await attempt(root, name)
    except InvalidName:
        return Kept(name, _shown(root, name), _NONE_OF_OURS)
    except TownError as error:
        return Kept(name, _shown(root, name), error.message)


async def _remove(root: Path, name: str) -> Kept | None:
    """Remove it; says why not."""
    from tinytown.actors.worktree import remove

    removal = await remove(root, name)
    if removal.kept_because is not None:
        return Kept(name, _shown(root, name), removal.kept_because, removal.rescue)
    if removal.rescue is None and place_of(root, name).exists():
        return Kept(name, _shown(root, name), _NONE_OF_OURS)
    return None


async def _look(root: Path, name: str) -> Kept | None:
    """Why `_remove` would not remove it; changes nothing."""
    from tinytown.actors.worktree import status

    found = await status(root, name)
    why = _NONE_OF_OURS if found is None else found.blocker
    return Kept(name, _shown(root, name), why) if why is not None else None


_NONE_OF_OURS = "it is no worktree of this project"


def _shown(root: Path, name: str) -> str:
    return term_safe(str(place_of(root, name).relative_to(root)), lines=False)


async def _under_trio(town: Town, work: Callable[..., Awaitable[T]], *arguments: object) -> T:
    import trio

    if town.nursery is None:
        return trio.run(work, *arguments)
    return await work(*arguments)
