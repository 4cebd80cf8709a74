"""A place to work at a commit of the demonstration's origin: a clone for a moment, so that nobody is in the way."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from tinytown.runtime.demo.workshop import IDENTITY

if TYPE_CHECKING:
    from collections.abc import Iterator

MAIN = "main"


class Git(Protocol):
    """Runs git in a directory, and gives what it answers."""

    def __call__(self, *arguments: str, where: Path | None = None) -> str: ...  # noqa: D102


@contextmanager
def checkout(git: Git, origin: str, branch: str = MAIN) -> Iterator[Path]:
    """A clone of the origin with this branch, begun from `main` when it is not there yet."""
    with TemporaryDirectory(prefix="tinytown-bench-") as directory:
        where = Path(directory) / "work"
        settings = [word for name, value in IDENTITY for word in ("--config", f"{name}={value}")]
        git("clone", "--quiet", "--shared", "--template=", *settings, origin, str(where))
        if branch != MAIN:
            there = git("branch", "--remotes", "--list", f"origin/{branch}", where=where)
            git("switch", "--quiet", *([] if there else ["--create"]), branch, where=where)
        yield where


def push(git: Git, where: Path, branch: str) -> str:
    """Push what was committed there; gives the commit."""
    git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}", where=where)
    return git("rev-parse", "HEAD", where=where)
