"""How a demonstration is ended from outside: by the clock, by Ctrl-C, by a signal.

It runs without an event loop, so all of these reach it as exceptions out of whatever it waits for.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tinytown.errors import Timeout

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def limited(seconds: float, message: str, *, deaf: bool = False) -> Iterator[None]:
    """Raises `Timeout` with this message in the block when so many seconds are over; main thread only.

    SIGTERM and SIGHUP become `KeyboardInterrupt`, as Ctrl-C is. A `deaf` block hears none of the three.
    """

    def ring(_number: int, _frame: object) -> None:
        raise Timeout(message)

    def end(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {signal.SIGALRM: signal.signal(signal.SIGALRM, ring)}
    for number in _ENDS:
        before[number] = signal.signal(number, signal.SIG_IGN if deaf else end)
    if deaf:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
