"""A limit of time for a command that has no event loop.

Under trio the caller opens a cancel scope; a command on a blocking connection has none, and gets its limit from
the interval timer of the process instead. Only the main thread can use it, and only one at a time.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tinytown.errors import Timeout

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def deadline(seconds: float | None, message: str) -> Iterator[None]:
    """Raises `Timeout` with this message in the block when so many seconds are over; None sets no limit."""
    if seconds is None:
        yield
        return

    def ring(_number: int, _frame: object) -> None:
        raise Timeout(message)

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
