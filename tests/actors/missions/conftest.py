"""What the tests about GitHub share. A module that needs more of it fills `hub` in a fixture of that name."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from github_server import FakeGitHub, serving

from tinytown.actors.missions.github.client import GitHub


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
