"""What a look outside makes of a mission. No I/O.

What must be true: a look is taken in on the mission as it is by then, so what it is about must still be as it was:
the task whose end was looked into, the pull request that was looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tinytown.actors.missions import outcomes
from tinytown.actors.missions.actions import MergePull
from tinytown.actors.missions.reconcile import IN_WORK, LIVE
from tinytown.actors.missions.watching import BACKOFF, MOST_FAILURES, look_failed, look_limited, observed, watches_on
from tinytown.lifecycle import WatchEvent, WorkItemEvent
from tinytown.mission_records import EXTERNAL_GATE
from tinytown.times import seconds_of, timestamp
from tinytown.transport.missions import ACTIVE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from tinytown.actors.missions.actions import Outward, Plan
    from tinytown.actors.missions.github.pulls import Pull
    from tinytown.actors.missions.github.standing import Standing
    from tinytown.ids import TaskId, WorkItemId
    from tinytown.mission_records import Mission, Watch, WorkItem
    from tinytown.times import Timestamp

UNREADABLE = "cannot be read: it is not there, or the token may not see it"
"""What a gate finds of something that GitHub does not show."""

_NOT_DONE = "GitHub did not do it"


@dataclass(slots=True)
class Sights:
    """What was seen. Issues and pull requests are named by their keys."""

    now: Timestamp
    bugbots: Collection[str]
    ended: dict[WorkItemId, TaskId] = field(default_factory=dict)
    """Items whose work was completed, with the task that it was; `found` has the pull request, if there is one."""
    found: dict[WorkItemId, Pull] = field(default_factory=dict)
    unfound: dict[WorkItemId, str] = field(default_factory=dict)
    """Items of which it cannot be found out, and why."""
    standings: dict[str, Standing | None] = field(default_factory=dict)
    pulls: dict[str, Pull] = field(default_factory=dict)
    unchecked: set[str] = field(default_factory=set)
    """Pull requests whose head has no suite of checks."""
    failed: dict[str, str] = field(default_factory=dict)
    limited: dict[str, float] = field(default_factory=dict)
    """Until when (seconds since 1970) nothing can be seen of these."""


def taken_in(plan: Plan, sights: Sights) -> Plan:
    """The plan after a look."""
    for item in plan.items:
        if item.id in sights.ended and item.state in IN_WORK and item.task_id == sights.ended[item.id]:
            plan = _ended(plan, item, sights)
        elif item.id in sights.unfound and item.state in IN_WORK:
            reason = f"its pull request cannot be looked for: {sights.unfound[item.id]}"
            plan = plan.with_item(
                item.after(WorkItemEvent.BLOCK, sights.now, reason=reason, waits_for="person"),
            )
    # All at once: a mission may have a thousand pull requests with four watches each, and all are looked at together.
    watches: list[Watch] = []
    on: dict[tuple[WorkItemId, str], list[Watch]] = {}
    for watch in plan.watches:
        if watch.state not in LIVE:
            continue
        if watch.watch_kind == EXTERNAL_GATE:
            watches.append(_gate(plan, watch, sights))
        else:
            on.setdefault((watch.work_item_id, watch.target), []).append(watch)
    items: list[WorkItem] = []
    for item in plan.items:
        standing = sights.standings.get(item.source_ref or "")
        if standing is not None and standing.state != "open" and not item.state.is_terminal:
            why = " as not planned" if standing.reason == "not_planned" else ""
            items.append(replace(outcomes.pull_merged(item, sights.now), reason=f"its issue was closed{why}"))
        elif item.pull is not None:
            after, looked = _pull(plan.mission, item, on.get((item.id, item.pull), []), sights)
            items.append(after)
            watches += looked
    return plan.with_item(*items).with_watch(*watches)


def own(plan: Plan, item: WorkItem) -> list[Watch]:
    """The watches on the pull requests of an item."""
    return [each for each in plan.watches if each.work_item_id == item.id and each.watch_kind != EXTERNAL_GATE]


def is_wanted(plan: Plan, action: Outward) -> bool:
    """Whether it may still be done: the one before may have taken long, and a person called it off meanwhile."""
    item = plan.item(action.item)
    if plan.mission.state not in ACTIVE or item.pull != action.pull:
        return False
    return not isinstance(action, MergePull) or (item.waits_for == "merge" and item.approved_head == action.head)


def merged(plan: Plan, *, action: MergePull, now: Timestamp) -> Plan:
    """The plan after a merge that GitHub has confirmed."""
    item = plan.item(action.item)
    if item.state.is_terminal or item.pull != action.pull:
        return plan
    plan = plan.with_item(replace(outcomes.pull_merged(item, now), reason=f"{action.pull} is merged"))
    return _finish(plan, own(plan, item), "merged")


def refused(plan: Plan, *, action: Outward, reason: str, now: Timestamp) -> Plan:
    """The plan when GitHub did not do what was asked for; it is looked at again a while later."""
    for watch in _of_merge(plan, plan.item(action.item)):
        later = timestamp(seconds_of(now) + BACKOFF[0])
        plan = plan.with_watch(replace(watch, last_result=f"{_NOT_DONE}: {reason}", next_due_at=later))
    return plan


def not_merged(plan: Plan, *, action: MergePull, reason: str, now: Timestamp, moved: bool = False) -> Plan:
    """The plan when GitHub did not merge, which it is asked again after a while; in the end a person has to see to it.

    It says that the head has `moved`: what there is now is looked at at once.
    """
    item = plan.item(action.item)
    key = f"refused/{action.head}"
    for watch in _of_merge(plan, item):
        times = watch.handled.count(key) + 1
        wait = 0.0 if moved and times == 1 else BACKOFF[min(times, len(BACKOFF)) - 1]
        told = replace(watch, handled=(*watch.handled, key), last_result=f"{_NOT_DONE}: {reason}")
        plan = plan.with_watch(replace(told, next_due_at=timestamp(seconds_of(now) + wait)))
        if times >= MOST_FAILURES and item.waits_for == "merge":
            why = f"GitHub did not merge {action.pull} {times} times; last: {reason}"
            plan = plan.with_item(replace(item, waits_for="person", reason=why, updated_at=now))
    return plan


def _of_merge(plan: Plan, item: WorkItem) -> list[Watch]:
    return [each for each in own(plan, item) if each.state in LIVE and each.watch_kind == "mergeability"]


def look_again(plan: Plan, *, item: WorkItemId, now: Timestamp) -> Plan:
    """The plan with an item's pull request to be looked at now."""
    for watch in own(plan, plan.item(item)):
        if watch.state in LIVE:
            plan = plan.with_watch(replace(watch, next_due_at=now))
    return plan


def _ended(plan: Plan, item: WorkItem, sights: Sights) -> Plan:
    pull = sights.found.get(item.id)
    now = sights.now
    if pull is None:
        plan = _finish(plan, own(plan, item), "it is gone")
        return plan.with_item(outcomes.work_ended(plan.mission, item, now))
    glance = pull.glance
    after = outcomes.work_ended(plan.mission, item, now, pull=glance.reference.key, head=glance.head, base=glance.base)
    plan = _finish(plan, (each for each in own(plan, item) if each.target != after.pull), "another one took its place")
    return look_again(_with_watches(plan.with_item(after), after, now), item=item.id, now=now)


def _with_watches(plan: Plan, item: WorkItem, now: Timestamp) -> Plan:
    """The plan with live watches on the item's pull request. One that was closed may have been opened again."""
    known = {watch.id: watch for watch in plan.watches}
    for watch in watches_on(plan.mission, item, now):
        before = known.get(watch.id)
        if before is None:
            plan = replace(plan, watches=(*plan.watches, watch))
        elif before.state not in LIVE:
            plan = plan.with_watch(replace(watch, handled=before.handled))
    return plan


def _finish(plan: Plan, watches: Iterable[Watch], result: str) -> Plan:
    for watch in watches:
        if watch.state in LIVE:
            after = watch.after(WatchEvent.FINISH, result)
            plan = plan.with_watch(replace(after, findings=(), fix_task_id=None))
    return plan


def _pull(mission: Mission, item: WorkItem, live: Sequence[Watch], sights: Sights) -> tuple[WorkItem, Sequence[Watch]]:
    """The item, and its live watches on its pull request, after a look at that."""
    key = item.pull or ""
    if key in sights.pulls:
        bare = key in sights.unchecked
        return observed(mission, item, live, sights.pulls[key], sights.now, bugbots=sights.bugbots, no_suites=bare)
    if key in sights.failed:
        watches = []
        for watch in live:
            item, failed = look_failed(item, watch, sights.now, sights.failed[key])
            watches.append(failed)
        return item, watches
    until = sights.limited.get(key)
    return item, [] if until is None else [look_limited(watch, until) for watch in live]


def _gate(plan: Plan, gate: Watch, sights: Sights) -> Watch:
    key = gate.target
    if key in sights.limited:
        return look_limited(gate, sights.limited[key])
    if key in sights.failed:
        # What waits for it goes on waiting: a failed look says nothing.
        return look_failed(plan.items[0], gate, sights.now, sights.failed[key])[1]
    if key not in sights.standings:
        return gate
    standing = sights.standings[key]
    later = timestamp(seconds_of(sights.now) + gate.interval_secs)
    if standing is None:
        return replace(gate, findings=("unreadable",), last_result=UNREADABLE, next_due_at=later)
    if standing.kind == "pull" and standing.state == "closed":
        return gate.after(WatchEvent.FAIL, "was closed without being merged")
    if standing.state != "open":
        return replace(gate.after(WatchEvent.FINISH, standing.state), findings=())
    return replace(gate, findings=(), last_result="open", failures=0, next_due_at=later)
