"""Files that git does not track and that an agent needs nevertheless: `.env` and the like, copied into a worktree.

A copy is made only of what lies in the project, and never over anything that is not an earlier copy of ours.
They are secrets as a rule, so they never go into git. A copy that the agent has changed is its work.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

import trio

from tinytown.actors.git import entries_of, git
from tinytown.errors import Forbidden
from tinytown.text import term_safe
from tinytown.transport.disk import atomic_write, make_inside, open_inside

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from tinytown.actors.repository import Repository

LARGEST = 64 << 20
"""Bytes of a file that is brought; a larger one is data, and a link to it would do."""
_OURS = (".tt", ".git")
_NO_FILE = "no file"


@dataclass(frozen=True, slots=True)
class Brought:
    """What came of it."""

    files: dict[str, str] = field(default_factory=dict)
    """Path below the top and SHA-256 of what we have written there, now or earlier."""
    notes: list[str] = field(default_factory=list)
    """What could not be brought and why, for people."""


async def bring(repository: Repository, worktree: Path, patterns: Sequence[str], known: Mapping[str, str]) -> Brought:
    """Copy what the patterns (git's own, relative to the project) name into the worktree.

    `known` is what was brought before: such a copy follows the original as long as the agent leaves it alone.
    """
    wanted = await _untracked(repository, patterns)
    if not wanted:
        return Brought(dict(known))
    tracked = set(entries_of(await git(worktree, "ls-files", "-z")))
    return await trio.to_thread.run_sync(_copy, repository, worktree, wanted, known, tracked)


def changed(worktree: Path, known: Mapping[str, str]) -> set[str]:
    """Those brought files that are there and are not what we wrote."""
    return {path for path, digest in known.items() if _digest(worktree, path) not in (None, digest)}


def drop(worktree: Path, paths: Collection[str], known: Mapping[str, str]) -> None:
    """Remove copies of ours that are as we wrote them."""
    for path in paths:
        if _digest(worktree, path) == known.get(path, ""):
            (worktree / path).unlink()


async def _untracked(repository: Repository, patterns: Sequence[str]) -> list[str]:
    if not patterns:
        await trio.lowlevel.checkpoint()
        return []
    # Git's own walk: it enters only directories that can match, and no link.
    globs = [f":(glob){pattern}" for pattern in patterns]
    found = await git(repository.root, "ls-files", "-z", "--others", "--full-name", "--", *globs)
    ours = tuple(f"{repository.prefix}{name}/" for name in _OURS)
    return [path for path in entries_of(found) if not path.endswith("/") and not path.startswith(ours)]


def _copy(
    repository: Repository, worktree: Path, wanted: Sequence[str], known: Mapping[str, str], tracked: set[str]
) -> Brought:
    brought = Brought({path: digest for path, digest in known.items() if path not in tracked})
    for path in wanted:
        if path in tracked:
            continue
        try:
            digest = _copy_one(repository, worktree, path, known.get(path))
        except (Forbidden, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            brought.notes.append(f"{term_safe(path, lines=False)} was not brought: {reason}")
        else:
            if digest is not None:
                brought.files[path] = digest
    return brought


def _copy_one(repository: Repository, worktree: Path, path: str, known: str | None) -> str | None:
    """The digest of our copy, None when something else is in its place."""
    content, mode = _original(repository, path)
    digest = sha256(content).hexdigest()
    there = _digest(worktree, path)
    if there == _NO_FILE:
        raise Forbidden("what has its name there is no file")
    if there not in (None, digest, known):
        return known
    if there != digest:
        *above, _ = path.split("/")
        make_inside(worktree, above)
        atomic_write(worktree / path, content, mode=mode)
    return digest


def _original(repository: Repository, path: str) -> tuple[bytes, int]:
    source = repository.top / path
    if source.is_symlink():
        source = source.resolve()
        if not source.is_relative_to(repository.root) or set(source.relative_to(repository.root).parts) & set(_OURS):
            raise Forbidden("it is a link to something outside the project")
    parts = source.relative_to(repository.top).parts
    with os.fdopen(open_inside(repository.top, parts, os.O_RDONLY), "rb") as file:
        content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise Forbidden(f"it has more than {LARGEST >> 20} MiB")
        return content, os.fstat(file.fileno()).st_mode & 0o777


def _digest(worktree: Path, path: str) -> str | None:
    """The SHA-256 of a file; None if there is none; `_NO_FILE`, which is no digest, for anything else."""
    from hashlib import file_digest

    try:
        with os.fdopen(open_inside(worktree, path.split("/"), os.O_RDONLY), "rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (Forbidden, OSError):
        return _NO_FILE
