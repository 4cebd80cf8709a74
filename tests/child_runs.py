"""Runs of real processes in one directory: whom they start, what they say, what is left of them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import trio

from tinytown.actors.child import ChildSpec
from tinytown.actors.processes import all_processes, look_at

FAKE = Path(__file__).parent / "fake_cli.py"


class Runs:
    """Makes specs of runs of the fake CLI in one directory and remembers whom they started."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "round.log"
        self.pids_file = path / "pids"

    def spec(self, *actions: str, **changes: object) -> ChildSpec:
        env = {"PATH": os.environ["PATH"], "FAKE_PIDS": str(self.pids_file)}
        fields: dict[str, object] = {
            "argv": (sys.executable, "-I", "-S", str(FAKE), *actions),
            "cwd": self.path,
            "env": env,
            "log_path": self.log,
        }
        return ChildSpec(**(fields | changes))  # type: ignore[arg-type]

    @property
    def pids(self) -> list[int]:
        return [int(line) for line in self.pids_file.read_text().split()] if self.pids_file.exists() else []

    def survivors(self) -> list[int]:
        return [pid for pid in self.pids if (found := look_at(pid)) is not None and not found.zombie]


class Output:
    """Collects live output and lets a test wait for a line."""

    def __init__(self) -> None:
        self.text = ""
        self._more = trio.Event()

    def __call__(self, text: str) -> None:
        self.text += text
        self._more.set()
        self._more = trio.Event()

    async def wait_for(self, word: str) -> None:
        while word not in self.text:
            await self._more.wait()


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def children() -> set[int]:
    """Of this very process; the server of the test run may be one."""
    return {found.pid for found in all_processes() if found.parent == os.getpid()}


RUNTIME = """
    import os, sys, trio
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from child_runs import Runs
    from tinytown.actors.child import become_subreaper, run_child
    from tinytown.actors.processes import all_processes
    become_subreaper()
    runs = Runs(Path({path!r}))
    def show(text):
        print(text, end="", flush=True)
    {body}
"""


def runtime(runs: Runs, body: str) -> subprocess.Popen[str]:
    """A process of its own that runs children like a runtime does."""
    source = textwrap.dedent(RUNTIME).format(tests=str(Path(__file__).parent), path=str(runs.path), body=body)
    return subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
