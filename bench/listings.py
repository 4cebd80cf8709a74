"""What the listings of `tt` cost in a large town beside a small one: whole processes, in turns.

    python bench/listings.py [--rounds 5] [--agents 1000] [--tasks 10000] [--show NAME ...]

Two towns, each on its own managed server. The small one has 10 agents and 100 tasks, the large one `--agents` and
`--tasks`; in both ten tasks run and ten wait in the backlog, and every tenth agent has something in its mailbox.
Every command runs once in the small town and once in the large one, in every round; the figure is the median over
the rounds of their ratio. How many lines a command shows is given too, since a listing may cost in proportion to
that, and to nothing else.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tinytown.lifecycle import AgentState
from tinytown.messages import Message, TaskAssign
from tinytown.records import Agent, Event, Task, TaskSource
from tinytown.runtime.opening import open_blocking
from tinytown.runtime.operations.overview import Overview, overview
from tinytown.times import timestamp
from tinytown.transport.backlog import Backlog
from tinytown.transport.blocking import run_sync

if TYPE_CHECKING:
    from tinytown.runtime.town import Town

TT = Path(sys.executable).with_name("tt")
AT_ONCE = 250
"""Records written in one commit."""

RUNNING = 10
FREE = 10
SMALL = (10, 100)

TARGETS = {
    "status": 3.0,
    "task list --state running": 2.0,
    "task list --agent agent-0": 2.0,
    "events --agent agent-0": 2.0,
    "history": 2.0,
    "history agent-0": 2.0,
}
ROWS = 24
"""Of the terminal that `tt top` has."""
LISTINGS = (
    "status",
    "task list --state running",
    "task list --agent agent-0",
    "list",
    "inbox --all",
    "inbox agent-0",
    "task current agent-0",
    "backlog list",
    "dlq list",
    "events",
    "events --agent agent-0",
    "history",
    "history agent-0",
    "why agent-0",
    "status --json",
)


async def fill(town: Town, agents: int, tasks: int) -> None:
    """Write what a town of this size has, by the verbs of the store, many records in one commit."""
    team = [Agent(f"agent-{number}", "claude", state=AgentState.IDLE) for number in range(agents)]
    for start in range(0, agents, AT_ONCE):
        change = town.store.change()
        for agent in team[start : start + AT_ONCE]:
            change.create_agent(agent).tell(Event("agent.spawned", agent=agent.id, detail="claude"))
        await town.store.commit(change)
    backlog = Backlog(town.connection, town.keys)
    begun = time.time() - tasks
    for start in range(0, tasks, AT_ONCE):
        change = town.store.change()
        for number in range(start, min(start + AT_ONCE, tasks)):
            worker = team[number % agents]
            task = Task(f"Build part {number} of the whole", created_at=timestamp(begun + number), tags=("bench",))
            if number < RUNNING:
                change.create_task(task.assign(worker.id).start())
            elif number < RUNNING + FREE:
                change.create_task(replace(task, source=TaskSource.BACKLOG))
                backlog.put(change, task.id)
            elif number % agents % 10 == 0 and number < agents * 2:
                change.create_task(task.assign(worker.id))
                change.send(Message(task.assigned_by or worker.id, worker.id, TaskAssign(task.id)))
            else:
                change.create_task(task.assign(worker.id).start().complete("It is built."))
                change.tell(Event("round.started", agent=worker.id, detail="Round 1"))
                change.tell(Event("task.completed", agent=worker.id, task=task.id))
                change.tell(Event("round.finished", agent=worker.id, detail="Round 1: done"))
        await town.store.commit(change)


def run(command: str, place: Path, environ: dict[str, str]) -> tuple[float, int]:
    """How long one command takes, and how many lines it shows."""
    begin = time.perf_counter()
    done = subprocess.run([TT, *command.split()], cwd=place, env=environ, check=True, capture_output=True)
    return time.perf_counter() - begin, done.stdout.count(b"\n")


def picture(place: Path, environ: dict[str, str]) -> float:
    """How long one look of `tt top` takes, on an open connection."""
    with open_blocking(place, environ=environ) as town:
        begin = time.perf_counter()
        run_sync(overview(town, Overview(events=ROWS, tasks=ROWS, agents=ROWS)))
        return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=10000)
    parser.add_argument("--show", nargs="+", default=LISTINGS, help="only these commands")
    asked = parser.parse_args()

    base = Path(os.path.realpath(tempfile.mkdtemp(prefix="tt")))
    ours = ("TINYTOWN", "REDIS_URL", "PYTHONDONTWRITEBYTECODE")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environ |= {"HOME": str(base / "home"), "XDG_STATE_HOME": str(base / "state")}
    (base / "home").mkdir()
    places = {name: base / name for name in ("small", "large")}
    sizes = {"small": SMALL, "large": (asked.agents, asked.tasks)}
    try:
        for name, place in places.items():
            place.mkdir()
            run(f"init --name {name}", place, environ)
            with open_blocking(place, environ=environ) as town:
                run_sync(fill(town, *sizes[name]))
        print(f"{asked.agents:,} agents and {asked.tasks:,} tasks beside {SMALL[0]} and {SMALL[1]}")
        print(f"{'tt …':28} {'small':>10} {'large':>10} {'lines':>13} {'ratio':>7}")
        found = {command: [(run(command, place, environ)) for place in places.values()] for command in asked.show}
        rounds: dict[str, list[tuple[float, float]]] = {command: [] for command in asked.show}
        for _ in range(asked.rounds):
            for command in asked.show:
                small, large = (run(command, place, environ)[0] for place in places.values())
                rounds[command].append((small, large))
        for command, times in rounds.items():
            small, large = (1000 * median(each) for each in zip(*times, strict=True))
            ratio = median(large / small for small, large in times)
            lines = "/".join(f"{shown:,}" for _, shown in found[command])
            aim = f" (target {TARGETS[command]:g})" if command in TARGETS else ""
            print(f"{command:28} {small:7.0f} ms {large:7.0f} ms {lines:>13} {ratio:6.2f} x{aim}")
        looks = [[picture(place, environ) for place in places.values()] for _ in range(asked.rounds)]
        small, large = (1000 * median(each) for each in zip(*looks, strict=True))
        ratio = median(large / small for small, large in looks)
        print(f"{'top: one look, in process':28} {small:7.1f} ms {large:7.1f} ms {'':13} {ratio:6.2f} x (target 2)")
    finally:
        for place in places.values():
            if (place / "tinytown.toml").exists():
                run("stop --redis", place, environ)
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
