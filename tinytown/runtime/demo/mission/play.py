"""The second demonstration: the manual's tutorial of a mission, from `tt mission start` to its end.

Everything but the GitHub and the models is real: the graph, the scheduler, the agents' processes, branches, commits,
checks and merges.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.errors import RuntimeFailed
from tinytown.runtime.demo import course
from tinytown.runtime.demo.course import Play, show_log
from tinytown.runtime.demo.forge import Forge
from tinytown.runtime.demo.forge.serving import HOST, serving
from tinytown.runtime.demo.mission.agent import HUB_VARIABLE, ORIGIN_VARIABLE
from tinytown.runtime.demo.mission.bench import MAIN
from tinytown.runtime.demo.mission.narrator import MissionNarrator
from tinytown.runtime.demo.mission.story import CHAPTERS, CHECKS, README, REPOSITORY
from tinytown.runtime.demo.mission.works import CHECKS_FILE, Works
from tinytown.runtime.demo.stage import Scene
from tinytown.runtime.demo.troupe import show_credits, spawn_troupe, tell_from
from tinytown.runtime.opening import open_blocking
from tinytown.runtime.operations.missions.steering import StopMission, stop_mission
from tinytown.text import term_safe
from tinytown.transport.blocking import run_sync

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tinytown.runtime.demo.stage import Stage
    from tinytown.runtime.demo.troupe import Credit
    from tinytown.runtime.demo.view import View
    from tinytown.runtime.town import Town

TEAM = (("designer", "designer"), ("backend", "backend"), ("tester", "tester"))
"""The agents of the tutorial. None has reviewing for its role, so each reviews what it has not written."""

LIMIT = 55.0
"""Seconds for all of it; usual are 12. With the time to end what runs, it stays about a minute."""

_ORIGIN = ".demo/origin.git"
_CONFIG = """
[mission]
tick_secs = 0.5
watch_interval_secs = 1
"""


@dataclass(frozen=True, slots=True)
class Performed:
    """The mission by its id, and who did what."""

    mission: str
    credit_list: list[Credit]


def run(*, directory: Path | None, announce: Callable[[str], None], colour: bool) -> int:
    """See `tinytown.runtime.demo.run`."""
    return course.run(Play(LIMIT, _perform, _show, _way), directory=directory, announce=announce, colour=colour)


def _perform(stage: Stage, view: View) -> Performed:
    view.plain(
        "🎯 A mission: three issues, done, reviewed and merged in the order that they ask for.",
        "    The agents are scripts and GitHub is a small stand-in; all else is real.",
        "",
    )
    stage.make_repository()
    view.happened("🌱", f"A git repository in {term_safe(str(stage.root), lines=False)}")
    forge = Forge()
    with serving(forge) as url:
        stage.make_town(_scene(stage, url))
        _make_origin(stage)
        view.happened("🏠", "A town in it, with a Redis server of its own")
        works = Works(stage, view, stage.root / _ORIGIN)
        repo = forge.repo(REPOSITORY)
        forge.told, repo.make_merge = works.told, works.merge
        for number, chapter in enumerate(CHAPTERS, 1):
            issue = repo.issue(number, chapter.title, chapter.body)
            view.happened("📝", f"Issue {issue.key}: {chapter.title}")
        stage.environ |= {
            "GITHUB_API_URL": url,
            "GITHUB_GRAPHQL_URL": f"{url}/graphql",
            "GH_TOKEN": "of-the-demonstration",
            # Loopback is asked directly, whatever proxy the machine has.
            "NO_PROXY": HOST,
            "no_proxy": HOST,
        }
        with open_blocking(stage.root, environ=stage.environ) as town:
            try:
                return run_sync(_work(town, stage, view))
            except BaseException:
                # Else whoever starts a runtime there would go on with it, at the true GitHub.
                run_sync(_give_up(town))
                raise


def _scene(stage: Stage, url: str) -> Scene:
    return Scene(
        "tinytown.runtime.demo.mission.agent",
        {"README.md": README, CHECKS_FILE: CHECKS},
        ignored=("__pycache__/", f"/{_ORIGIN.partition('/')[0]}/"),
        variables={HUB_VARIABLE: url, ORIGIN_VARIABLE: str(stage.root / _ORIGIN)},
        config=_CONFIG,
    )


def _make_origin(stage: Stage) -> None:
    """What `origin` is: by its address the repository at GitHub, on the disk a copy of this one."""
    stage.git("clone", "--quiet", "--bare", "--template=", str(stage.root), str(stage.root / _ORIGIN))
    stage.git("remote", "add", "origin", f"https://github.com/{REPOSITORY}.git")


async def _work(town: Town, stage: Stage, view: View) -> Performed:
    narrator = MissionNarrator(town, view)
    await spawn_troupe(narrator, TEAM)
    position = await town.journal.position()
    issues = [word for number in range(1, len(CHAPTERS) + 1) for word in ("--issue", str(number))]
    _type(stage, view, "mission", "start", *issues, "--auto-merge")
    credit_list = await tell_from(narrator, position)
    return Performed(narrator.mission, credit_list)


async def _give_up(town: Town) -> None:
    for mission_id in await town.missions.active():
        await stop_mission(town, StopMission(mission_id, force=True))


def _type(stage: Stage, view: View, *words: str) -> None:
    """Run `tt` as a person would, and show what it says."""
    view.happened("⌨️ ", f"tt {' '.join(words)}")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tinytown.cli.main", *words],
        cwd=stage.root,
        env=stage.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    view.plain(*(f"          {term_safe(line)}" for line in done.stdout.splitlines()))
    if done.returncode != 0:
        raise RuntimeFailed(f"'tt {words[0]}' failed: {done.stderr.strip()}")


def _show(stage: Stage, view: View, performed: Performed) -> None:
    show_credits(view, performed.credit_list)
    origin = str(stage.root / _ORIGIN)
    stage.git("remote", "set-url", "origin", origin)
    stage.git("pull", "--quiet", "--ff-only", "origin", MAIN)
    show_log(stage, view)
    missing = [chapter.path for chapter in CHAPTERS if not (stage.root / chapter.path).is_file()]
    if missing:
        raise RuntimeFailed(f"The mission ended without {', '.join(missing)}", hint="Look into .tt/logs there.")


def _way(performed: Performed | None) -> Sequence[tuple[str, str]]:
    status = f"tt mission status --run {performed.mission[:8]} --work" if performed else "tt mission status --work"
    return (
        ("git log --stat", "who committed what"),
        (status, "the mission's items and pull requests"),
        ("tt mission list --all", "all missions"),
        ("tt status --deep", "the agents and their rounds"),
    )
