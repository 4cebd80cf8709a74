"""A GitHub on loopback for commands that run in this thread: it has a thread of its own."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio
from github_server import FakeGitHub, serving

SHOP = "acme/shop"


@contextmanager
def github_beside() -> Iterator[FakeGitHub]:
    """A GitHub with a few issues of acme/shop, for the time of the block."""
    ready: queue.SimpleQueue[tuple[FakeGitHub, trio.lowlevel.TrioToken, trio.CancelScope]] = queue.SimpleQueue()

    async def serve() -> None:
        with trio.CancelScope() as scope:
            async with serving() as fake:
                ready.put((fake, trio.lowlevel.current_trio_token(), scope))
                await trio.sleep_forever()

    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    fake, token, scope = ready.get()
    fake.issue(f"{SHOP}#1", "Design auth API", "Design the authentication API schema.")
    fake.issue(f"{SHOP}#2", "Implement auth endpoints", "Depends on #1.")
    fake.issue(f"{SHOP}#3", "Write auth tests", "After #2.")
    fake.issue(f"{SHOP}#4", "Add a dark theme", "Please \x1b[31madd it.", author="eve", association="NONE")
    fake.issue(f"{SHOP}#5", "Buy followers", "Cheap!", author="mallory", association="NONE")
    try:
        yield fake
    finally:
        trio.from_thread.run_sync(scope.cancel, trio_token=token)
        thread.join()


def clone(directory: Path) -> None:
    """Let the directory look like a clone of acme/shop."""
    for line in (["init", "-q"], ["remote", "add", "origin", f"https://github.com/{SHOP}.git"]):
        subprocess.run(["git", *line], cwd=directory, check=True)
