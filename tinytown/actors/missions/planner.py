"""What is to be done next in a mission. No I/O, no clock of its own, no chance: the same plan gives the same actions.

What must be true: no item begins before all it waits for is satisfied, and what cannot be read counts as not
satisfied; no more than `max_parallel_items` are in work, and every free place is filled if anybody can take a ready
item; of each head commit one review and one repair is open at most; a mission that is stopped or over stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tinytown.actors.missions.actions import (
    Action,
    AskFix,
    AskReview,
    AssignItem,
    MergePull,
    MoveItem,
    MoveMission,
    RerunChecks,
    UpdateBranch,
    task_id,
)
from tinytown.actors.missions.order import ranks
from tinytown.actors.missions.roles import Worker, fittest, may_review
from tinytown.actors.missions.watching import ONCE_A_HEAD
from tinytown.lifecycle import MissionEvent, MissionState, WatchState, WorkItemEvent, WorkItemState
from tinytown.mission_records import EXTERNAL_GATE, GREEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tinytown.ids import AgentId
    from tinytown.mission_records import Mission, Watch, WorkItem
    from tinytown.times import Timestamp

_I, _E = WorkItemState, WorkItemEvent
_IN_WORK = frozenset({_I.ASSIGNED, _I.RUNNING})
_LIVE_WATCH = frozenset({WatchState.ACTIVE, WatchState.SNOOZED})


def plan(
    mission: Mission, items: Sequence[WorkItem], watches: Sequence[Watch], agents: Sequence[Worker], now: Timestamp
) -> tuple[Action, ...]:
    """The actions to take, in this order; any number of them, from the first on, may be done before asking again."""
    if mission.state in (MissionState.STOPPED, MissionState.COMPLETED, MissionState.FAILED):
        return ()
    found = _Planning(mission, {item.id: item for item in items}, watches, agents, now)
    if mission.state is MissionState.PLANNING:
        found.actions.append(MoveMission(MissionEvent.START))
    found.settle_dependencies()
    found.ask_reviews()
    found.ask_fixes()
    found.help_pulls()
    found.merge()
    found.assign()
    found.judge()
    return tuple(found.actions)


@dataclass(slots=True)
class _Planning:
    mission: Mission
    items: dict[str, WorkItem]
    watches: Sequence[Watch]
    agents: Sequence[Worker]
    now: Timestamp
    actions: list[Action] = field(default_factory=list)
    taken: set[AgentId] = field(default_factory=set)
    rank: dict[str, int] = field(default_factory=dict)

    def settle_dependencies(self) -> None:
        """Begin what may begin, and hold what may not."""
        gates = {watch.target: watch for watch in self.watches if watch.watch_kind == EXTERNAL_GATE}
        satisfied = {key for key, gate in gates.items() if gate.state is WatchState.DONE}
        broken = {
            key: gate.last_result or "cannot be satisfied any more"
            for key, gate in gates.items()
            if gate.state is WatchState.FAILED or (gate.state in _LIVE_WATCH and gate.findings)
        }
        for item in self.items.values():
            if item.state is _I.DONE:
                satisfied.add(item.key)
            elif item.state is _I.FAILED:
                broken[item.key] = "has failed"
        known = gates.keys() | {item.key for item in self.items.values()}
        for item in tuple(self.items.values()):
            if item.state is _I.PENDING or item.waits_for == "dependency":
                self._settle(item, satisfied, broken, known)
            if self.items[item.id].state is _I.READY and item.needs_approval:
                reason = f"{item.author or 'its author'} is no member here: approve it with 'tt mission approve'"
                self._move(item.id, _E.BLOCK, reason, "approval")
            elif item.waits_for == "approval" and not item.needs_approval:
                self._move(item.id, _E.UNBLOCK)

    def _settle(self, item: WorkItem, satisfied: set[str], broken: dict[str, str], known: set[str]) -> None:
        if satisfied.issuperset(item.depends_on):
            self._move(item.id, _E.UNLOCK if item.state is _I.PENDING else _E.UNBLOCK)
        elif item.state is _I.PENDING:
            hopeless = next((key for key in item.depends_on if key in broken or key not in known), None)
            if hopeless is not None:
                why = broken.get(hopeless, "is unknown")
                self._move(item.id, _E.BLOCK, f"it waits for {hopeless}, which {why}", "dependency")

    def ask_reviews(self) -> None:
        """A reviewer for each item that waits for one."""
        for item in self._ordered(item for item in self.items.values() if item.waits_for == "review"):
            if item.review_task_id is not None:
                continue
            able = may_review(item, self.agents)
            reviewer = min(self._free(able), key=lambda worker: (worker.load, worker.id), default=None)
            if reviewer is not None:
                task = task_id(self.mission.id, item.id, "review", item.attempts, item.head or "")
                self.taken.add(reviewer.id)
                self.actions.append(AskReview(item.id, reviewer.id, task, item.head))
                self.items[item.id] = replace(item, review_task_id=task)

    def ask_fixes(self) -> None:
        """One repair at a time for what the watches of an item have found."""
        mending = {watch.work_item_id for watch in self.watches if watch.fix_task_id is not None}
        for watch in self.watches:
            item = self.items.get(watch.work_item_id)
            if item is None or item.waits_for not in ("review", "merge"):
                continue
            if item.id in mending or watch.state not in _LIVE_WATCH or watch.watch_kind == EXTERNAL_GATE:
                continue
            keys = [f"{watch.watch_kind}/{watch.head}"] if watch.watch_kind in ONCE_A_HEAD else list(watch.findings)
            new = [key for key in keys if key not in watch.handled] if watch.findings else []
            mender = self._mender(item) if new else None
            if mender is not None:
                findings = watch.findings if watch.watch_kind in ONCE_A_HEAD else tuple(new)
                # Each that was asked for before is remembered: the number tells one that is asked for again.
                task = task_id(self.mission.id, watch.id, "fix", len(watch.handled), *new)
                self.actions.append(AskFix(item.id, watch.id, mender, task, findings, tuple(new)))
                mending.add(item.id)

    def _mender(self, item: WorkItem) -> AgentId | None:
        """Who mends an item: its owner, busy or not; when that one is gone, whoever fits best and is free."""
        if any(worker.id == item.assigned_to for worker in self.agents):
            return item.assigned_to
        found = fittest(item, self._free(self.agents))
        if found is None:
            return None
        self.taken.add(found.id)
        return found.id

    def help_pulls(self) -> None:
        """Run checks again that broke off, and bring up to date what is only behind."""
        for watch in self.watches:
            item = self.items.get(watch.work_item_id)
            if item is None or watch.state not in _LIVE_WATCH or item.pull is None or watch.head is None:
                continue
            action: RerunChecks | UpdateBranch | None = None
            if watch.last_result == "rerun":
                action = RerunChecks(item.id, watch.id, item.pull, watch.head)
            elif watch.last_result == "behind" and self.mission.auto_merge and item.waits_for == "merge":
                action = UpdateBranch(item.id, watch.id, item.pull, watch.head)
            if action is not None and action.key not in watch.handled:
                self.actions.append(action)

    def merge(self) -> None:
        """Merge what is approved and green, where the mission may."""
        if not self.mission.auto_merge:
            return
        watches: dict[tuple[str, str | None], list[Watch]] = {}
        for watch in self.watches:
            watches.setdefault((watch.work_item_id, watch.target), []).append(watch)
        for item in self._ordered(item for item in self.items.values() if item.waits_for == "merge"):
            # Those of a pull request that was closed before have nothing to say of the one that took its place.
            own = watches.get((item.id, item.pull), [])
            green = bool(own) and all(
                watch.last_result == GREEN and watch.head == item.head and not watch.findings for watch in own
            )
            if green and item.pull and item.head and item.approved_head == item.head and not item.tainted:
                self.actions.append(MergePull(item.id, item.pull, item.head))

    def assign(self) -> None:
        """Fill the free places with ready items."""
        places = self.mission.max_parallel_items - sum(item.state in _IN_WORK for item in self.items.values())
        # The next review must not wait for a reviewer who writes code meanwhile: one of them is kept free.
        reviewers = [worker for worker in self._free(self.agents) if worker.reviews]
        if reviewers and any(item.waits_for == "review" for item in self.items.values()):
            self.taken.add(max(reviewers, key=lambda worker: (-worker.load, worker.id)).id)
        for item in self._ordered(item for item in self.items.values() if item.state is _I.READY):
            if places <= 0:
                return
            worker = fittest(item, self._free(self.agents))
            if worker is None:
                return
            self.taken.add(worker.id)
            task = task_id(self.mission.id, item.id, "work", item.attempts + 1)
            self.actions.append(AssignItem(item.id, worker.id, task))
            self.items[item.id] = replace(item, state=_I.ASSIGNED)
            places -= 1

    def judge(self) -> None:
        """Say how the mission as a whole stands."""
        items = self.items.values()
        if all(item.state is _I.DONE for item in items):
            self.actions.append(MoveMission(MissionEvent.COMPLETE))
            return
        failed = next((item for item in items if item.state is _I.FAILED), None)
        if failed is not None and all(
            item.state in (_I.DONE, _I.FAILED) or item.waits_for == "dependency" for item in items
        ):
            self.actions.append(
                MoveMission(MissionEvent.FAIL, f"{failed.key} has failed: {failed.reason or ''}".strip(": "))
            )
            return
        moving = any(item.state in (_I.READY, *_IN_WORK) or item.review_task_id for item in items)
        moving = moving or any(watch.fix_task_id for watch in self.watches)
        moving = moving or any(isinstance(action, AskFix | MergePull) for action in self.actions)
        if not moving and self.mission.state is not MissionState.BLOCKED:
            held = next((item for item in self._ordered(items) if item.state is _I.BLOCKED), None)
            reason = f"{held.key}: {held.reason or 'waits for ' + (held.waits_for or 'a person')}" if held else None
            self.actions.append(
                MoveMission(MissionEvent.BLOCK, reason or "all that is left waits for something outside")
            )
        elif moving and self.mission.state is MissionState.BLOCKED:
            self.actions.append(MoveMission(MissionEvent.UNBLOCK))

    def _move(
        self, item_id: str, event: WorkItemEvent, reason: str | None = None, waits_for: str | None = None
    ) -> None:
        item = self.items[item_id]
        self.actions.append(MoveItem(item.id, event, reason, waits_for))
        self.items[item_id] = item.after(event, self.now, reason=reason, waits_for=waits_for)

    def _free(self, workers: Iterable[Worker]) -> list[Worker]:
        return [worker for worker in workers if worker.idle and worker.id not in self.taken]

    def _ordered(self, items: Iterable[WorkItem]) -> list[WorkItem]:
        """By priority, then by how much waits behind it, then by number."""
        chosen = list(items)
        if len(chosen) < 2:
            return chosen
        rank = self.rank = self.rank or ranks({item.key: item.depends_on for item in self.items.values()})
        return sorted(chosen, key=lambda item: (-item.priority, -rank[item.key], item.number, item.key))
