"""The hands of a demonstration's agent: git, the tests and `tt`, each a program of its own, as for any CLI."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

IDENTITY = (
    ("user.name", "Tinytown demo"),
    ("user.email", "demo@demo.invalid"),
    ("commit.gpgsign", "false"),
    ("core.hooksPath", os.devnull),
)
"""What git is set to in each repository of a demonstration, so that nothing of the user's reaches into it."""

_FAILURE = re.compile(r"^(?:FAIL|ERROR): (\w+) .*?^-{10,}\n.*?^(\w+(?:Error|Exception).*?)$", re.MULTILINE | re.DOTALL)


class Trial(NamedTuple):
    """What came of the tests: how many ran, and of each that failed its name and the last word of its trace."""

    ran: int
    failures: tuple[tuple[str, str], ...]
    passed: bool

    @property
    def verdict(self) -> str:
        """In a few words."""
        bad = len(self.failures)
        return f"{self.ran} tests pass" if self.passed else f"{bad} of {self.ran} tests failed"


def say(text: str) -> None:
    """A line for whoever watches: it goes into the log of the round."""
    print(text, flush=True)


def git(*arguments: str, where: Path | None = None) -> str:
    """What git answers, in this directory or in `where`. Raises `CalledProcessError` when it refuses."""
    return _run("git", *arguments, where=where)


def tt(*arguments: str) -> str:
    """What `tt` answers. It is the one of this very installation, whatever else is called so on the PATH."""
    beside = Path(sys.executable).with_name("tt")
    program = [str(beside)] if beside.exists() else [sys.executable, "-P", "-m", "tinytown.cli.main"]
    return _run(*program, *arguments)


def commit(author: str, message: str, *paths: str, where: Path | None = None) -> str:
    """Commit these files as this agent; gives the short hash: of the last commit, when nothing is new."""
    git("add", "--", *paths, where=where)
    if git("status", "--porcelain", "--", *paths, where=where):
        name = f"{author} <{author}@demo.invalid>"
        git("commit", "--quiet", "--author", name, "--message", message, "--", *paths, where=where)
    return git("rev-parse", "--short", "HEAD", where=where)


def run_tests(test_file: str, *, where: Path | None = None) -> Trial:
    """Run a file of tests, in a process of its own, in this directory or in `where`."""
    done = subprocess.run(
        [sys.executable, "-B", "-m", "unittest", test_file],
        cwd=where,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    ran = re.search(r"^Ran (\d+) tests?", done.stderr, re.MULTILINE)
    return Trial(int(ran[1]) if ran else 0, tuple(_FAILURE.findall(done.stderr)), done.returncode == 0)


def _run(*command: str, where: Path | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=where,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        say(f"{' '.join(command[:3])} failed with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    done.check_returncode()
    return done.stdout.strip()
