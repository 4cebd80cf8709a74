"""A person with an empty home, and one with a new town."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from person import FAKE_CLI, TT, Person


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
        if (one.directory / "tinytown.toml").exists():
            ended = one.tt("stop", "--redis", "--now")
            assert ended.code == 0, ended.err
        shutil.rmtree(base)


@pytest.fixture
def town_dir(person: Person) -> Person:
    """The person in the directory of a new town named `demo`."""
    made = person.tt("init", "--name", "demo")
    assert made.code == 0, made.err
    return person
