"""Real git repositories for tests, and what a person does in them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Checkout:
    """A directory that git has checked out something in."""

    path: Path

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-c", "protocol.file.allow=always", *arguments],
            cwd=self.path,
            env={**os.environ, **IDENTITY},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def commit(self, name: str, text: str) -> str:
        self.write(name, text)
        self.git("add", "--", name)
        self.git("commit", "--quiet", "--message", f"change {name}")
        return self.git("rev-parse", "HEAD")

    def refs(self, above: str) -> list[str]:
        return self.git("for-each-ref", "--format=%(refname)", above).split()

    def has_branch(self, name: str) -> bool:
        return bool(self.refs(f"refs/heads/{name}"))


IDENTITY = {
    "GIT_AUTHOR_NAME": "A Person",
    "GIT_AUTHOR_EMAIL": "person@example.com",
    "GIT_COMMITTER_NAME": "A Person",
    "GIT_COMMITTER_EMAIL": "person@example.com",
    "GIT_CONFIG_NOSYSTEM": "1",
}


def new_repository(path: Path) -> Checkout:
    """A repository with one commit on `main`, as `tt init` leaves it."""
    path.mkdir(parents=True, exist_ok=True)
    checkout = Checkout(path)
    checkout.git("init", "--quiet", "--initial-branch=main")
    checkout.write(".gitignore", ".tt/*\n.env\nbuild/\n")
    checkout.git("add", ".gitignore")
    checkout.commit("code.txt", "one\n")
    return checkout
