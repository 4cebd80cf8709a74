"""Migration: what the original's first version left in Redis becomes part of this town.

Its keys did not say whose they are (`tt:agent:<id>`), ours do. What must be true: one commit moves everything, so a
crash leaves either layout whole; nothing that lies under a new key is overwritten; what cannot be read is moved as
it is. A second run finds nothing more to do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tinytown.errors import BadMessage, InvalidName
from tinytown.ids import SUPERVISOR_ID, AgentId, agent_name, short
from tinytown.lifecycle import TaskState
from tinytown.messages import Message, TaskAssign
from tinytown.records import Event
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.transport.old_layout import find_old, fits, read_agent, read_task
from tinytown.transport.store import Raced

if TYPE_CHECKING:
    from tinytown.ids import TaskId
    from tinytown.records import Agent, Task
    from tinytown.runtime.town import Town
    from tinytown.transport.old_layout import OldKey

AS_IT_IS = "moved as it is; nothing reads it there"


@dataclass(frozen=True, slots=True)
class Migrate:
    """Bring the keys of the old layout to this town; with `dry_run` only say which."""

    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class MovedKey:
    """An old key and its new name; what is special about it, if anything is."""

    old: str
    new: str
    note: str | None = None


@dataclass(frozen=True, slots=True)
class KeptKey:
    """An old key that stays where it is, and why."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Migrated:
    """What was moved, or would be. `neighbours`: other towns in this Redis, which the old keys may be of, too."""

    town: str
    dry_run: bool
    moved: tuple[MovedKey, ...]
    kept: tuple[KeptKey, ...]
    neighbours: tuple[str, ...]


@operation("town.migrate", Scope.ADMIN)
async def migrate(town: Town, request: Migrate) -> Migrated:
    """Bring what an older version left in Redis to this town.

    Agents are stopped afterwards; tasks that ran are with their agents, or in the backlog, again.
    """
    while True:
        layout = await find_old(town.connection, town.keys)
        moving = _Moving(town)
        await moving.look()
        for old in layout.keys:
            moving.place(old)
        moving.hand_out()
        result = Migrated(town.name, request.dry_run, tuple(moving.moved), tuple(moving.kept), layout.neighbours)
        if request.dry_run or not moving.moved:
            return result
        detail = f"{len(moving.moved)} keys of the old layout, by {town.caller.name}"
        moving.change.tell(Event("town.migrated", detail=detail))
        try:
            await town.store.commit(moving.change)
        except Raced:
            continue
        return result


class _Moving:
    """One try to move everything: fills a change, and notes what becomes of each key."""

    def __init__(self, town: Town) -> None:
        self.change = town.store.change()
        self.moved: list[MovedKey] = []
        self.kept: list[KeptKey] = []
        self._town = town
        self._known: set[str] = {SUPERVISOR_ID}
        self._names: set[str] = set()
        self._tasks: dict[TaskId, Task] = {}
        self._waiting: list[str] = []

    async def look(self) -> None:
        """Learn which agents there are."""
        names = await self._town.store.names()
        self._known |= names.keys()
        self._names |= set(names.values())

    def place(self, old: OldKey) -> None:
        """Find the place of one old key. Agents come before what is theirs, the backlog comes last."""
        if old.raw is None and old.items is None:
            self.kept.append(KeptKey(old.key, "it is of a type that no version had there"))
        elif old.items is not None:
            self._list(old, old.items)
        elif old.kind == "agent" and old.part == SUPERVISOR_ID:
            # It says nothing but that there is a mailbox, as there is in every town.
            self._forget(old)
            self.moved.append(MovedKey(old.key, old.new, "the town has its own already"))
        elif old.taken:
            self.kept.append(KeptKey(old.key, f"{old.new} is there already"))
        elif old.kind == "agent" and (read := _agent(old)) is not None:
            self._forget(old)
            agent = replace(read, name=self._free_name(read))
            self.change.create_agent(agent)
            note = None if agent.name == read.name else f"its name is now '{agent.name}': the old one cannot be had"
            self.moved.append(MovedKey(old.key, old.new, note))
            self._known.add(agent.id)
            self._names.add(agent.name)
        elif old.kind == "task" and (task := _task(old)) is not None:
            self._forget(old)
            self._tasks[task.id] = task
            self.moved.append(MovedKey(old.key, old.new))
        else:
            self._plain(old)

    def _plain(self, old: OldKey) -> None:
        assert old.raw is not None
        self._forget(old)
        self.change.require_absent(old.new).write("SET", old.new, old.raw)
        self.moved.append(MovedKey(old.key, old.new, AS_IT_IS))

    def _forget(self, old: OldKey) -> None:
        assert old.raw is not None
        self.change.checks.append((old.key, "=", old.raw))
        self.change.write("DEL", old.key)

    def _list(self, old: OldKey, items: tuple[bytes, ...]) -> None:
        if old.taken not in ("", "list"):
            self.kept.append(KeptKey(old.key, f"{old.new} is there already"))
            return
        if old.kind == "backlog":
            self._waiting = [raw.decode("utf-8", "replace") for raw in items]
        # One by one: an element that somebody adds meanwhile stays for the next run, and none is copied twice.
        for _ in items:
            self.change.write("LMOVE", old.key, old.new, "LEFT", "RIGHT")
        mailbox = old.kind in ("inbox", "urgent")
        if mailbox and old.part in self._known:
            self.change.ring(old.part)
        read = old.kind == "backlog" or (mailbox and old.part in self._known)
        self.moved.append(MovedKey(old.key, old.new, None if read else AS_IT_IS))

    def _free_name(self, agent: Agent) -> str:
        """A name that this town has free; its own where that can be."""
        name = agent.name
        try:
            agent_name(name)
        except InvalidName:
            name = ""
        if name and name not in self._names:
            return name
        tried = f"{name[:50] or 'agent'}-{short(agent.id)}"
        return tried if tried not in self._names else f"agent-{agent.id}"

    def hand_out(self) -> None:
        """Write the tasks. Nobody works on them: one that ran, or waits in the backlog, is to be begun anew."""
        queued = set(self._waiting)
        for task in self._tasks.values():
            runs = task.state is TaskState.RUNNING
            if task.state is TaskState.ASSIGNED and task.id in queued:
                self.change.create_task(task.release())
            elif runs and (task.assigned_to not in self._known or task.id in queued):
                self.change.create_task(task.release())
                if task.id not in queued:
                    self.change.write("RPUSH", self._town.keys("backlog"), task.id)
            elif runs and task.assigned_to is not None:
                # The original took the message out of the mailbox when it began.
                self.change.create_task(task.returned())
                to = AgentId(task.assigned_to)
                self.change.send(Message(self._town.caller.agent_id, to, TaskAssign(task.id)))
            else:
                self.change.create_task(task)


def _agent(old: OldKey) -> Agent | None:
    """The agent of an old key; None when there is none that can be kept, whatever it is called."""
    try:
        agent = read_agent(old)
    except BadMessage:
        return None
    return agent if fits(replace(agent, name="agent"), old.part) else None


def _task(old: OldKey) -> Task | None:
    try:
        task = read_task(old)
    except BadMessage:
        return None
    return task if fits(task, old.part) else None
