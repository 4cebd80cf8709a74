"""Townhall beside the runtime, in its nursery: for `tt start --townhall`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tinytown.web.log import begin_logging
from tinytown.web.run import townhall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


@asynccontextmanager
async def beside(root: Path, announce: Callable[[str], None]) -> AsyncIterator[None]:
    """Serve the town in `root` for the time of the block."""
    begin_logging(verbose=False)
    async with townhall(root, announce=announce):
        yield
