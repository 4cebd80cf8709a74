"""What one look at a large mission costs: the planner alone, without a server and without GitHub.

    python bench/missions.py [--items 1000] [--edges 1500] [--rounds 50]

A random graph without cycles; the first tick, where nothing has begun, and one in the middle, where half is done.
The figures are the median and the slowest of the rounds, in milliseconds of CPU time. Aim: 50 ms a tick for 1,000
items with 1,500 edges.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from random import Random
from statistics import median
from typing import TYPE_CHECKING

from tinytown.actors.missions.planner import plan
from tinytown.actors.missions.roles import Worker
from tinytown.ids import AgentId, WorkItemId
from tinytown.lifecycle import WorkItemState
from tinytown.mission_records import Mission, WorkItem
from tinytown.times import now

if TYPE_CHECKING:
    from collections.abc import Sequence


def graph(mission: Mission, items: int, edges: int) -> list[WorkItem]:
    """Items that wait for earlier ones."""
    random = Random(1)
    needs: dict[int, set[int]] = {number: set() for number in range(items)}
    while sum(map(len, needs.values())) < edges:
        number = random.randrange(1, items)
        needs[number].add(random.randrange(max(0, number - 60), number))
    return [
        WorkItem(
            mission_id=mission.id,
            title=f"item {number}",
            item_kind="implement",
            id=WorkItemId(f"item-{number}"),
            key=f"o/r#{number}",
            number=number,
            edges=tuple({"on": f"o/r#{each}", "source": "body"} for each in sorted(on)),
        )
        for number, on in needs.items()
    ]


def measure(mission: Mission, items: Sequence[WorkItem], team: Sequence[Worker], rounds: int) -> list[float]:
    """Milliseconds of each round."""
    stamp, taken = now(), []
    for _ in range(rounds):
        began = time.process_time()
        plan(mission, items, (), team, stamp)
        taken.append((time.process_time() - began) * 1000)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--edges", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=50)
    asked = parser.parse_args()
    mission = Mission(max_parallel_items=16)
    team = [Worker(AgentId(f"a{number}"), "worker") for number in range(20)]
    fresh = graph(mission, asked.items, asked.edges)
    half = len(fresh) // 2
    middle = [replace(item, state=WorkItemState.DONE) if at < half else item for at, item in enumerate(fresh)]
    for name, items in (("first tick", fresh), ("half done", middle)):
        taken = measure(mission, items, team, asked.rounds)
        print(f"{name}: median {median(taken):.1f} ms, slowest {max(taken):.1f} ms")


if __name__ == "__main__":
    main()
