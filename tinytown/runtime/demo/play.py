"""The first demonstration: three agents write, test and review a function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.errors import RuntimeFailed
from tinytown.runtime.demo import course
from tinytown.runtime.demo.agent import REVIEW
from tinytown.runtime.demo.course import Play, show_log
from tinytown.runtime.demo.narrator import Narrator
from tinytown.runtime.demo.order import TASK, read_order
from tinytown.runtime.demo.stage import Scene
from tinytown.runtime.demo.troupe import show_credits, spawn_troupe, tell_from
from tinytown.runtime.demo.workshop import run_tests
from tinytown.runtime.opening import open_blocking
from tinytown.runtime.operations.tasks import Assign, assign
from tinytown.text import term_safe
from tinytown.transport.blocking import run_sync

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tinytown.runtime.demo.stage import Stage
    from tinytown.runtime.demo.troupe import Credit
    from tinytown.runtime.demo.view import View
    from tinytown.runtime.town import Town

TROUPE = (("dev", "developer"), ("tester", "tester"), ("reviewer", "reviewer"))
"""The agents, each with its role."""

LIMIT = 45.0
"""Seconds for all of it; usual are 4. With the time to end what runs, it stays below a minute."""

_SCENE = Scene(
    "tinytown.runtime.demo.agent",
    {
        "README.md": """\
# A demonstration of Tinytown

Three agents wrote, tested and reviewed a function here. `git log` tells who did what; `tt status --deep`, `tt task
list`, `tt events` and the files in `.tt/logs` tell how.
"""
    },
)
_WAY = (
    ("git log --stat", "who committed what"),
    ("tt status --deep", "the agents and their rounds"),
    ("tt inbox conductor", "what was reported to you"),
    (f"cat {REVIEW}", "what the reviewer says"),
)


def run(*, directory: Path | None, announce: Callable[[str], None], colour: bool) -> int:
    """See `tinytown.runtime.demo.run`."""
    return course.run(
        Play(LIMIT, _perform, _show, lambda _: _WAY), directory=directory, announce=announce, colour=colour
    )


def _perform(stage: Stage, view: View) -> list[Credit]:
    view.plain(
        "🏘️  A town at work: three agents write, test and review a function.",
        "    They are scripts; the town, its mailboxes, processes and commits are real.",
        "",
    )
    stage.make_repository()
    view.happened("🌱", f"A git repository in {term_safe(str(stage.root), lines=False)}")
    stage.make_town(_SCENE)
    view.happened("🏠", "A town in it, with a Redis server of its own")
    with open_blocking(stage.root, environ=stage.environ) as town:
        return run_sync(_work(town, view))


async def _work(town: Town, view: View) -> list[Credit]:
    narrator = Narrator(town, view)
    await spawn_troupe(narrator, TROUPE)
    position = await town.journal.position()
    await assign(town, Assign(TROUPE[0][0], TASK))
    return await tell_from(narrator, position)


def _show(stage: Stage, view: View, credit_list: list[Credit]) -> None:
    show_credits(view, credit_list)
    show_log(stage, view)
    view.title("Result")
    order = read_order(TASK)
    tests = run_tests(order.test_file, where=stage.root) if order is not None else None
    view.plain(f"  python -m unittest: {tests.verdict if tests is not None else 'not run'}")
    if tests is None or not tests.passed or not (stage.root / REVIEW).is_file():
        raise RuntimeFailed(
            "The agents ended, but their work is not what was ordered", hint="Look into .tt/logs there."
        )
