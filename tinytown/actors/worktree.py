"""A git worktree for each agent: its own files, its own branch, its own ports.

The worktree of an agent is `.tt/agents/<name>` in the project, on the branch `tt/<name>`. What must be true: two
agents never share one; an agent finds its worktree as it left it; and nothing that an agent has made is ever lost
by us. So a worktree is removed only when all of its work is somewhere else too, and a rescue is written before.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import trio

from tinytown.actors.brought import bring, drop
from tinytown.actors.child import ChildSpec, Ladder, run_child
from tinytown.actors.commands import split_line
from tinytown.actors.git import GitFailed, git, git_or_none, line_of
from tinytown.actors.output import plain_text
from tinytown.actors.ports import BLOCK, choose_ports, is_free
from tinytown.actors.repository import Listed, Repository
from tinytown.actors.rescue import rescue_commit, write_rescue
from tinytown.actors.worktree_name import branch_of, place_of
from tinytown.actors.worktree_record import WorktreeRecord, ports_in_use
from tinytown.actors.worktree_state import Tree, WorktreeStatus, look_at
from tinytown.errors import Conflict, Forbidden, RuntimeFailed
from tinytown.ids import agent_name
from tinytown.text import term_safe
from tinytown.transport.disk import make_inside

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tinytown.transport.locks import FileLock

_AGENTS = (".tt", "agents")
_HALF_MADE = "initializing"
"""The reason for which git locks a worktree while it makes it (git-worktree(1))."""
_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Worktree:
    """A worktree that an agent can work in."""

    name: str
    path: Path
    """Its top."""
    workdir: Path
    """The project in it: another directory than `path` when the project is a part of its repository."""
    branch: str | None
    """What is checked out; None while the agent is in the middle of a rebase, say."""
    ports: range
    created: bool
    """It was made by this call."""
    notes: tuple[str, ...] = ()
    """What a person should know, for the agent's log."""

    @property
    def environment(self) -> dict[str, str]:
        """What the agent's CLI is told of it."""
        return {"TINYTOWN_WORKTREE": str(self.path), "TINYTOWN_PORT_BASE": str(self.ports.start)}


@dataclass(frozen=True, slots=True)
class Setup:
    """The command that makes a new worktree ready."""

    command: str
    """Split as a shell would, run without one, in the worktree."""
    env: Mapping[str, str]
    """The whole environment, but for that of the worktree, which is added."""
    log_path: Path
    ladder: Ladder = field(default_factory=Ladder)


@dataclass(frozen=True, slots=True)
class Removal:
    """What came of a removal. With neither a reason nor a rescue there was no worktree."""

    kept_because: str | None = None
    """Why the worktree is still there."""
    rescue: str | None = None
    """The ref under which everything it held is found; written before anything else was done."""

    @property
    def gone(self) -> bool:
        """There is no worktree now."""
        return self.kept_because is None


async def prepare(
    root: Path, name: str, *, include: Sequence[str], port_base: int, setup: Setup | None = None
) -> Worktree | None:
    """The worktree of an agent, made if need be; None when the project is not under git.

    A new one begins at the commit that the project has checked out, or goes on with the branch `tt/<name>` if
    there is one. One that is there is taken as it is, whatever branch the agent has checked out in it. `include`
    are patterns of untracked files to bring (see `brought`). `setup` runs once for each worktree, in one that was
    made without it too (the user may not have accepted the command yet); until it has succeeded, every call runs it
    again.

    Any number of calls may run at once, in any number of processes of this host. Raises `Conflict` when the
    branch or the place is used for something else, or the repository has no commit yet; `RuntimeFailed` when git
    or the setup command fails; `InvalidConfig` for a setup command that cannot be split; `Full` when there are no
    ports left. May be cancelled at any point and called again.
    """
    agent_name(name)
    argv = split_line(setup.command, key="agent.setup") if setup is not None else ()
    repository = await Repository.find(root)
    if repository is None:
        return None
    place = _place(repository, name)
    async with repository.holding(name):
        async with repository.holding() as lock:
            tree, created, notes = await _open_or_add(repository, place, name, lock)
            record = _with_ports(repository, name, WorktreeRecord.read(tree.admin) or WorktreeRecord(), port_base)
            record.write(tree.admin)
        if repository.prefix:
            make_inside(place, repository.prefix.rstrip("/").split("/"))
        brought = await bring(repository, place, include, record.brought)
        record = replace(record, brought=brought.files)
        record.write(tree.admin)
        branch = await git_or_none(place, "symbolic-ref", "--quiet", "--short", "HEAD")
        worktree = Worktree(
            name=name,
            path=place,
            workdir=place / repository.prefix,
            branch=line_of(branch) if branch is not None else None,
            ports=range(record.port, record.port + BLOCK),
            created=created,
            notes=(*notes, *brought.notes),
        )
        if setup is not None and not record.ready:
            await _set_up(worktree, setup, argv)
            replace(record, ready=True).write(tree.admin)
    return worktree


def _with_ports(repository: Repository, name: str, record: WorktreeRecord, base: int) -> WorktreeRecord:
    """The record with a block of ports; an agent keeps the one it has."""
    if record.port and record.port_base == base:
        return record
    block = choose_ports(
        f"{repository.root}\0{name}", base=base, taken=ports_in_use(repository.common), is_free=is_free
    )
    return replace(record, port=block.start, port_base=base)


async def status(root: Path, name: str) -> WorktreeStatus | None:
    """The state of an agent's worktree; None when it has none. Changes nothing."""
    agent_name(name)
    repository = await Repository.find(root)
    tree = await _find(repository, name) if repository is not None else None
    return await look_at(tree, branch_of(name)) if tree is not None else None


async def remove(root: Path, name: str) -> Removal:
    """Remove the worktree of an agent that runs no longer, and its branch, if nothing is lost by it.

    It is kept while it has changed files, files that are not in git, changed copies of what was brought, commits
    that are in no other branch, tag or remote, or a rebase or the like that goes on; `Removal.kept_because` says
    so. First of all a rescue is written, in either case. What git ignores goes with the worktree.

    Raises `RuntimeFailed` when git fails; the worktree is there then.
    """
    agent_name(name)
    repository = await Repository.find(root)
    if repository is None:
        return Removal()
    branch = branch_of(name)
    async with repository.holding(name), repository.holding() as lock:
        tree = await _find(repository, name)
        if tree is None:
            place = _place(repository, name)
            there = place.is_symlink() or (place.exists() and not _is_empty(place))
            return Removal(kept_because=f"{_shown(place)} is no worktree of this project" if there else None)
        found = await look_at(tree, branch)
        rescue = await write_rescue(tree, found, branch.removeprefix("tt/"))
        if found.blocker is not None:
            return Removal(found.blocker, rescue.ref)
        record = WorktreeRecord.read(tree.admin) or WorktreeRecord()
        await trio.to_thread.run_sync(drop, tree.path, found.changes.brought_visible, record.brought)
        try:
            # Without --force git looks again at what it would lose.
            await git(repository.root, "worktree", "remove", str(tree.path), lock=lock)
        except GitFailed as error:
            return Removal(f"git does not remove it: {error.said}", rescue.ref)
        await _delete_branch(repository, branch)
        return Removal(None, rescue.ref)


async def _delete_branch(repository: Repository, branch: str) -> None:
    """Its commits are all in another branch. A branch that stayed would give the next agent old files."""
    ref = f"refs/heads/{branch}"
    tip = await git_or_none(repository.root, "rev-parse", "--verify", "--quiet", ref)
    if tip is not None and all(other.branch != ref for other in await repository.worktrees()):
        left = await git(
            repository.root,
            *("rev-list", "--count", line_of(tip), "--not", f"--exclude={branch}"),
            *("--branches", "--tags", "--remotes"),
        )
        if int(left) == 0:
            await git(repository.root, "update-ref", "-d", ref, line_of(tip))


async def _find(repository: Repository, name: str) -> Tree | None:
    place = _place(repository, name)
    tree = await Tree.open(place) if not place.is_symlink() else None
    return tree if tree is not None and tree.common == repository.common else None


async def _open_or_add(repository: Repository, place: Path, name: str, lock: FileLock) -> tuple[Tree, bool, list[str]]:
    """The worktree, whether it is new, and what was done about an earlier one."""
    make_inside(repository.root, _AGENTS)
    if place.is_symlink():
        raise Forbidden(f"{_shown(place)} is a link", hint="Remove it; Tinytown makes its own directory.")
    notes = []
    tree = await _find(repository, name)
    listed = await repository.worktrees()
    entry = _entry(listed, place)
    if tree is None and ((place / ".git").is_file() or (entry is not None and place.exists())):
        # The project was moved, or the agent has damaged the file.
        await git_or_none(repository.root, "worktree", "repair", str(place))
        tree = await _find(repository, name)
    unknown = tree is None or WorktreeRecord.read(tree.admin) is None
    if entry is not None and entry.locked == _HALF_MADE and unknown:
        await _discard_half_made(repository, place)
        notes.append("A worktree that was only half made has been made anew")
        tree, listed = None, await repository.worktrees()
        entry = _entry(listed, place)
    if tree is not None:
        return tree, False, notes
    if place.exists() and not _is_empty(place):
        raise Conflict(
            f"{_shown(place)} is in the way of the worktree of '{name}': it is none of this project",
            hint="Look at it, and move it away.",
        )
    if entry is not None and entry.head is not None and set(entry.head) != {"0"}:
        # Its directory was deleted by hand. Of what was only in there, the commit can still be kept.
        rescue = await rescue_commit(repository.root, entry.head, branch_of(name).removeprefix("tt/"))
        notes.append(f"The directory of the earlier worktree is gone; its last commit is kept as {rescue.ref}")
    await _add(repository, place, branch_of(name), listed, lock, again=entry is not None)
    tree = await _find(repository, name)
    if tree is None:
        raise RuntimeFailed(f"git has made no worktree at {_shown(place)}")
    return tree, True, notes


async def _add(
    repository: Repository, place: Path, branch: str, listed: Sequence[Listed], lock: FileLock, *, again: bool
) -> None:
    ref = f"refs/heads/{branch}"
    elsewhere = next((each.path for each in listed if each.branch == ref and each.path != place), None)
    if elsewhere is not None:
        raise Conflict(
            f"The branch {branch} is checked out in {_shown(elsewhere)}",
            hint="Check out another branch there, or give the agent another name.",
        )
    if await git_or_none(repository.root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}") is None:
        raise Conflict(
            "The repository has no commit yet, and a worktree begins with one",
            hint="Make the first commit, or let agents share the project directory.",
        )
    options = ["--quiet", *(["--force"] if again else [])]
    if await git_or_none(repository.root, "rev-parse", "--verify", "--quiet", ref) is None:
        what = ["--no-track", "-b", branch, str(place), "HEAD"]
    else:
        what = [str(place), branch]
    await git(repository.root, "worktree", "add", *options, *what, lock=lock)


async def _discard_half_made(repository: Repository, place: Path) -> None:
    """Away with what a killed git has left. No agent has ever been in it."""
    await git_or_none(repository.root, "worktree", "unlock", str(place))
    removed = await git_or_none(repository.root, "worktree", "remove", "--force", str(place))
    if removed is None:
        with contextlib.suppress(OSError):
            place.rmdir()


async def _set_up(worktree: Worktree, setup: Setup, argv: Sequence[str]) -> None:
    ended = await run_child(
        ChildSpec(
            argv=tuple(argv),
            cwd=worktree.workdir,
            env={**setup.env, **worktree.environment},
            log_path=setup.log_path,
            ladder=setup.ladder,
        )
    )
    if not ended.succeeded:
        tail = plain_text(_end_of(setup.log_path, min(ended.log_bytes, _TAIL_BYTES)), _TAIL_BYTES)
        raise RuntimeFailed(
            f"The setup command of the worktree of '{worktree.name}' failed: {ended.describe()}\n{tail}".rstrip(),
            hint=f"All it has printed is in {_shown(setup.log_path)}. It runs again when the agent starts.",
        )


def _end_of(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(-min(size, file.seek(0, 2)), 2)
            return file.read()
    except OSError:
        return b""


def _place(repository: Repository, name: str) -> Path:
    return place_of(repository.root, name)


def _entry(listed: Sequence[Listed], place: Path) -> Listed | None:
    return next((each for each in listed if each.path == place), None)


def _is_empty(directory: Path) -> bool:
    return directory.is_dir() and next(directory.iterdir(), None) is None


def _shown(path: Path) -> str:
    return term_safe(str(path), lines=False)
