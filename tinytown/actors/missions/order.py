"""The order of a mission: edges with their sources, cycles, and how much waits behind an item. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from tinytown.errors import Conflict
from tinytown.graph import find_cycle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NATIVE, MANIFEST, BODY, OPTION = "native", "manifest", "body", "option"
"""Where an edge comes from: GitHub's own "blocked by", `mission.toml`, the text of the issue, `--depends`."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Something waits for `on`, a key; `source` is where that was said."""

    on: str
    source: str


def merged(edges: Iterable[Edge]) -> tuple[Edge, ...]:
    """The edges, each target once, with the first source that names it."""
    found: dict[str, Edge] = {}
    for edge in edges:
        found.setdefault(edge.on, edge)
    return tuple(found.values())


def refuse_cycle(edges: Mapping[str, Sequence[Edge]]) -> None:
    """`Conflict` that shows the path and the source of each step, when some things wait for each other."""
    cycle = find_cycle({key: [edge.on for edge in of] for key, of in edges.items()})
    if cycle is None:
        return
    path = cycle[0]
    for one, other in pairwise(cycle):
        source = next(edge.source for edge in edges[one] if edge.on == other)
        path += f" -({source})-> {other}"
    raise Conflict(
        f"These wait for each other, so none could begin: {path}",
        hint="Change one of the issues, or cut an edge with depends_on in a manifest (tt mission start --manifest).",
    )


def ranks(needs: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """For each key, the length of the longest chain of others that wait for it. There must be no cycle."""
    waiting: dict[str, list[str]] = {key: [] for key in needs}
    behind = dict.fromkeys(needs, 0)
    for key, on in needs.items():
        for each in on:
            if each in waiting:
                waiting[each].append(key)
                behind[key] += 1
    # From what waits for nothing up to what nothing waits for, and back.
    line = [key for key, count in behind.items() if not count]
    for key in line:
        for following in waiting[key]:
            behind[following] -= 1
            if not behind[following]:
                line.append(following)
    found = dict.fromkeys(needs, 0)
    for key in reversed(line):
        found[key] = max((found[each] + 1 for each in waiting[key]), default=0)
    return found
