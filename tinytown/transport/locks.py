"""Locks between processes of one host: whoever has the file open and locked holds it.

The kernel gives a lock back when its holder dies, so there is no stale lock and no pid to believe. A lock file is
never removed: another process may hold the lock on the removed one, while a third locks the new one.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class FileLock:
    """A lock that is held; `release`, or the end of a `with` block, gives it back.

    A child process that inherits the descriptor holds the lock with us, and alone after we have released it.
    """

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def fileno(self) -> int:
        """The descriptor, to be inherited by a child."""
        return self._descriptor

    def note(self, text: str) -> None:
        """Writes into the file who holds it, for people who look; nothing of ours decides by it."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def release(self) -> None:
        """Gives it back; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@contextmanager
def locked(path: Path) -> Iterator[FileLock]:
    """Waits for the lock without looking again and again, and holds it for the block.

    It blocks the thread: under trio call it in a worker thread.
    """
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except BaseException:
        os.close(descriptor)
        raise
    with FileLock(path, descriptor) as lock:
        yield lock


def try_lock(path: Path) -> FileLock | None:
    """The lock, or None when another holds it; who only looks (`is_locked`) does not count."""
    descriptor = _open(path)
    try:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return FileLock(path, descriptor)
            if is_locked(path):
                os.close(descriptor)
                return None
    except BaseException:
        os.close(descriptor)
        raise


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock at this moment. The file is neither made nor written.

    The kernel tells nothing of such a lock but to who asks for it: for some microseconds nobody else gets it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared: those who look do not see each other.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
