"""The course of any demonstration: a place, a play with a limit, the end of all that runs, and how to look around.

It runs without an event loop: each step is one operation, as a person would ask for it. Whatever happens (an error, the
clock, Ctrl-C), the town's processes are ended before it returns.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from tinytown.config_server import URL_VARIABLE
from tinytown.errors import TownError
from tinytown.runtime.demo.limits import limited
from tinytown.runtime.demo.stage import Stage, choose
from tinytown.runtime.demo.view import DIM, GREEN, View
from tinytown.text import term_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

INTERRUPTED = 130

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Play(Generic[T]):
    """What is shown. `perform` does it, within `limit` seconds; `show` tells what came of it.

    `show` raises `TownError` when that is not what was wanted. `way` gives commands for whoever looks around
    afterwards, with what they are good for; it gets None when nothing came of the play.
    """

    limit: float
    perform: Callable[[Stage, View], T]
    show: Callable[[Stage, View, T], None]
    way: Callable[[T | None], Sequence[tuple[str, str]]]


def run(play: Play[T], *, directory: Path | None, announce: Callable[[str], None], colour: bool) -> int:
    """See `tinytown.runtime.demo.run`."""
    view = View(announce, colour=colour)
    try:
        stage = choose(directory, os.environ)
    except TownError as error:
        view.failed(error.message, error.hint)
        return 1
    status = INTERRUPTED
    result: T | None = None
    try:
        with limited(play.limit, f"The demonstration was not over within {play.limit:.0f} s"):
            result = play.perform(stage, view)
        status = 0
    except KeyboardInterrupt:
        view.happened("🛑", "Interrupted; ending what runs")
    except (TownError, OSError) as error:
        status = 1
        view.failed(str(error), getattr(error, "hint", ""))
    finally:
        _clear(stage, view, now=status != 0)
    if result is not None:
        status = _show_results(play, stage, view, result)
    _show_way(play.way(result), stage, view)
    return status


def _clear(stage: Stage, view: View, *, now: bool) -> None:
    try:
        stage.clear(now=now)
    except (TownError, OSError) as error:
        view.failed(f"Not everything could be ended: {error}", getattr(error, "hint", ""))


def _show_results(play: Play[T], stage: Stage, view: View, result: T) -> int:
    """What was done, looked at from outside; gives the exit status: 1 when it is not what was ordered."""
    try:
        play.show(stage, view, result)
    except TownError as error:
        view.failed(error.message, error.hint)
        return 1
    view.plain("", view.paint(f"🎉 Done in {view.elapsed:.1f} s. Nothing is left running.", GREEN))
    return 0


def show_log(stage: Stage, view: View) -> None:
    """The commits, oldest first."""
    view.title("git log")
    commits = stage.git("log", "--reverse", "--format=%h %<(13)%an %s").splitlines()
    view.plain(*(f"  {term_safe(line)}" for line in commits))


def _show_way(way: Sequence[tuple[str, str]], stage: Stage, view: View) -> None:
    """Where it is and how to look around, in commands that work in the shell that `tt demo` was started from."""
    steps = [(f"cd {_quoted(stage.root)}", "")]
    state = stage.state_directory()
    if state is not None:
        if os.environ.get(URL_VARIABLE):
            steps.append((f"unset {URL_VARIABLE}", "this town has a server of its own"))
        if own_tt := _tt_to_name():
            steps.append((f"alias tt={_quoted(own_tt)}", "it is not on your PATH"))
        steps += [
            *way,
            ("tt stop --redis", "end the server that 'tt' starts when you look"),
            (f"rm -r {_quoted(stage.root)} {_quoted(state)}", "remove it all"),
        ]
    view.title("Look around")
    for command, why in steps:
        view.plain(f"  {command:<20} {view.paint(f'# {why}', DIM)}" if why else f"  {command}")


def _tt_to_name() -> Path | None:
    """This installation's `tt`, where the one that a shell finds is another or none; None where it is this one."""
    own, found = Path(sys.executable).with_name("tt"), shutil.which("tt")
    return own if own.exists() and (found is None or not Path(found).samefile(own)) else None


def _quoted(path: Path) -> str:
    return term_safe(shlex.quote(str(path)), lines=False)
