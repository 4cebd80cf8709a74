"""What a worktree holds that is nowhere else.

Everything here only looks. Files that git ignores count for nothing, as they do for git: they are what a build or
the setup command makes. The exception are the files we have brought: once changed, they are work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from tinytown.actors.brought import changed
from tinytown.actors.git import entries_of, git, git_or_none, line_of
from tinytown.actors.worktree_record import WorktreeRecord
from tinytown.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEADS = "refs/heads/"
_OPERATIONS = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisection",
}
"""What git has in its directory of a worktree while such a thing goes on."""
_NAMED = 3
_NAME_WIDTH = 60


@dataclass(frozen=True, slots=True)
class Tree:
    """A worktree that is there, and that git knows."""

    path: Path
    """Its top."""
    admin: Path
    """Git's own directory for it: index, HEAD, and our record."""
    common: Path

    @classmethod
    async def open(cls, path: Path) -> Tree | None:
        """The worktree whose top is exactly here; None if it is none.

        Not one that merely lies above: an agent that removed the `.git` of its worktree is in the project's.
        """
        tree = await cls.around(path)
        return tree if tree is not None and tree.path.samefile(path) else None

    @classmethod
    async def around(cls, path: Path) -> Tree | None:
        """The worktree, the project's own too, that this directory is in; None if it is in none."""
        if not path.is_dir():
            await trio.lowlevel.checkpoint()
            return None
        found = await git_or_none(path, "rev-parse", "--show-toplevel", "--absolute-git-dir", "--git-common-dir")
        if found is None:
            return None
        top, admin, common = line_of(found).split("\n")
        return cls(Path(top), Path(admin), (path / common).resolve())


@dataclass(frozen=True, slots=True)
class Changes:
    """How the files of a worktree differ from its last commit. Paths are relative to its top."""

    modified: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    """Without what git ignores, and without what we have brought."""
    brought_changed: tuple[str, ...] = ()
    """Files we have brought and that are different now."""
    brought_visible: tuple[str, ...] = field(default=(), repr=False)
    """Files we have brought, that are as they were, and that git does not ignore."""

    @property
    def any(self) -> bool:
        """Something would be lost."""
        return bool(self.modified or self.untracked or self.brought_changed)


@dataclass(frozen=True, slots=True)
class WorktreeStatus:
    """A worktree as it is now."""

    path: Path
    branch: str | None
    """None while no branch is checked out (in the middle of a rebase, say)."""
    head: str | None
    """The commit; None while there is none."""
    changes: Changes
    unpublished: int
    """Commits that are in no other branch, tag or remote."""
    operation: str | None
    """A rebase or the like that goes on."""

    @property
    def blocker(self) -> str | None:
        """Why it must not be removed; None when nothing would be lost."""
        changes = self.changes
        reasons = [
            _counted(changes.modified, "changed"),
            _counted(changes.untracked, "not in git"),
            _counted(changes.brought_changed, "brought from the project and changed here"),
        ]
        if self.unpublished:
            one = self.unpublished == 1
            reasons.append(f"{self.unpublished} commit{' is' if one else 's are'} in no other branch and no remote")
        if self.operation:
            reasons.append(f"{self.operation} is going on")
        return "; ".join(reason for reason in reasons if reason) or None


async def look_at_changes(tree: Tree) -> Changes:
    """How its files differ from its last commit."""
    out = await git(
        tree.path,
        "status",
        "--porcelain=v1",
        "-z",
        "--untracked-files=all",
        "--no-renames",
        "--ignore-submodules=none",
    )
    entries = [(entry[:2], entry[3:]) for entry in entries_of(out)]
    untracked = [path for code, path in entries if code == "??"]
    record = WorktreeRecord.read(tree.admin)
    known = record.brought if record is not None else {}
    different = await trio.to_thread.run_sync(changed, tree.path, known)
    if different:
        # What has been committed meanwhile is git's, and in nobody's way.
        literal = [f":(literal){path}" for path in sorted(different)]
        different -= set(entries_of(await git(tree.path, "ls-files", "-z", "--cached", "--", *literal)))
    return Changes(
        modified=tuple(path for code, path in entries if code != "??"),
        untracked=tuple(path for path in untracked if path not in known),
        brought_changed=tuple(sorted(different)),
        brought_visible=tuple(path for path in untracked if path in known and path not in different),
    )


async def head_of(tree: Tree) -> str | None:
    """The commit that is checked out; None while there is none."""
    head = await git_or_none(tree.path, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    return line_of(head) if head is not None else None


async def look_at(tree: Tree, own_branch: str) -> WorktreeStatus:
    """The whole state. `own_branch` is the branch that was made for this worktree, and goes with it."""
    changes = await look_at_changes(tree)
    head = await head_of(tree)
    branch = await git_or_none(tree.path, "symbolic-ref", "--quiet", "HEAD")
    full = line_of(branch) if branch is not None else None
    return WorktreeStatus(
        path=tree.path,
        branch=full.removeprefix(_HEADS) if full is not None else None,
        head=head,
        changes=changes,
        unpublished=await _unpublished(tree, own_branch, full, has_head=head is not None),
        operation=next((said for name, said in _OPERATIONS.items() if (tree.admin / name).exists()), None),
    )


async def _unpublished(tree: Tree, own_branch: str, checked_out: str | None, *, has_head: bool) -> int:
    own = await git_or_none(tree.path, "rev-parse", "--verify", "--quiet", f"{_HEADS}{own_branch}")
    tips = [*(["HEAD"] if has_head else []), *([f"{_HEADS}{own_branch}"] if own is not None else [])]
    if not tips:
        return 0
    mine = {own_branch, *([checked_out.removeprefix(_HEADS)] if checked_out else [])}
    excluded = [f"--exclude={branch}" for branch in sorted(mine)]
    out = await git(tree.path, "rev-list", "--count", *tips, "--not", *excluded, "--branches", "--tags", "--remotes")
    return int(out)


def _counted(paths: Sequence[str], what: str) -> str:
    if not paths:
        return ""
    listed = ", ".join(one_line(path, _NAME_WIDTH) for path in paths[:_NAMED])
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return f"{len(paths)} file{' is' if len(paths) == 1 else 's are'} {what}: {listed}{more}"
