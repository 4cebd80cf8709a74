"""A town of the runtime's tests: a project and a user of its own, on the server of the test run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import RunningServer

from tinytown.runtime.opening import open_blocking
from tinytown.runtime.operations.initialize import InitRequest, initialize
from tinytown.runtime.town import Town


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user without any file, and the directory in which this user works."""
    base = Path(tempfile.mkdtemp(prefix="tt"))
    for name in list(os.environ):
        if name.startswith(("TINYTOWN_", "REDIS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(base / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(base / "state"))
    (base / "home").mkdir()
    (base / "project").mkdir()
    yield base
    shutil.rmtree(base)


@pytest.fixture
def project(user: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is no town yet; towns made in it use the server of the test run."""
    monkeypatch.setenv("REDIS_URL", f"unix://{server.socket_path}")
    return user / "project"


@pytest.fixture
def made(project: Path) -> Path:
    """The directory of a town that was made, called `demo`."""
    initialize(InitRequest(project, "demo"), environ=os.environ)
    return project


@pytest.fixture
def town(made: Path) -> Iterator[Town]:
    """A town, opened by a person on a blocking connection: `run_sync(operation(town, request))`."""
    with open_blocking(made, environ=os.environ) as town:
        yield town
