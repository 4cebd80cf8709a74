"""Order among things that depend on each other: no I/O, no knowledge of what the things are."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

Node = TypeVar("Node", bound=str)


def find_cycle(needs: Mapping[Node, Collection[Node]]) -> list[Node] | None:
    """A cycle as a path that ends where it begins, or None. Each node maps to those it depends on.

    Nodes that are named but are no key are leaves. Iterative, so that a chain of any length is walked.
    """
    done: set[Node] = set()
    for start in needs:
        if start in done:
            continue
        path: list[Node] = [start]
        on_path = {start}
        pending = [iter(needs[start])]
        while pending:
            following = next(pending[-1], None)
            if following is None:
                pending.pop()
                done.add(path[-1])
                on_path.discard(path.pop())
            elif following in on_path:
                return [*path[path.index(following) :], following]
            elif following not in done:
                path.append(following)
                on_path.add(following)
                pending.append(iter(needs.get(following, ())))
    return None


def stages(needs: Mapping[Node, Collection[Node]]) -> list[list[Node]]:
    """The nodes in stages: all that one of them depends on stands in earlier stages. There must be no cycle.

    The order of the mapping is kept inside a stage; what is named but is no key counts as done.
    """
    left = {node: {each for each in on if each in needs} for node, on in needs.items()}
    found: list[list[Node]] = []
    while left:
        stage = [node for node, on in left.items() if not on]
        if not stage:
            raise ValueError("a cycle has no order")
        found.append(stage)
        for node in stage:
            del left[node]
        for on in left.values():
            on.difference_update(stage)
    return found


def mermaid(labels: Mapping[Node, str], edges: Sequence[tuple[Node, Node]]) -> str:
    """A Mermaid flow chart: `labels` of the nodes, and edges from what is needed to what needs it."""
    numbers = {node: f"n{number}" for number, node in enumerate(labels)}
    lines = ["flowchart TD"]
    # Mermaid reads quotes and brackets as syntax; entities are its own way to show them.
    for node, label in labels.items():
        safe = label.replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")
        lines.append(f'    {numbers[node]}["{safe}"]')
    lines += [f"    {numbers[first]} --> {numbers[second]}" for first, second in edges]
    return "\n".join(lines)
