"""What an agent's worktree is called, and what can be seen of it without asking git.

Importable without trio: `tt list` shows it.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_AGENTS = (".tt", "agents")
_LARGEST = 4096
_POINTER = "gitdir: "
_BRANCH = "ref: refs/heads/"


def branch_of(name: str) -> str:
    """The branch of an agent's worktree.

    A few names that an agent may have are none that git takes (`a..b`, `a.`, `a.lock`); their dots are written
    as `%2E`, which no name has.
    """
    if ".." in name or name.endswith((".", ".lock")):
        name = name.replace(".", "%2E")
    return f"tt/{name}"


def place_of(root: Path, name: str) -> Path:
    """Where the worktree of an agent is, if it has one."""
    return root.joinpath(*_AGENTS, name)


def names_there(root: Path) -> list[str]:
    """The names under which something lies where worktrees are, in order. An empty directory is nothing."""
    above = root.joinpath(*_AGENTS)
    try:
        found = sorted(path.name for path in above.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
    return [name for name in found if not _is_empty(above / name)]


def checked_out(place: Path) -> str | None:
    """The branch that the worktree has checked out; None when it has none, or is no worktree.

    An agent can write what is read here, so it is good for showing it and for nothing else.
    """
    pointer = _line_of(place / ".git")
    if pointer is None or not pointer.startswith(_POINTER):
        return None
    head = _line_of(place / pointer.removeprefix(_POINTER) / "HEAD")
    return head.removeprefix(_BRANCH) if head is not None and head.startswith(_BRANCH) else None


def _line_of(path: Path) -> str | None:
    try:
        # Whatever stands there must not hold us up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            return os.fsdecode(file.read(_LARGEST)).removesuffix("\n")
    except (OSError, ValueError):
        return None


def _is_empty(place: Path) -> bool:
    try:
        return not place.is_symlink() and place.is_dir() and next(place.iterdir(), None) is None
    except OSError:
        return False
