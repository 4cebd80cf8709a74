"""What Redis keeps of a town: agents, tasks and events; the parts of missions are in `mission_records.py`.

Records are frozen: a change is a new record, written by compare-and-set. They are plain dataclasses, so that `tt`
starts without pydantic; where a record comes from outside, a border validates it (`tinytown.web` and the
operations' requests). Field names are those of the JSON. Absent and null are the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Self, cast

from tinytown import times
from tinytown.errors import BadMessage
from tinytown.ids import (
    SUPERVISOR_ID,
    AgentId,
    TaskId,
    new_id,
)
from tinytown.lifecycle import (
    AGENT,
    TASK,
    AgentEvent,
    AgentState,
    MissionState,
    TaskEvent,
    TaskState,
    WatchState,
    WorkItemState,
    move,
)
from tinytown.messages import JsonObject, JsonValue, decode_json

if TYPE_CHECKING:
    from tinytown.times import Timestamp

DEFAULT_MAX_ROUNDS = 10


class AgentType(StrEnum):
    """A worker does tasks, the supervisor hands them out."""

    WORKER = "worker"
    SUPERVISOR = "supervisor"


class TaskSource(StrEnum):
    """Where a task came from."""

    ASSIGN = "assign"
    BACKLOG = "backlog"
    PLAN = "plan"
    MISSION = "mission"
    CONDUCTOR = "conductor"


class Record:
    """What all records can do: become JSON and come back from it."""

    __slots__ = ()
    kind: ClassVar[str]

    def to_json(self) -> JsonObject:
        """The JSON object; fields that are None are left out."""
        out: JsonObject = {}
        for name, _ in _members(cast("type", type(self))):
            value = getattr(self, name)
            if value is not None:
                out[name] = list(value) if isinstance(value, tuple) else value
        return out

    def encode(self) -> bytes:
        """The bytes that Redis keeps."""
        return json.dumps(self.to_json(), ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, value: JsonValue) -> Self:
        """The record of a JSON object; `BadMessage` names the field that is wrong. Unknown fields are left out."""
        if not isinstance(value, dict):
            raise BadMessage(f"a record ({cls.kind}) is a JSON object")
        given = {}
        for name, base in _members(cast("type", cls)):
            found = value.get(name)
            if found is not None:
                given[name] = _convert(cls.kind, name, base, found)
        try:
            return cls(**given)
        except TypeError:
            raise BadMessage(f"a record ({cls.kind}) lacks a field: has {sorted(given)}") from None

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """The record that these bytes hold; `BadMessage` for anything else."""
        return cls.from_json(decode_json(raw))


_ENUMS: dict[str, type[StrEnum]] = {
    enum.__name__: enum
    for enum in (AgentState, AgentType, TaskState, TaskSource, MissionState, WorkItemState, WatchState)
}


@cache
def _members(cls: type) -> tuple[tuple[str, str], ...]:
    """The names of a record's fields, and their types without None: looked up once for each class."""
    return tuple((item.name, str(item.type).partition(" | ")[0]) for item in fields(cls))


def _convert(kind: str, name: str, base: str, value: JsonValue) -> JsonValue | tuple[JsonValue, ...]:
    if base in _ENUMS:
        try:
            return _ENUMS[base](str(value))
        except ValueError:
            raise BadMessage(f"record ({kind}): '{name}' cannot be {repr(value)[:60]}") from None
    if base.startswith("tuple"):
        items, what = (dict, "objects") if base.startswith("tuple[JsonObject") else (str, "texts")
        if not isinstance(value, list) or not all(isinstance(item, items) for item in value):
            raise BadMessage(f"record ({kind}): '{name}' must be a list of {what}")
        return tuple(value)
    if base == "int":
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadMessage(f"record ({kind}): '{name}' must be a whole number")
    elif base == "bool":
        if not isinstance(value, bool):
            raise BadMessage(f"record ({kind}): '{name}' must be true or false")
    elif not isinstance(value, str):
        raise BadMessage(f"record ({kind}): '{name}' must be text")
    return value


@dataclass(frozen=True, slots=True)
class Agent(Record):
    """One agent. `incarnation` counts its starts; control messages carry it, so that none hits a successor."""

    kind: ClassVar[str] = "agent"
    name: str
    cli: str
    agent_type: AgentType = AgentType.WORKER
    id: AgentId = field(default_factory=lambda: AgentId(new_id()))
    nickname: str | None = None
    role: str | None = None
    state: AgentState = AgentState.STARTING
    current_task: TaskId | None = None
    created_at: Timestamp = field(default_factory=times.now)
    last_heartbeat: Timestamp = field(default_factory=times.now)
    last_active_at: Timestamp | None = None
    tasks_completed: int = 0
    rounds_completed: int = 0
    tokens_used: int = 0
    """What its CLI says that its rounds have used; most say nothing."""
    max_rounds: int = DEFAULT_MAX_ROUNDS
    incarnation: int = 1
    parent_agent_id: AgentId | None = None
    workdir: str | None = None
    in_round: bool = False
    """A turn of it runs, whatever its state says is wanted next."""
    failed_rounds: int = 0
    """Failed rounds in a row."""
    backoff_until: Timestamp | None = None
    """After a failed round: no round starts before this, unless a person or something urgent asks."""
    host: str | None = None
    """Where it was spawned; a runtime there takes it first."""
    reason: str | None = None
    """Why it is in Error or backs off, for people."""
    crashed_at: tuple[Timestamp, ...] = ()
    """When its actor crashed lately. It stands here so that a runtime that starts anew goes on counting."""
    goal: TaskId | None = None
    """The task that it was started for, and ends with: only a conductor has one."""
    worktree: bool = False
    """It works in a git worktree of its own, which each host that runs it makes for itself."""

    @classmethod
    def supervisor(cls, name: str = "supervisor") -> Agent:
        """The agent with the well-known id, whose mailbox the person and the conductor read."""
        return cls(name=name, cli="", agent_type=AgentType.SUPERVISOR, id=SUPERVISOR_ID, state=AgentState.IDLE)

    def vacated(self) -> Agent:
        """The supervisor as a mailbox alone, with no conductor in its place; its lives are counted on."""
        return replace(
            Agent.supervisor(),
            created_at=self.created_at,
            last_heartbeat=self.last_heartbeat,
            incarnation=self.incarnation,
        )

    @property
    def effective_role(self) -> str:
        """Its role; the name where none was set."""
        return self.role or self.name

    @property
    def acts(self) -> bool:
        """It has an actor, or waits for one. The supervisor does only while a conductor acts in its place."""
        return bool(self.cli) and not self.state.is_terminal

    def after(self, event: AgentEvent) -> Agent:
        """The agent in the state that follows; `IllegalTransition` if the table has no such move."""
        return replace(self, state=move(AGENT, self.state, event, what=f"Agent '{self.name}'"))

    def resumed(self) -> Agent:
        """The agent after a pause: back at its turn if that still runs."""
        return self.after(AgentEvent.CONTINUE if self.in_round else AgentEvent.RESUME)


@dataclass(frozen=True, slots=True)
class Task(Record):
    """A unit of work. `result` is the answer of a completed task, the error of a failed one."""

    kind: ClassVar[str] = "task"
    description: str
    id: TaskId = field(default_factory=lambda: TaskId(new_id()))
    state: TaskState = TaskState.PENDING
    assigned_to: AgentId | None = None
    assigned_by: AgentId | None = None
    """Who is told when it ends."""
    created_at: Timestamp = field(default_factory=times.now)
    updated_at: Timestamp = field(default_factory=times.now)
    started_at: Timestamp | None = None
    completed_at: Timestamp | None = None
    result: str | None = None
    parent_id: TaskId | None = None
    depends_on: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    source: TaskSource | None = None
    attempts: int = 0
    waits: bool = False
    """It waits for other tasks: while it is pending for those it depends on, afterwards for its review."""
    review: str | None = None
    """The name of the agent that has to approve of it before it counts as completed."""
    reviews: int = 0
    """How often the reviewer has sent it back."""
    review_task: TaskId | None = None
    """The task of its reviewer, of the review that runs or was the last."""
    review_of: TaskId | None = None
    """This is a review: of that task."""
    verify: tuple[str, ...] = ()
    """Commands that must succeed before it counts as completed, besides those of the town."""
    evidence: tuple[JsonObject, ...] = ()
    """What came of the commands the last time they ran."""
    claim: str | None = None
    """The result that its agent claims, until it is verified and approved."""
    note: str | None = None
    """Why it is not completed yet: what a check or the reviewer has found wrong, or why a person was asked."""
    plan_id: str | None = None
    """Its id in `tasks.toml`."""

    @property
    def awaited(self) -> tuple[str, ...]:
        """The tasks whose end takes it further; empty when it waits for none, or for its review to begin."""
        if not self.waits:
            return ()
        if self.state is TaskState.PENDING:
            return self.depends_on
        return () if self.review_task is None else (self.review_task,)

    def with_tags(self, tags: tuple[str, ...] | list[str]) -> Task:
        """The same task with these tags."""
        return replace(self, tags=tuple(tags))

    def with_parent(self, parent_id: TaskId) -> Task:
        """The same task under a parent. Grouping only: order comes from `depends_on`."""
        return replace(self, parent_id=parent_id)

    def assign(self, agent_id: AgentId) -> Task:
        """The task in the hands of an agent. A review of it goes on."""
        waits = self.waits and self.state is not TaskState.PENDING
        return replace(self._after(TaskEvent.ASSIGN), assigned_to=agent_id, waits=waits)

    def start(self) -> Task:
        """The task in a running turn; counts the attempt."""
        return replace(
            self._after(TaskEvent.START),
            started_at=times.now(),
            attempts=self.attempts + 1,
            waits=False,
            claim=None,
            review_task=None,
        )

    def returned(self) -> Task:
        """The task of a turn that ended without an end of the task."""
        return self._after(TaskEvent.RETURN)

    def release(self) -> Task:
        """The task in nobody's hands. What was claimed of it counts no more."""
        return replace(self._after(TaskEvent.RELEASE), assigned_to=None, waits=False, claim=None, review_task=None)

    def claimed(self, result: str) -> Task:
        """The task that its agent says is done."""
        return replace(self, claim=result, updated_at=times.now())

    def complete(self, result: str) -> Task:
        """The completed task."""
        return self._ended(TaskEvent.COMPLETE, result)

    def fail(self, error: str) -> Task:
        """The failed task."""
        return self._ended(TaskEvent.FAIL, error)

    def cancel(self, reason: str | None = None) -> Task:
        """The cancelled task."""
        return self._ended(TaskEvent.CANCEL, reason)

    def _ended(self, event: TaskEvent, result: str | None) -> Task:
        return replace(self._after(event), result=result, completed_at=times.now(), waits=False)

    def _after(self, event: TaskEvent) -> Task:
        state = move(TASK, self.state, event, what=f"Task {self.id}")
        return replace(self, state=state, updated_at=times.now())


@dataclass(frozen=True, slots=True)
class Event(Record):
    """Something that happened, as the journal tells it.

    `type` is `<noun>.<verb>` (`agent.spawned`, `task.completed`, `message.sent`). `id` is the position in the
    stream, empty before it is appended. `detail` is one line for people.
    """

    kind: ClassVar[str] = "event"
    type: str
    at: Timestamp = field(default_factory=times.now)
    id: str = ""
    agent: str | None = None
    task: str | None = None
    message: str | None = None
    mission: str | None = None
    detail: str | None = None

    def to_fields(self) -> list[str]:
        """Names and values in turn, as a stream entry holds them."""
        out: list[str] = []
        for item in fields(self):
            value = cast("str | None", getattr(self, item.name))
            if value is not None and item.name != "id":
                out += (item.name, value)
        return out
