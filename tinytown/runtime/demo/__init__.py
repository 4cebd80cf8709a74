"""`tt demo`: a small town at work, with real agents, mailboxes, processes and commits, and nothing from outside.

The agents run a scripted CLI that knows only its prompt and the repository (`agent.py`, `mission/agent.py`). It
starts several times in one demonstration, by `python -m`, so nothing is imported here until it is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ("run",)


def run(*, directory: Path | None, announce: Callable[[str], None], colour: bool, mission: bool = False) -> int:
    """Show a town at work, or at work on a mission; gives the exit status: 0 done, 1 failed, 130 interrupted.

    `directory` is where the repository and the town are made: absent or empty; None makes a temporary one. It
    stays there, whatever happens. `announce` gets one line for people at a time, with colours if `colour`. When
    it returns, no process of the town runs any more. It needs the main thread, for signals are how it is ended,
    and takes a minute at most.
    """
    if mission:
        from tinytown.runtime.demo.mission.play import run as play
    else:
        from tinytown.runtime.demo.play import run as play

    return play(directory=directory, announce=announce, colour=colour)
