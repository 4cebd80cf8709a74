"""What an observation makes of an item: a task that has ended, a pull request that moved. No I/O.

What must be true: an approval belongs to the commit it was given for; nothing is done for what an agent says, only
for what was seen; and an item that comes back too often goes to a person instead of round and round.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tinytown.lifecycle import WorkItemEvent, WorkItemState

if TYPE_CHECKING:
    from tinytown.mission_records import Mission, WorkItem
    from tinytown.times import Timestamp

MOST_ATTEMPTS = 5
"""How often an item is given out before a person has to look."""

_E = WorkItemEvent


def work_ended(
    mission: Mission,
    item: WorkItem,
    now: Timestamp,
    *,
    pull: str | None = None,
    head: str | None = None,
    base: str | None = None,
) -> WorkItem:
    """Its agent is done. `pull` is the pull request that was found for it, with its head and the branch that it is to
    be merged into; None when there is none."""
    if pull is None and not mission.reviewer_required:
        return item.after(_E.FINISH, now)
    waits_for = "review" if mission.reviewer_required else "merge"
    held = item.after(_E.BLOCK, now, reason=_waiting(waits_for, pull), waits_for=waits_for)
    return replace(held, pull=pull, head=head, base=base, review_task_id=None, approved_head=None)


def work_lost(item: WorkItem, now: Timestamp, reason: str) -> WorkItem:
    """Its task failed, was cancelled, or nobody has it any more."""
    if _too_often(item):
        return item.after(_E.BLOCK, now, reason=f"given out {_tried(item)} times; last: {reason}", waits_for="person")
    return item.after(_E.RELEASE, now, reason=reason)


def reviewed(
    item: WorkItem,
    now: Timestamp,
    *,
    approved: bool,
    head: str | None,
    reason: str | None = None,
    approver: str | None = None,
) -> WorkItem:
    """A review has ended; `head` is the commit it was about. One about an older commit changes nothing.

    Where no review is required there may be one all the same, and to approve is to let it be merged. `approver` is who
    approved it at GitHub.
    """
    if approved and item.waits_for == "merge" and head == item.head and item.approved_head != head:
        return replace(item, approved_head=head, approver=approver, updated_at=now)
    if item.waits_for != "review" or head != item.head:
        return item
    if not approved:
        return _again(item, now, f"the review asks for changes: {reason or 'no reason given'}")
    if item.pull is None:
        return replace(item.after(_E.FINISH, now), review_task_id=None)
    passed = replace(item, approved_head=head, approver=approver, review_task_id=None, updated_at=now)
    return replace(passed, waits_for="merge", reason=_waiting("merge", item.pull))


def withdrawn(mission: Mission, item: WorkItem, now: Timestamp) -> WorkItem:
    """Who approved it at GitHub has taken that back."""
    lapsed = replace(item, approved_head=None, approver=None, updated_at=now)
    return _for_another_review(lapsed) if mission.reviewer_required else lapsed


def review_lost(item: WorkItem, now: Timestamp) -> WorkItem:
    """The task of the review ended without a verdict; another may be asked for."""
    if item.waits_for == "review" and _too_often(item):
        reason = "no review of it came to a verdict"
        return replace(item, waits_for="person", reason=reason, review_task_id=None, updated_at=now)
    return replace(item, review_task_id=None, attempts=item.attempts + 1, updated_at=now)


def pushed(mission: Mission, item: WorkItem, now: Timestamp, head: str, base: str) -> WorkItem:
    """The head of its pull request is another one, or what it is merged into: what was approved is no longer there."""
    if (head, base) == (item.head, item.base) or item.state is not WorkItemState.BLOCKED:
        return item
    moved = replace(item, head=head, base=base, approved_head=None, updated_at=now)
    if not mission.reviewer_required or item.waits_for not in ("review", "merge"):
        return moved
    return _for_another_review(moved)


def pull_merged(item: WorkItem, now: Timestamp) -> WorkItem:
    """Its pull request is merged, by whomever, or its issue was closed."""
    if item.state.is_terminal:
        return item
    return replace(item.after(_E.FINISH, now), review_task_id=None)


def pull_closed(item: WorkItem, now: Timestamp) -> WorkItem:
    """Its pull request was closed without being merged."""
    if item.state is not WorkItemState.BLOCKED:
        return item
    return replace(_again(item, now, f"{item.pull} was closed without being merged"), pull=None, head=None)


def accepted(item: WorkItem, now: Timestamp) -> WorkItem:
    """A person takes what was reported as done, whatever it waits for."""
    waiting = replace(item, waits_for="review", forgiven=item.attempts)
    return reviewed(waiting, now, approved=True, head=item.head)


def sent_back(item: WorkItem, now: Timestamp, reason: str) -> WorkItem:
    """A person gives it back to its owner, who may try as often as with a new one."""
    back = item.after(_E.UNBLOCK, now, reason=reason)
    return replace(back, review_task_id=None, approved_head=None, forgiven=item.attempts)


def _for_another_review(item: WorkItem) -> WorkItem:
    """It waits for a review of its own, whose task must have an id of its own, too: this head may have had one before.

    That counts as no attempt.
    """
    waiting = replace(item, waits_for="review", review_task_id=None, reason=_waiting("review", item.pull))
    return replace(waiting, attempts=item.attempts + 1, forgiven=item.forgiven + 1)


def _again(item: WorkItem, now: Timestamp, reason: str) -> WorkItem:
    if _too_often(item):
        return replace(item, waits_for="person", reason=reason, review_task_id=None, updated_at=now)
    back = item.after(_E.UNBLOCK, now, reason=reason)
    return replace(back, review_task_id=None, approved_head=None)


def _too_often(item: WorkItem) -> bool:
    return _tried(item) >= MOST_ATTEMPTS


def _tried(item: WorkItem) -> int:
    return item.attempts - item.forgiven


def _waiting(what: str, pull: str | None) -> str:
    return f"{pull or 'its result'} waits for {'a review' if what == 'review' else 'its merge'}"
