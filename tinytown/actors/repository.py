"""The git repository of a project, as far as its worktrees are concerned.

A project may be a directory below the top of its repository. A worktree is always one of the whole repository; the
project is then found in it under the same prefix.
"""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from tinytown.actors.git import GitFailed, git, git_or_none, line_of
from tinytown.errors import RuntimeFailed
from tinytown.transport.locks import locked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tinytown.transport.locks import FileLock

_NOTES = "tinytown"
_WAITING = {"agent": trio.CapacityLimiter(16), "repository": trio.CapacityLimiter(16)}
"""Threads that wait for a lock of one kind. The kinds are apart: who holds an agent's lock waits for the other."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A worktree as git lists it."""

    path: Path
    head: str | None
    branch: str | None
    """The whole name of the ref; None when no branch is checked out."""
    locked: str | None
    """Why it is locked; None when it is not."""


@dataclass(frozen=True, slots=True)
class Repository:
    """Where things are."""

    root: Path
    """The project."""
    top: Path
    """The top of what git has checked out around it."""
    common: Path
    """What all worktrees share: objects, branches, and what git notes about each worktree."""

    @property
    def prefix(self) -> str:
        """The project below the top: empty, or a path that ends with a slash."""
        below = self.root.relative_to(self.top).as_posix()
        return "" if below == "." else f"{below}/"

    @classmethod
    async def find(cls, root: Path) -> Repository | None:
        """The repository that the project is part of; None if it is part of none.

        A project somewhere below a repository that knows nothing of it (a home directory under git, say) is no
        part of it. Raises `RuntimeFailed` when there is a repository and git will not work with it.
        """
        root = root.resolve()
        try:
            found = await git(root, "rev-parse", "--show-toplevel", "--git-common-dir")
        except GitFailed as error:
            if "not a git repository" in error.said:
                return None
            raise
        except RuntimeFailed:
            # Without git nobody can tell but by looking for the directory that git makes.
            if any(os.path.lexists(above / ".git") for above in (root, *root.parents)):
                raise
            return None
        top, common = line_of(found).split("\n")
        repository = cls(root, Path(top), (root / common).resolve())
        if repository.prefix:
            known = await git_or_none(root, "cat-file", "-e", f"HEAD:{repository.prefix.rstrip('/')}")
            if known is None:
                return None
        return repository

    async def worktrees(self) -> list[Listed]:
        """All worktrees, those too whose directory is gone."""
        text = line_of(await git(self.root, "worktree", "list", "--porcelain"))
        return [_listed(block) for block in text.split("\n\n") if block.startswith("worktree ")]

    @asynccontextmanager
    async def holding(self, agent: str | None = None) -> AsyncIterator[FileLock]:
        """Nobody else, on this host, works on this agent's worktree, or (for None) on the list of all of them.

        Git guards single files, not the steps from a look to a change.
        """
        directory = self.common / _NOTES
        directory.mkdir(0o700, exist_ok=True)
        name = "worktrees.lock" if agent is None else f"{agent}.agent.lock"
        async with _held(directory / name, _WAITING["repository" if agent is None else "agent"]) as lock:
            yield lock


@asynccontextmanager
async def _held(path: Path, waiting: trio.CapacityLimiter) -> AsyncIterator[FileLock]:
    wait = _Wait(path)
    try:
        yield await trio.to_thread.run_sync(wait.until_held, limiter=waiting, abandon_on_cancel=True)
    finally:
        wait.give_up()


class _Wait:
    """Waits for a lock in a thread. Given up before it has it, it gives the lock back as soon as it comes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        self._given_up = False
        self._guard = threading.Lock()

    def until_held(self) -> FileLock:
        with ExitStack() as stack:
            lock = stack.enter_context(locked(self._path))
            with self._guard:
                if not self._given_up:
                    self._stack = stack.pop_all()
        return lock

    def give_up(self) -> None:
        with self._guard:
            self._given_up = True
            self._stack.close()


def _listed(block: str) -> Listed:
    said = dict(line.partition(" ")[::2] for line in block.split("\n"))
    return Listed(Path(said["worktree"]), said.get("HEAD"), said.get("branch"), said.get("locked"))
