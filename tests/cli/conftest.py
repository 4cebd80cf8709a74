"""A person at a terminal: the real `tt` as a child process, in a home and a project of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tinytown.records import Agent
from tinytown.runtime.opening import open_blocking
from tinytown.runtime.operations.agents import Spawn, spawn
from tinytown.transport.blocking import run_sync

TT = Path(sys.executable).with_name("tt")
FAKE_CLI = Path(__file__).parent.parent / "fake_cli.py"
LONG = 60.0


@dataclass
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on standard output."""
        return json.loads(self.out)


@dataclass
class Person:
    """Types commands in a directory."""

    directory: Path
    environ: dict[str, str] = field(default_factory=dict)

    def tt(self, *arguments: str | bytes, text: str | bytes = "", **more: str) -> Said:
        """Run `tt` and wait for its end; `text` is its standard input, `more` its environment."""
        done = subprocess.run(
            [TT, *arguments],
            input=text if isinstance(text, bytes) else text.encode(),
            capture_output=True,
            cwd=self.directory,
            env={**self.environ, **more},
            timeout=LONG,
            check=False,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())

    def begin(self, *arguments: str, **more: Any) -> subprocess.Popen[bytes]:
        """Start `tt` and go on."""
        return subprocess.Popen(
            [TT, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.directory,
            env=self.environ,
            **more,
        )

    def agent(self, name: str) -> Agent:
        """A new agent that no runtime runs."""
        with open_blocking(self.directory, environ=self.environ) as town:
            return run_sync(spawn(town, Spawn(name, runtime=False))).agent


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    """A person with an empty home, in an empty directory; agents run a scripted CLI."""
    base = Path(os.path.realpath(tempfile.mkdtemp(prefix="tt")))
    for name in list(os.environ):
        if name.startswith(("TINYTOWN", "REDIS_URL", "NO_COLOR", "SHELL")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(base / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(base / "state"))
    for name in ("home/.tt", "state", "town"):
        (base / name).mkdir(parents=True)
    (base / "home/.tt/config.toml").write_text(
        f'default_cli = "fake"\n[agent_clis.fake]\ncommand = "{sys.executable} {FAKE_CLI} say=done"\n'
    )
    one = Person(base / "town", {**os.environ, "PATH": f"{TT.parent}:{os.environ['PATH']}"})
    try:
        yield one
    finally:
        if (one.directory / ".tt/town").exists():
            ended = one.tt("stop", "--redis", "--now")
            assert ended.code == 0, ended.err
        shutil.rmtree(base)


@pytest.fixture
def town_dir(person: Person) -> Person:
    """The person in the directory of a new town named `demo`."""
    made = person.tt("init", "--name", "demo")
    assert made.code == 0, made.err
    return person
