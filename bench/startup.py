"""What a hot command of `tt` costs beside the interpreter alone: whole processes, in turns.

    python bench/startup.py [--rounds 15] [--agents 10]

`tt status` in a town with `--agents` agents on its managed server, and `python -c pass`, one after the other; the
figure is the median over the rounds of their ratio. Modules are compiled, as they are in an installed package.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
TT = Path(sys.executable).with_name("tt")
TARGET = 9.0


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
        sys.path.insert(0, str(ROOT / "tests" / "cli"))
        from person import Person

        for number in range(asked.agents):
            Person(town, environ).agent(f"agent-{number}")
        status, bare = [TT, "status"], [sys.executable, "-c", "pass"]
        seconds(status, town, environ)
        rounds = [(seconds(status, town, environ), seconds(bare, town, environ)) for _ in range(asked.rounds)]
    finally:
        seconds([TT, "stop", "--redis"], town, environ)
        shutil.rmtree(base)
    print(f"tt status, {asked.agents} agents, medians of {asked.rounds} rounds")
    print(f"  tt status        {1000 * median(ours for ours, _ in rounds):6.1f} ms")
    print(f"  python -c pass   {1000 * median(bare for _, bare in rounds):6.1f} ms")
    print(f"  ratio            {median(ours / bare for ours, bare in rounds):6.1f} x (target {TARGET:g})")


if __name__ == "__main__":
    main()
