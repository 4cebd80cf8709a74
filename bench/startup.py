"""What a hot command of `tt` costs beside the interpreter alone: whole processes, in turns.

    python bench/startup.py [--rounds 15] [--agents 10]

`tt status` in a town with `--agents` agents on its managed server, warm (a runtime lives, and its fork server does the
command), cold (no fork server does it), and `python -c pass`, one after the other; the figures are the medians over the
rounds of their ratio. Modules are compiled, as they are in an installed package. Besides: how soon after the start of
the runtime commands are warm, and what memory the fork server has for itself.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tinytown.cli.forkclient import SOCKET_NAME

ROOT = Path(__file__).parents[1]
TT = Path(sys.executable).with_name("tt")
TARGET, AIM = 9.0, 2.5

COLD = {"PYTHON_OF_ANOTHER_KIND": "1"}
"""A variable that Python might obey and the fork server does not have: then it serves nobody."""


def seconds(command: Sequence[str | Path], directory: Path, environ: dict[str, str]) -> float:
    """How long one process takes."""
    begin = time.perf_counter()
    subprocess.run(
        command, cwd=directory, env=environ, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--agents", type=int, default=10)
    asked = parser.parse_args()

    base = Path(os.path.realpath(tempfile.mkdtemp(prefix="tt")))
    town = base / "town"
    (base / "home").mkdir()
    town.mkdir()
    ours = ("TINYTOWN", "REDIS_URL", "PYTHONDONTWRITEBYTECODE")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environ |= {"HOME": str(base / "home"), "XDG_STATE_HOME": str(base / "state")}
    try:
        seconds([TT, "init", "--name", "bench"], town, environ)
        sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "cli")]
        from person import Person

        for number in range(asked.agents):
            Person(town, environ).agent(f"agent-{number}")
        began = time.perf_counter()
        with warmth(town, environ) as server:
            warm_after = time.perf_counter() - began
            status, bare = [TT, "status"], [sys.executable, "-c", "pass"]
            rounds = [
                (
                    seconds(status, town, environ),
                    seconds(status, town, {**environ, **COLD}),
                    seconds(bare, town, environ),
                )
                for _ in range(asked.rounds + 1)
            ][1:]
            memory = own_kib(server)
    finally:
        seconds([TT, "stop", "--redis"], town, environ)
        shutil.rmtree(base)
    print(f"tt status, {asked.agents} agents, medians of {asked.rounds} rounds")
    for at, what in enumerate(("tt status, warm", "tt status, cold", "python -c pass")):
        print(f"  {what:<18}{1000 * median(found[at] for found in rounds):6.1f} ms")
    print(f"  ratio, warm       {median(warm / bare for warm, _, bare in rounds):6.1f} x (aim {AIM:g})")
    print(f"  ratio, cold       {median(cold / bare for _, cold, bare in rounds):6.1f} x (target {TARGET:g})")
    print(f"fork server: serves {warm_after:.2f} s after the start of the runtime, {memory:,} KiB of its own")


@contextmanager
def warmth(town: Path, environ: dict[str, str]) -> Iterator[int]:
    """A runtime for the time of the block, which begins when its fork server serves; gives the pid of that."""
    command = [TT, "start"]
    runtime = subprocess.Popen(command, cwd=town, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        children = Path(f"/proc/{runtime.pid}/task")
        while True:
            lines = [path.read_text().split() for path in children.glob("*/children")]
            for pid in (int(each) for line in lines for each in line):
                if Path(f"/proc/{pid}/cmdline").read_bytes().count(b"forkserver") and is_served(environ):
                    yield pid
                    return
            time.sleep(0.01)
    finally:
        runtime.terminate()
        runtime.wait()


def is_served(environ: dict[str, str]) -> bool:
    """Whether the fork server of the one town of this user listens."""
    with socket.socket(socket.AF_UNIX) as connection:
        paths = list(Path(environ["XDG_STATE_HOME"]).glob(f"tinytown/*/{SOCKET_NAME}"))
        return bool(paths) and connection.connect_ex(str(paths[0])) == 0


def own_kib(pid: int) -> int:
    """Memory that no other process has."""
    found = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in found if line.startswith("Private_"))


if __name__ == "__main__":
    main()
