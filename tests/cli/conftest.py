"""A person with an empty home, and one with a new town.

The town is made and ended by `tt` in this process: to start another one for it would take longer than most tests.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from github_server import FakeGitHub
from hub import clone, github_beside
from person import FAKE_CLI, TT, Person
from runtime_parts import user

from tinytown.cli.main import main

__all__ = ("home", "person", "town_dir", "user")


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
    (base / "home/.tt/config.toml").write_text(f'[agent_clis.fake]\ncommand = "{sys.executable} {FAKE_CLI} say=done"\n')
    environ = {**os.environ, "PATH": f"{TT.parent}:{os.environ['PATH']}"}
    # Compiled once, as an installed tt is.
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    one = Person(base / "town", environ)
    try:
        yield one
    finally:
        if (one.directory / "tinytown.toml").exists():
            assert main(["stop", "--redis", "--now", "--town", str(one.directory)]) == 0
        shutil.rmtree(base)


@pytest.fixture
def town_dir(person: Person) -> Person:
    """The person in the directory of a new town named `demo`."""
    assert main(["init", "--name", "demo", "--town", str(person.directory)]) == 0
    return person


@pytest.fixture
def hub(person: Person, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGitHub]:
    """A GitHub that `tt` finds, and the person's directory is a clone of what is there."""
    clone(person.directory)
    with github_beside() as fake:
        for name, value in {**fake.environ, "NO_PROXY": "127.0.0.1"}.items():
            person.environ[name] = value
            monkeypatch.setenv(name, value)
        yield fake


SCRIPT = """\
#!/bin/sh
if [ -t 0 ]; then
    echo "$TINYTOWN_AGENT was told: $1"
    exec tt status --deep
fi
case $(cat) in *"Add a logout button"*) exec sleep 3600; esac
echo 'It is done.'
"""
"""Stands for a coding CLI: reads its prompt and says that it is done, unless it is one that a person interrupts. In a
terminal it is a conductor that resumes, of which the manual says that it looks at the status."""


@pytest.fixture
def home(person: Person, monkeypatch: pytest.MonkeyPatch) -> Person:
    """A person in an empty directory whose `claude`, `auggie` and `codex` are scripted."""
    (person.directory.parent / "home/.tt/config.toml").unlink()
    programs = person.directory.parent / "bin"
    programs.mkdir()
    for name in ("claude", "auggie", "codex"):
        (programs / name).write_text(SCRIPT)
        (programs / name).chmod(0o755)
    # As root the options of claude are refused without this.
    person.environ |= {"PATH": f"{programs}:{person.environ['PATH']}", "IS_SANDBOX": "1"}
    for name in ("PATH", "IS_SANDBOX"):
        monkeypatch.setenv(name, person.environ[name])
    monkeypatch.chdir(person.directory)
    return person
