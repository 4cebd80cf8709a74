"""Fixtures that every part's tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
from servers import RunningServer, valkey_server

from tinytown.transport.blocking import BlockingConnection
from tinytown.transport.multiplexed import MultiplexedConnection

# Whoever starts the tests in the background of a script has SIGINT ignored, with `nohup` SIGHUP, and every child would
# inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# Containers set it, users do not: what is buffered for them would not be buffered in any test.
os.environ.pop("PYTHONUNBUFFERED", None)


@pytest.fixture(scope="session")
def _session_server() -> Iterator[RunningServer]:
    with valkey_server() as server:
        yield server


@pytest.fixture
def server(_session_server: RunningServer) -> RunningServer:
    """The server of the whole test run, emptied. Kill another one: `valkey_server()`."""
    _session_server.flush()
    return _session_server


@pytest.fixture
async def connection(server: RunningServer) -> AsyncIterator[MultiplexedConnection]:
    async with MultiplexedConnection.open(server.address) as connection:
        yield connection


@pytest.fixture
def blocking(server: RunningServer) -> Iterator[BlockingConnection]:
    with BlockingConnection(server.address) as connection:
        yield connection
