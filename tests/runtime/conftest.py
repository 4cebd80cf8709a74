"""What the tests of the runtime share: a stage in virtual time, and real towns in projects of their own."""

from __future__ import annotations

import pytest
import trio
from runtime_parts import made, project, town, user
from stage import Stage
from trio.testing import MockClock

__all__ = ("clock", "made", "project", "stage", "town", "user")


@pytest.fixture
def clock() -> MockClock:
    """A clock that jumps whenever everybody waits."""
    return MockClock(autojump_threshold=0)


@pytest.fixture
async def stage(clock: MockClock, nursery: trio.Nursery) -> Stage:
    """A town on the twin. The test takes `clock` too: only a test's own arguments set the clock it runs on."""
    assert trio.lowlevel.current_clock() is clock
    stage = Stage(nursery)
    await stage.open()
    return stage
