"""A rescue: one ref under which everything that a worktree held can be found again.

For a worktree without changes it is the commit itself. For another one it is a commit made for it, with all files
as they were, those too that git did not track; its second parent has what was staged. So `git stash apply <ref>`
brings everything back, and `git restore --source=<ref> -- .` the files alone. Nothing of the worktree is touched
on the way: the index that is written is a copy.

What git ignores, what we have brought (secrets, as a rule) and what is too large is not in it.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from tinytown import times
from tinytown.actors.git import git, git_or_none, line_of
from tinytown.errors import RuntimeFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tinytown.actors.worktree_state import Tree, WorktreeStatus

LARGEST = 64 << 20
"""Bytes of an untracked file. A worktree with such a file is kept; there is no need to double it in git."""
_NOT_IN_REFS = str.maketrans("", "", "-:")


@dataclass(frozen=True, slots=True)
class Rescue:
    """What was kept."""

    ref: str
    commit: str
    left_out: tuple[str, ...] = ()
    """Untracked files that are not in it: too large, or repositories of their own."""


async def write_rescue(tree: Tree, status: WorktreeStatus, name: str) -> Rescue:
    """Write the rescue of a worktree. The same state has one ref, however often it is asked for.

    Raises `GitFailed` when git cannot; then nothing may be removed.
    """
    left_out = tuple(path for path in status.changes.untracked if not _fits(tree.path / path))
    if status.head is not None and not (status.changes.modified or status.changes.untracked):
        return await rescue_commit(tree.path, status.head, name, left_out=left_out)
    copy = tree.admin / f"tinytown-index-{os.urandom(4).hex()}"
    try:
        commit = await _commit_all(tree, status, name, copy, set(left_out))
    finally:
        copy.unlink(missing_ok=True)
        copy.with_name(f"{copy.name}.lock").unlink(missing_ok=True)
    return await rescue_commit(tree.path, commit, name, left_out=left_out)


async def rescue_commit(cwd: Path, commit: str, name: str, *, left_out: tuple[str, ...] = ()) -> Rescue:
    """A ref for a commit: one that is there already, or a new one with the time in its name."""
    above = f"refs/tt/rescue/{name}"
    there = await git(cwd, "for-each-ref", f"--points-at={commit}", "--count=1", "--format=%(refname)", f"{above}/")
    ref = line_of(there)
    if not ref:
        ref = f"{above}/{times.now().translate(_NOT_IN_REFS)}"
        # With nothing as the old value the ref must be new.
        await git(cwd, "update-ref", ref, commit, "")
    return Rescue(ref, commit, left_out)


async def _commit_all(tree: Tree, status: WorktreeStatus, name: str, copy: Path, left_out: set[str]) -> str:
    env = {"GIT_INDEX_FILE": str(copy)}
    await trio.to_thread.run_sync(_copy_index, tree.admin / "index", copy)
    # Not possible while there are conflicts; their files are in the other tree, with marks and all.
    staged = await git_or_none(tree.path, "write-tree", env=env)
    await git(tree.path, "add", "--update", "--", ":/", env=env)
    untracked = [os.fsencode(path) + b"\0" for path in status.changes.untracked if path not in left_out]
    await git(tree.path, "update-index", "--add", "--remove", "-z", "--stdin", stdin=b"".join(untracked), env=env)
    whole = line_of(await git(tree.path, "write-tree", env=env))
    parents = [status.head] if status.head is not None else []
    # The time is that of the last commit, so that the same state makes the same commit.
    date = (
        line_of(await git(tree.path, "show", "--no-patch", "--format=@%ct +0000", *parents)) if parents else "@0 +0000"
    )
    if staged is not None:
        parents.append(await _commit(tree, line_of(staged), parents, f"What {name} had staged", date))
    return await _commit(tree, whole, parents, f"All files of the worktree of {name}, kept by tinytown", date)


async def _commit(tree: Tree, files: str, parents: Sequence[str], text: str, date: str) -> str:
    options = [item for parent in parents for item in ("-p", parent)]
    env = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    made = await git(tree.path, "commit-tree", "--no-gpg-sign", files, *options, "-m", text, env=env)
    return line_of(made)


def _copy_index(index: Path, copy: Path) -> None:
    try:
        shutil.copyfile(index, copy)
    except FileNotFoundError:
        return  # nothing was ever staged; git makes one
    except OSError as error:
        raise RuntimeFailed(f"The index of the worktree cannot be read: {error.strerror}") from error


def _fits(path: Path) -> bool:
    try:
        return path.is_symlink() or (path.is_file() and path.stat().st_size <= LARGEST)
    except OSError:
        return False
