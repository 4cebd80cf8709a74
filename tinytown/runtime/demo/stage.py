"""The place of a demonstration: a directory with a git repository and a town; and its end, with no process left.

Nothing of the user's reaches into it: no `REDIS_URL`, no identity of an agent, no `GIT_DIR` of a hook that called
us, no token of GitHub, no signing key and no hooks. What stays is the directory, and the town's data in the user's
state directory.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tinytown.config import PROJECT_FILE, default_toml, load
from tinytown.config_server import URL_VARIABLE
from tinytown.config_toml import toml_text
from tinytown.config_trust import accept
from tinytown.errors import Conflict, RuntimeFailed, TownError
from tinytown.runtime.demo.limits import limited
from tinytown.runtime.demo.workshop import IDENTITY
from tinytown.runtime.ground import survey
from tinytown.runtime.halt import end_runtime, runtime_pids, stop_server
from tinytown.runtime.naming import default_name
from tinytown.runtime.opening import open_blocking
from tinytown.runtime.operations.ending import StopTown, stop_town
from tinytown.runtime.operations.initialize import InitRequest, initialize
from tinytown.runtime.operations.waiting import Wait, wait
from tinytown.text import term_safe
from tinytown.transport.blocking import run_sync
from tinytown.transport.files import try_lock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinytown.runtime.ground import Ground

CLI = "demo"
"""What the scripted CLI is called in the configuration of the demonstration's town."""

_END_LIMIT = 8.0
"""Seconds for the agents and the runtime to end when asked; usual are 0.3. Then the runtime is killed."""

_TABLE = """
# The scripted CLI of the demonstration. `tt demo` has accepted it, as `tt trust accept` would.
[agent_clis.{name}]
command = {command}
[agent_clis.{name}.env]
PYTHONUTF8 = "1"
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a repository holds at its beginning.

    `module` is the scripted CLI, with `variables` in its environment; `config` is more of `tinytown.toml`; `files` are
    by their path, besides the `.gitignore` with the lines `ignored`.
    """

    module: str
    files: Mapping[str, str]
    ignored: Sequence[str] = ("__pycache__/",)
    variables: Mapping[str, str] = field(default_factory=dict)
    config: str = ""


class Stage:
    """One such place. `environ` is what its processes are started with."""

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self.root = root
        self.environ = {
            name: value
            for name, value in environ.items()
            if name != URL_VARIABLE and not name.startswith(("TINYTOWN_", "GIT_", "GITHUB_", "GH_"))
        }

    def git(self, *arguments: str, where: Path | None = None) -> str:
        """What git says in the repository, or in `where`. Raises `RuntimeFailed` when it refuses."""
        program = shutil.which("git", path=self.environ.get("PATH"))
        if program is None:
            raise RuntimeFailed("git was not found on the PATH", hint="Install git, then run 'tt demo' again.")
        done = subprocess.run(
            [program, *arguments],
            cwd=where or self.root,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeFailed(f"'git {arguments[0]}' failed: {term_safe(done.stderr.strip())}")
        return done.stdout.strip()

    def make_repository(self) -> None:
        """A repository on `main`, with an identity of its own."""
        self.git("init", "--quiet", "--template=")
        self.git("symbolic-ref", "HEAD", "refs/heads/main")
        for name, value in IDENTITY:
            self.git("config", name, value)

    def make_town(self, scene: Scene) -> None:
        """The town, and the first commit, which holds its configuration."""
        command = shlex.join([sys.executable, "-P", "-m", scene.module])
        table = _TABLE.format(name=CLI, command=toml_text(command))
        table += "".join(f"{name} = {toml_text(value)}\n" for name, value in scene.variables.items())
        config = default_toml(default_name(self.root), default_cli=CLI) + table + scene.config
        ignored = "".join(f"{line}\n" for line in scene.ignored)
        for name, text in {PROJECT_FILE: config, ".gitignore": ignored, **scene.files}.items():
            (self.root / name).write_text(text, encoding="utf-8")
        home = Path.home()
        accept(load(self.root, environ=self.environ, home=home).executable, self.root, home=home)
        initialize(InitRequest(self.root, listed=False), environ=self.environ)
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", "An empty project with a town")

    def state_directory(self) -> Path | None:
        """Where the town's data are, once there is a town."""
        try:
            return survey(self.root, environ=self.environ).state.directory
        except TownError:
            return None

    def clear(self, *, now: bool) -> None:
        """End the agents (`now`: in the middle of what they do), the runtime and the server. The data stays.

        Hears no Ctrl-C, since what it leaves running nobody would end.
        """
        try:
            ground = survey(self.root, environ=self.environ)
        except TownError:
            # There is no town yet.
            return
        pids: list[int] = []
        try:
            with limited(_END_LIMIT, "The runtime does not end", deaf=True):
                self._end_runtime(ground, pids, now=now)
        except TownError:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for pid in pids:
            # It is a child of ours; unreaped, it would look alive to whoever asks.
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        stop_server(ground)

    def _end_runtime(self, ground: Ground, pids: list[int], *, now: bool) -> None:
        lock = try_lock(ground.state.runtime_lock)
        if lock is not None:
            lock.release()
            return
        with open_blocking(self.root, environ=self.environ) as town:
            pids += runtime_pids(town)
            asked = run_sync(stop_town(town, StopTown(now=now)))
            for agent in asked.agents:
                run_sync(wait(town, Wait(agent=agent.id)))
            end_runtime(town)


def choose(directory: Path | None, environ: Mapping[str, str]) -> Stage:
    """An empty directory for a demonstration, made if need be; `Conflict` for one that holds something."""
    if directory is None:
        return Stage(Path(tempfile.mkdtemp(prefix="tinytown-demo-")).resolve(), environ)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        occupied = any(directory.iterdir())
    except OSError as error:
        raise Conflict(
            f"No demonstration can be made in {term_safe(str(directory), lines=False)}: {error.strerror}",
            hint="Name another directory, or none for a temporary one.",
        ) from error
    if occupied:
        raise Conflict(
            f"{term_safe(str(directory), lines=False)} is not empty",
            hint="Name a new directory, or none for a temporary one.",
        )
    return Stage(directory.resolve(), environ)
