"""A user with an empty home who watches a demonstration, and what is left of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tinytown.runtime.demo import run

GIT = shutil.which("git") or ""


@dataclass
class Ground:
    """A user with an empty home, and a directory to play in."""

    home: Path
    lines: list[str] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)
    """What is set while it plays."""

    @property
    def directory(self) -> Path:
        return self.home / "play"

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def play(self, *, mission: bool = False) -> int:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environ.items():
                patch.setenv(name, value)
            return run(directory=self.directory, announce=self.lines.append, colour=False, mission=mission)

    def git(self, *arguments: str) -> str:
        done = subprocess.run([GIT, *arguments], cwd=self.directory, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def replace_git(self, script: str) -> None:
        """Put a `git` before the real one that does this with the commits of agents."""
        program = self.home / "bin" / "git"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\ncase "$*" in *--author*) {script};; esac\nexec {GIT} "$@"\n')
        program.chmod(0o755)

    def left_running(self) -> list[str]:
        """What still runs and has to do with this user's home."""
        found = []
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and process.name != str(os.getpid()):
                try:
                    words = (process / "cmdline").read_bytes()
                    told = words + (process / "environ").read_bytes() + os.fsencode((process / "cwd").readlink())
                except OSError:
                    continue
                if os.fsencode(self.home) in told:
                    found.append(words.replace(b"\0", b" ").decode())
        return found


@contextmanager
def playing() -> Iterator[Ground]:
    """A user who has set things that must not reach into a demonstration, as long as `Ground.play` runs."""
    with pytest.MonkeyPatch.context() as patch:
        home = Path(tempfile.mkdtemp(prefix="tt")).resolve()
        patch.setenv("HOME", str(home))
        patch.delenv("XDG_STATE_HOME", raising=False)
        here = Ground(home)
        here.environ = {
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "GIT_DIR": str(home / "nowhere"),
            "TINYTOWN_AGENT_ID": "somebody",
            "GITHUB_API_URL": "http://127.0.0.1:1",
            "GH_TOKEN": "of-the-user",
            "HTTP_PROXY": "http://127.0.0.1:1",
        }
        try:
            yield here
        finally:
            shutil.rmtree(home)


@contextmanager
def shown(*, mission: bool = False) -> Iterator[Ground]:
    """A demonstration that goes well."""
    with playing() as here:
        assert here.play(mission=mission) == 0, here.text
        yield here
