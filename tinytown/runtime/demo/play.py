"""The course of a demonstration, without an event loop: each step is one operation, as a person would ask for it.

Whatever happens (an error, the clock, Ctrl-C), the town's processes are ended before it returns.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tinytown.config_server import URL_VARIABLE
from tinytown.errors import TownError
from tinytown.runtime.demo.agent import REVIEW
from tinytown.runtime.demo.limits import limited
from tinytown.runtime.demo.narrator import Narrator
from tinytown.runtime.demo.order import TASK, read_order
from tinytown.runtime.demo.stage import Stage, choose
from tinytown.runtime.demo.view import DIM, GREEN, View
from tinytown.runtime.demo.workshop import run_tests
from tinytown.runtime.opening import open_blocking
from tinytown.runtime.operations.agents import Spawn, spawn
from tinytown.runtime.operations.events import Events, follow
from tinytown.runtime.operations.tasks import Assign, assign
from tinytown.text import term_safe
from tinytown.transport.blocking import run_sync

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinytown.runtime.town import Town

TROUPE = (("dev", "developer"), ("tester", "tester"), ("reviewer", "reviewer"))
"""The agents, each with its role."""

LIMIT = 45.0
"""Seconds for all of it; usual are 4. With the time to end what runs, it stays below a minute."""

INTERRUPTED = 130


class Credit(NamedTuple):
    """What one agent did: counts, and seconds at work."""

    name: str
    role: str
    rounds: int
    tasks: int
    messages: int
    worked: float


def run(*, directory: Path | None, announce: Callable[[str], None], colour: bool) -> int:
    """See `tinytown.runtime.demo.run`."""
    view = View(announce, colour=colour)
    try:
        stage = choose(directory, os.environ)
    except TownError as error:
        view.failed(error.message, error.hint)
        return 1
    status = INTERRUPTED
    credit_list: list[Credit] = []
    try:
        with limited(LIMIT, f"The demonstration was not over within {LIMIT:.0f} s"):
            credit_list = _perform(stage, view)
        status = 0
    except KeyboardInterrupt:
        view.happened("🛑", "Interrupted; ending what runs")
    except (TownError, OSError) as error:
        status = 1
        view.failed(str(error), getattr(error, "hint", ""))
    finally:
        _clear(stage, view, now=status != 0)
    if status == 0:
        status = _show_results(stage, view, credit_list)
    _show_way(stage, view)
    return status


def _perform(stage: Stage, view: View) -> list[Credit]:
    view.plain(
        "🏘️  A town at work: three agents write, test and review a function.",
        "    They are scripts; the town, its mailboxes, processes and commits are real.",
        "",
    )
    stage.make_repository()
    view.happened("🌱", f"A git repository in {term_safe(str(stage.root), lines=False)}")
    stage.make_town()
    view.happened("🏠", "A town in it, with a Redis server of its own")
    with open_blocking(stage.root, environ=stage.environ) as town:
        return run_sync(_work(town, view))


async def _work(town: Town, view: View) -> list[Credit]:
    narrator = Narrator(town, view)
    for name, role in TROUPE:
        spawned = await spawn(town, Spawn(name, role=role))
        narrator.meet(spawned.agent)
        begun = ", and a runtime in the background runs it" if spawned.runtime_started else ""
        view.happened("✨", f"{view.name(name)} is spawned{begun}")
    position = await town.journal.position()
    await assign(town, Assign(TROUPE[0][0], TASK))
    async with aclosing(follow(town, Events(), position)) as happening:
        async for event in happening:
            await narrator.tell(event)
            if narrator.over:
                break
    agents = {str(agent.id): agent for agent in await town.store.agents()}
    return [
        Credit(
            life.name,
            agents[agent_id].role or "",
            agents[agent_id].rounds_completed,
            agents[agent_id].tasks_completed,
            life.messages,
            life.worked,
        )
        for agent_id, life in narrator.lives.items()
    ]


def _clear(stage: Stage, view: View, *, now: bool) -> None:
    try:
        stage.clear(now=now)
    except (TownError, OSError) as error:
        view.failed(f"Not everything could be ended: {error}", getattr(error, "hint", ""))


def _show_results(stage: Stage, view: View, credit_list: list[Credit]) -> int:
    """What was done, looked at from outside; gives the exit status: 1 when it is not what was ordered."""
    view.title("Who did what")
    view.table(
        ("agent", "role", "rounds", "tasks", "messages", "at work"),
        [
            (each.name, each.role, str(each.rounds), str(each.tasks), str(each.messages), f"{each.worked:.1f} s")
            for each in credit_list
        ],
    )
    view.title("git log")
    try:
        commits = stage.git("log", "--reverse", "--format=%h %<(13)%an %s").splitlines()
    except TownError as error:
        view.failed(error.message, error.hint)
        return 1
    view.plain(*(f"  {term_safe(line)}" for line in commits))
    view.title("Result")
    order = read_order(TASK)
    tests = run_tests(order.test_file, where=stage.root) if order is not None else None
    view.plain(f"  python -m unittest: {tests.verdict if tests is not None else 'not run'}")
    if tests is None or not tests.passed or not (stage.root / REVIEW).is_file():
        view.failed("The agents ended, but their work is not what was ordered", "Look into .tt/logs there.")
        return 1
    view.plain("", view.paint(f"🎉 Done in {view.elapsed:.1f} s. Nothing is left running.", GREEN))
    return 0


def _show_way(stage: Stage, view: View) -> None:
    """Where it is and how to look around, in commands that work in the shell that `tt demo` was started from."""
    steps = [(f"cd {_quoted(stage.root)}", "")]
    state = stage.state_directory()
    if state is not None:
        if os.environ.get(URL_VARIABLE):
            steps.append((f"unset {URL_VARIABLE}", "this town has a server of its own"))
        if own_tt := _tt_to_name():
            steps.append((f"alias tt={_quoted(own_tt)}", "it is not on your PATH"))
        steps += [
            ("git log --stat", "who committed what"),
            ("tt status --deep", "the agents and their rounds"),
            ("tt inbox conductor", "what was reported to you"),
            (f"cat {REVIEW}", "what the reviewer says"),
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
