"""What the tests of the actors share: a stage in virtual time."""

from __future__ import annotations

import pytest
import trio
from stage import Stage
from trio.testing import MockClock


@pytest.fixture
async def stage(autojump_clock: MockClock, nursery: trio.Nursery) -> Stage:
    """A town on the twin, on a clock that jumps whenever everybody waits."""
    stage = Stage(nursery)
    await stage.open()
    return stage
