"""A town and its townhall in processes and directories of their own, for what looks at them from outside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tinytown.runtime.opening import open_blocking

# Programs use this, too, and are not told where the tests are.
sys.path.append(str(Path(__file__).parents[1]))

from runtime_parts import add

BIN = Path(sys.executable).parent
UNCOUNTED = "[townhall.limits]\nreads_per_minute = 1000000\nwrites_per_minute = 1000000\n"
"""Nobody is counted."""
OURS = ("TINYTOWN", "REDIS_URL", "GITHUB_", "GH_")
NOWHERE = "http://127.0.0.1:9"
"""Where nobody answers: no real GitHub is ever asked."""


@dataclass(frozen=True)
class Town:
    """A town in a home of its own, below `base`."""

    base: Path
    environ: dict[str, str]

    @property
    def root(self) -> Path:
        return self.base / "town"

    def tt(self, *arguments: str, check: bool = True) -> str:
        """Run `tt` to its end; gives what it says."""
        done = subprocess.run(
            [BIN / "tt", *arguments],
            cwd=self.root,
            env=self.environ,
            check=check,
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        return done.stdout.strip()

    def agents(self, count: int) -> None:
        """Add so many that no runtime runs."""
        with open_blocking(self.root, environ=self.environ) as town:
            for number in range(count):
                add(town, f"agent-{number}")

    @contextmanager
    def townhall(self, mode: str = "rest", *, log: IO[bytes] | int = subprocess.DEVNULL) -> Iterator[Server]:
        """Its townhall, on a port that is free; what it logs goes to `log`."""
        command = [BIN / "townhall", mode, "--port", "0", "--ready-fd"]
        with started(command, self.environ, self.root, log=log) as server:
            yield server


@dataclass(frozen=True)
class Server:
    """A server that is ready."""

    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def town_apart(config: str = "", **environ: str) -> Iterator[Town]:
    """A new town. `config` is the user's; `environ` goes over this process' own environment."""
    base = Path(os.path.realpath(tempfile.mkdtemp(prefix="tt")))
    (base / "home" / ".tt").mkdir(parents=True)
    (base / "town").mkdir()
    (base / "home" / ".tt" / "config.toml").write_text(config)
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(OURS)}
    inherited |= {"GITHUB_API_URL": NOWHERE, "GITHUB_GRAPHQL_URL": f"{NOWHERE}/graphql"}
    town = Town(base, {**inherited, "HOME": str(base / "home"), "XDG_STATE_HOME": str(base / "state"), **environ})
    try:
        town.tt("init", "--name", "apart")
        yield town
    finally:
        town.tt("stop", check=False)
        town.tt("stop", "--redis", check=False)
        shutil.rmtree(base, ignore_errors=True)


@contextmanager
def started(
    command: Sequence[str | Path],
    environ: Mapping[str, str],
    directory: Path,
    *,
    log: IO[bytes] | int = subprocess.DEVNULL,
) -> Iterator[Server]:
    """A server, whose last argument is where it says that it is ready: by its port, or by "1" and a line with a URL."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [*command, str(writing)],
        env=dict(environ),
        cwd=directory,
        pass_fds=[writing],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        stderr=log,
        text=True,
    )
    os.close(writing)
    try:
        said = os.read(reading, 100).decode()
        if said == "1":
            assert process.stdout is not None
            said = next(line for line in process.stdout if "http://" in line)
        if not said:
            raise SystemExit(f"{command[0]} did not start")
        yield Server(process, int(said.rstrip().rpartition(":")[2]))
    finally:
        os.close(reading)
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
