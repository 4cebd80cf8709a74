"""Who fits which work: by whole words of roles, never by a part of a word. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tinytown.ids import AgentId
    from tinytown.mission_records import WorkItem

_WORD = re.compile(r"[a-z0-9]+")
_REVIEWERS = frozenset({"reviewer", "review"})
_KIND_ROLES = {
    "design": frozenset({"designer", "design", "architect"}),
    "test": frozenset({"tester", "test", "tests", "qa"}),
    "review": _REVIEWERS,
}
_SPECIALISTS = frozenset[str]().union(*_KIND_ROLES.values())


@dataclass(frozen=True, slots=True)
class Worker:
    """An agent as the planner sees it. `load` is the number of tasks that it has."""

    id: AgentId
    role: str
    idle: bool = True
    load: int = 0

    @property
    def words(self) -> frozenset[str]:
        """The words of its role."""
        return frozenset(_WORD.findall(self.role.lower()))

    @property
    def reviews(self) -> bool:
        """Reviewing is its role."""
        return bool(self.words & _REVIEWERS)


def fittest(item: WorkItem, workers: Iterable[Worker]) -> Worker | None:
    """The worker for an item: who had it before, the wanted role, the role for its kind, a generic worker, any other.

    Among equals the one with the least to do, then the first by id. None when there is nobody.
    """
    return min(workers, key=lambda worker: (-_fit(item, worker), worker.load, worker.id), default=None)


def _fit(item: WorkItem, worker: Worker) -> int:
    words = worker.words
    if worker.id == item.assigned_to:
        return 5
    if item.owner_role and worker.role.lower() == item.owner_role.lower():
        return 4
    if item.owner_role and set(_WORD.findall(item.owner_role.lower())) <= words:
        return 3
    if words & _KIND_ROLES.get(item.item_kind, frozenset()):
        return 2
    return 0 if words & _SPECIALISTS else 1


def may_review(item: WorkItem, workers: Iterable[Worker]) -> list[Worker]:
    """Who may review an item: those whose role it is; in a town without any, everybody but its owner."""
    others = [worker for worker in workers if worker.id != item.assigned_to]
    return [worker for worker in others if worker.reviews] or others
