"""A town with a mission in it, and the world around: a GitHub on loopback, its checks, its people, scripted agents.

The runtime is a process, and so are the agents; what GitHub holds is in this process and outlives both. What happens
there by itself follows from what is pushed and merged, never from the time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from living import LivingTown, RuntimeProcess, wait_until
from towns import snapshot

from tinytown.ids import AgentId, MissionId
from tinytown.lifecycle import MissionState
from tinytown.records import Task
from tinytown.runtime.demo.forge import Forge, Pull
from tinytown.runtime.demo.forge.serving import serving
from tinytown.runtime.demo.mission.hub import Hub
from tinytown.transport.missions import Missions, SeenMission
from tinytown.transport.store import Store

HOME = "o/r"
CLI = Path(__file__).with_name("mission_cli.py")
CLIS = ("scripted", "claude", "auggie", "codex")
"""The names of our scripted CLI: one of its own, and those that the manual uses."""
TT = Path(sys.executable).with_name("tt")
SECRET = "ghp_0f-the-tests-and-for-nobody-else"
"""The token for GitHub: it may be in the environment of the runtime and of `tt`, and nowhere else."""

# More deaths than one message survives otherwise: what a runtime dies of is not in a prompt here.
CONFIG = """
[limits]
max_recoveries = 20
[mission]
tick_secs = 1
watch_interval_secs = 1
"""
CLI_TABLE = """
[agent_clis.{name}]
command = "{command}"
env = {{ HUB = "{hub}", DONE = "{done}" }}
"""


@dataclass
class Plot:
    """What goes wrong at GitHub, by the number of the issue, with the first head of its pull request."""

    failing: frozenset[int] = frozenset()
    """Its check fails."""
    conflicting: frozenset[int] = frozenset()
    """It conflicts with its base."""
    gates: dict[int, str] = field(default_factory=dict)
    """The issue of another repository that is closed when its pull request is merged."""


@dataclass
class World:
    """The GitHub of a mission and what happens there by itself. `happened` is what of the plot did."""

    plot: Plot = field(default_factory=Plot)
    forge: Forge = field(default_factory=Forge)
    happened: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.forge.told = self.told

    def told(self, what: str, pull: Pull) -> None:
        issue = issue_of(pull)
        if what == "opened" and issue in self.plot.conflicting:
            self.happened.append(f"{issue} conflicts")
            pull.conflicting = True
        failing = what == "opened" and issue in self.plot.failing
        if failing:
            self.happened.append(f"{issue} fails")
        if what in ("opened", "pushed"):
            pull.check("tests", "FAILURE" if failing else "SUCCESS")
        if what == "merged" and issue in self.plot.gates:
            name, _, gate = self.plot.gates[issue].partition("#")
            self.forge.repo(name).issues[int(gate)].close()

    def pull_of(self, issue: int) -> Pull | None:
        """The pull request for an issue."""
        return next((pull for pull in self.forge.repo(HOME).pulls.values() if issue_of(pull) == issue), None)


def issue_of(pull: Pull) -> int:
    """The issue that a pull request of our agents is for."""
    return int(pull.body.partition("Closes #")[2].split()[0])


class MissionTown(LivingTown):
    """A town whose agents work for missions, beside a world."""

    def __init__(self, user: Path, world: World, hub: str) -> None:
        self.world = world
        self.hub = Hub(hub)
        self.done_path = user / "done"
        self.done_path.touch()
        self.environ = {
            "GITHUB_API_URL": hub,
            "GITHUB_GRAPHQL_URL": f"{hub}/graphql",
            "GH_TOKEN": SECRET,
            "NO_PROXY": "127.0.0.1",
        }
        command = f"{sys.executable} {CLI}"
        tables = (CLI_TABLE.format(name=name, command=command, hub=hub, done=self.done_path) for name in CLIS)
        super().__init__(user, config=CONFIG + "".join(tables))
        for arguments in (["init", "-q"], ["remote", "add", "origin", f"https://github.com/{HOME}.git"]):
            subprocess.run(["git", *arguments], cwd=self.root, check=True)

    def begin(self) -> RuntimeProcess:
        """A new runtime that serves."""
        return self.start(**self.environ).wait_ready()

    def tt(self, *arguments: str) -> str:
        """What `tt` prints; it has to succeed."""
        environ = {**os.environ, **self.environ}
        done = subprocess.run([TT, *arguments], cwd=self.root, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start_mission(self, *arguments: str) -> MissionId:
        """Start one with `tt mission start`, and give its id."""
        return MissionId(json.loads(self.tt("mission", "start", *arguments, "--json"))["id"])

    def seen(self, mission: MissionId) -> SeenMission:
        """How it stands."""
        found: SeenMission = self.ask(lambda connection: Missions(connection, self.ground.keys).see(mission))
        return found

    def name_of(self, agent: AgentId | None) -> str:
        """What an agent is called."""
        limits = self.ground.settings.limits
        names = self.ask(lambda connection: Store(connection, self.ground.keys, limits).names())
        return str(names[agent])

    def is_over(self, mission: MissionId) -> bool:
        """Whether nothing of it is left to do."""
        return self.seen(mission).mission.state in (MissionState.COMPLETED, MissionState.FAILED)

    def wait_over(self, mission: MissionId) -> None:
        """Wait until nothing of it is left to do."""
        try:
            wait_until(lambda: self.is_over(mission))
        except AssertionError:
            raise AssertionError(self.story(mission)) from None

    def told(self) -> int:
        """How much there is in the journal."""
        return int(self.redis("XLEN", self.ground.keys("events")))

    def tasks(self) -> list[Task]:
        """All tasks of the town."""
        limits = self.ground.settings.limits
        found: list[Task] = self.ask(lambda connection: Store(connection, self.ground.keys, limits).tasks())
        return found

    def whispers(self) -> list[str]:
        """Where the token is written that may be nowhere: keys in Redis, and files of the town."""
        found = [
            key
            for key, value in self.ask(snapshot).items()
            if SECRET in repr(value) and key.startswith(self.ground.keys.prefix)
        ]
        roots = (self.root, self.ground.state.directory)
        files = [path for root in roots for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
        return found + [str(path) for path in files if SECRET.encode() in path.read_bytes()]

    def given(self) -> Counter[str]:
        """How often an agent was given each task: `id kind key`."""
        return Counter(self.done_path.read_text().splitlines())

    def story(self, mission: MissionId) -> str:
        """For the message of a test that fails: how all stands, and the end of the log."""
        seen = self.seen(mission)
        lines = [f"{seen.mission.state}: {seen.mission.reason}"]
        lines += [f"{item.key} {item.state} {item.waits_for} {item.reason} {item.pull}" for item in seen.items]
        lines += [f"{watch.watch_kind} {watch.target} {watch.state} {watch.last_result}" for watch in seen.watches]
        lines += [f"{task.state} {task.description.splitlines()[0]}" for task in self.tasks()]
        log = self.runtimes[-1].log.read_text()[-3000:] if self.runtimes else ""
        return "\n".join([*lines, log])


@contextmanager
def mission_town(user: Path, plot: Plot | None = None) -> Iterator[MissionTown]:
    """A town and a world, both gone at the end."""
    world = World(plot or Plot())
    with serving(world.forge) as hub:
        town = MissionTown(user, world, hub)
        try:
            yield town
        finally:
            town.close()
