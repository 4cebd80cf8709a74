"""What the tests about GitHub share. A module that needs more of it fills `hub` in a fixture of that name."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from course import Course
from github_server import FakeGitHub, serving
from towns import Parts
from twin import Twin

from tinytown.actors.missions.github.client import GitHub
from tinytown.actors.missions.github.clients import Clients


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGitHub]:
    """A GitHub on a real socket, with nothing in it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with serving() as fake:
        yield fake


@pytest.fixture
async def github(hub: FakeGitHub) -> AsyncIterator[GitHub]:
    """A client that asks it."""
    async with hub.client() as client:
        yield client


@pytest.fixture
async def course(hub: FakeGitHub) -> AsyncIterator[Course]:
    """A mission that has still to begin, in a town with two agents; `o/r#1` is there to begin with."""
    hub.issue("o/r#1", "Design", "What to do")
    async with Clients.open(hub.environ, sleep=hub.sleep, wall=lambda: hub.now) as clients:
        course = Course(hub, Parts(Twin()), clients)
        for name in ("worker", "reviewer"):
            await course.agent(name)
        yield course
