"""A fork server as the tests see it: whether it lives, what it has done, and how to go without it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from living import servers_of, wait_until

from tinytown.actors.processes import all_processes
from tinytown.cli.forkclient import SOCKET_NAME

__all__ = ("COLD", "children_of", "commands_done", "servers_of", "stuck_pipe", "wait_served")

COLD = {"PYTHON_OF_ANOTHER_KIND": "1"}
"""A variable that Python might obey and no fork server has: a `tt` with it does everything itself."""


def children_of(pid: int) -> list[int]:
    """The commands that it does now."""
    return [process.pid for process in all_processes() if process.parent == pid and not process.zombie]


def wait_served(state: Path) -> int:
    """Wait until a fork server listens there; gives its pid."""

    def found() -> list[int]:
        with socket.socket(socket.AF_UNIX) as connection:
            listens = connection.connect_ex(str(state / SOCKET_NAME)) == 0
        return servers_of(state) if listens else []

    pids: list[int] = wait_until(found, what="a fork server to listen")
    assert len(pids) == 1
    return pids[0]


def commands_done(pid: int) -> int:
    """Grows with every command that it has done: the page faults of its children that have ended."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[8])


@contextmanager
def stuck_pipe() -> Iterator[int]:
    """A pipe into which nothing more goes, and from which nobody reads: whoever writes into it stands still."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    for size in (1 << 16, 1):
        with suppress(BlockingIOError):
            while os.write(writing, b"x" * size):
                continue
    os.set_blocking(writing, True)
    try:
        yield writing
    finally:
        os.close(reading)
        os.close(writing)
