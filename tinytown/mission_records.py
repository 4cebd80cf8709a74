"""What Redis keeps of a mission: the run, its work items, its watches.

They are records like those of `tinytown.records`, with the same rules: frozen, and moved only along the tables of
`lifecycle.py`. What a person or the planner must know to decide stands in them; what GitHub says is never taken
over into a state by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from tinytown import times
from tinytown.ids import AgentId, MissionId, TaskId, WatchId, WorkItemId, new_id
from tinytown.lifecycle import (
    MISSION,
    WATCH,
    WORK_ITEM,
    MissionEvent,
    MissionState,
    WatchEvent,
    WatchState,
    WorkItemEvent,
    WorkItemState,
    move,
)
from tinytown.records import Record

if TYPE_CHECKING:
    from tinytown.messages import JsonObject
    from tinytown.times import Timestamp

ITEM_KINDS = ("design", "implement", "test", "review", "merge_gate", "follow_up")
"""The kinds of work items that the manual names."""

WATCH_KINDS = ("pr_checks", "bugbot_comments", "review_comments", "mergeability")
"""The kinds of watches that the manual names."""

GREEN = "green"
"""The result of a watch that has nothing against a merge of its head."""

EXTERNAL_GATE = "external_gate"
"""A watch on an issue or pull request that is waited for and is no part of the mission."""


@dataclass(frozen=True, slots=True)
class Mission(Record):
    """A run through a set of objectives."""

    kind: ClassVar[str] = "mission"
    id: MissionId = field(default_factory=lambda: MissionId(new_id()))
    state: MissionState = MissionState.PLANNING
    objectives: tuple[str, ...] = ()
    max_parallel_items: int = 2
    reviewer_required: bool = True
    auto_merge: bool = False
    watch_interval_secs: int = 180
    created_at: Timestamp = field(default_factory=times.now)
    updated_at: Timestamp = field(default_factory=times.now)
    reason: str | None = None
    home: str | None = None
    """The repository that a bare number means, as `host/owner/name`; None without one."""
    merge_method: str | None = None
    """`squash`, `merge` or `rebase`; None is the first of these that the repository allows."""
    notes: tuple[str, ...] = ()
    """What a person wants everybody to know who gets work of it."""
    revision: int = 0
    """Rises with every change of anything that is of the mission."""

    def after(self, event: MissionEvent, now: Timestamp, reason: str | None = None) -> Mission:
        """The mission in the state that follows; `IllegalTransition` if the table has no such move."""
        state = move(MISSION, self.state, event, what=f"Mission {self.id}")
        return replace(self, state=state, updated_at=now, reason=reason)


@dataclass(frozen=True, slots=True)
class SourceText(Record):
    """What a work item comes from, as it was when a person asked for it; a task is made of this and nothing newer.

    `association` is what its author is to the repository, in GitHub's words; `DOCUMENT` for a file of the project.
    """

    kind: ClassVar[str] = "source text"
    author: str
    association: str
    body: str


@dataclass(frozen=True, slots=True)
class WorkItem(Record):
    """One piece of a mission. `item_kind` is one of `ITEM_KINDS`, `key` what it comes from (`owner/repo#23`)."""

    kind: ClassVar[str] = "work item"
    mission_id: MissionId
    title: str
    item_kind: str
    id: WorkItemId = field(default_factory=lambda: WorkItemId(new_id()))
    key: str = ""
    number: int = 0
    """The number of its issue, the last thing that decides an order; 0 without one."""
    state: WorkItemState = WorkItemState.PENDING
    priority: int = 0
    edges: tuple[JsonObject, ...] = ()
    """What it depends on: objects of `on`, a key, and `source`, where that is said."""
    owner_role: str | None = None
    assigned_to: AgentId | None = None
    task_id: TaskId | None = None
    attempts: int = 0
    """How often it was given out, or a push asked for another review; it never falls, since the ids of its tasks are
    made of it."""
    forgiven: int = 0
    """Attempts that do not count: a person has looked at it since, or they are of a push."""
    branch: str | None = None
    pull: str | None = None
    head: str | None = None
    """The commit at the head of its pull request when that was last looked at."""
    base: str | None = None
    """The branch that its pull request was to be merged into then."""
    approved_head: str | None = None
    """The head that a reviewer has approved; a push makes it lapse."""
    approver: str | None = None
    """Who approved it at GitHub, where it can be taken back; None when that was done here."""
    review_task_id: TaskId | None = None
    author: str | None = None
    needs_approval: bool = False
    """Its text is a stranger's, and nobody has approved it yet."""
    tainted: bool = False
    """Its text is a stranger's, approved or not: it is never merged without a person."""
    waits_for: str | None = None
    """While blocked, what for: one of `dependency`, `approval`, `review`, `merge`, `person`."""
    source_ref: str | None = None
    reason: str | None = None
    created_at: Timestamp = field(default_factory=times.now)
    updated_at: Timestamp = field(default_factory=times.now)

    @property
    def depends_on(self) -> tuple[str, ...]:
        """The keys that it depends on."""
        return tuple(str(edge["on"]) for edge in self.edges)

    def after(
        self, event: WorkItemEvent, now: Timestamp, *, reason: str | None = None, waits_for: str | None = None
    ) -> WorkItem:
        """The item in the state that follows; `IllegalTransition` if the table has no such move."""
        state = move(WORK_ITEM, self.state, event, what=f"Work item {self.key or self.id}")
        return replace(self, state=state, updated_at=now, reason=reason, waits_for=waits_for)


@dataclass(frozen=True, slots=True)
class Watch(Record):
    """Something outside that a mission waits for. `watch_kind` is one of `WATCH_KINDS` or `EXTERNAL_GATE`."""

    kind: ClassVar[str] = "watch"
    mission_id: MissionId
    work_item_id: WorkItemId
    watch_kind: str
    target: str
    id: WatchId = field(default_factory=lambda: WatchId(new_id()))
    state: WatchState = WatchState.ACTIVE
    interval_secs: int = 180
    next_due_at: Timestamp = field(default_factory=times.now)
    failures: int = 0
    """Looks in a row that failed; a rate limit is none."""
    head: str | None = None
    """The head commit that `findings` is about."""
    head_seen_at: Timestamp | None = None
    """When that head was first seen."""
    findings: tuple[str, ...] = ()
    """What has to be mended: names of failing checks, ids of open threads."""
    handled: tuple[str, ...] = ()
    """Keys of what was asked to be mended, so that nothing is asked for twice."""
    fix_task_id: TaskId | None = None
    """The task that mends; None when none is open."""
    last_result: str | None = None
    created_at: Timestamp = field(default_factory=times.now)

    def after(self, event: WatchEvent, result: str | None = None) -> Watch:
        """The watch in the state that follows; `IllegalTransition` if the table has no such move."""
        state = move(WATCH, self.state, event, what=f"Watch on {self.target}")
        return replace(self, state=state, last_result=self.last_result if result is None else result)
