"""What an idle agent does about the backlog, and which items suit whom.

An item suits an agent when a word of its tags is a word of the agent's role. Words are compared whole: a role
`test` has nothing to do with a tag `latest`. An item without tags suits nobody in particular: any idle agent may
take it by itself, but nobody is woken to be told of it.

An agent looks when nothing else waits for it, and again only when something new has come to the backlog. It is
told of an item once, however often it looks: the message's id is made from both, and a message is accepted once.
"""

from __future__ import annotations

import re
from contextlib import aclosing
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from tinytown.errors import LeaseLost, TownError, Unavailable
from tinytown.ids import SUPERVISOR_ID, MessageId
from tinytown.messages import Custom, Message, TaskAssign
from tinytown.plan import plan_tag
from tinytown.records import Event
from tinytown.text import one_line
from tinytown.transport.store import Raced

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tinytown.ids import TaskId
    from tinytown.records import Agent, Task
    from tinytown.transport.backlog import Backlog
    from tinytown.transport.delivery import Fence
    from tinytown.transport.mailbox import Mailbox
    from tinytown.transport.store import Change, Seen, Store

TOLD = "backlog"
"""The kind of the message that tells an agent of an item."""

TOLD_AT_ONCE = 5
"""Items that one look tells of: a round that is to choose needs no more, and the next look goes on."""

_WORD = re.compile(r"[^\W\d_]+")


def words(*texts: str) -> frozenset[str]:
    """The words of these texts; what stands between letters separates, and numbers are no words."""
    return frozenset(word.casefold() for text in texts for word in _WORD.findall(text) if not word.isnumeric())


def suits(task: Task, agent: Agent) -> bool:
    """Whether a tag of the task names the agent's role."""
    return bool(words(*_roles(task)) & words(agent.effective_role))


def may_take(task: Task, agent: Agent) -> bool:
    """Whether the agent may take the task by itself."""
    return not _roles(task) or suits(task, agent)


def is_at_leisure(agent: Agent) -> bool:
    """Whether it could begin at once, and its last round was no failure."""
    return agent.state.can_accept_work and agent.backoff_until is None


def given(change: Change, backlog: Backlog, seen: Seen[Task], agent: Agent, *, how: str) -> Task:
    """Let the change give a free task to an agent and tell it; `how` stands in the journal."""
    task = seen.record.assign(agent.id)
    task = replace(task, assigned_by=task.assigned_by or SUPERVISOR_ID)
    change.replace_task(seen, task)
    backlog.take(change, task.id)
    change.send(Message(task.assigned_by or SUPERVISOR_ID, agent.id, TaskAssign(task.id)))
    change.tell(Event("task.assigned", agent=agent.id, task=task.id, detail=f"{how}: {_title(task)}"))
    return task


def notice(task: Task, agent: Agent) -> Message:
    """The message that tells an agent of an item; the same item gives the same message, in each life once."""
    digest = sha256(f"{task.id} {agent.id} {agent.incarnation}".encode()).hexdigest()
    parts = (digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32])
    tags = ", ".join(task.tags)
    text = (
        f"Task {task.id} waits in the backlog and may be yours (tags: {tags}): {_title(task)}\n"
        f"Read it with: tt task show {task.id}\n"
        f"If it suits you, claim it, and it is given to you: tt backlog claim {task.id}\n"
        "Otherwise leave it; there is nothing to answer."
    )
    return Message(SUPERVISOR_ID, agent.id, Custom(TOLD, text), id=MessageId("-".join(parts)))


async def seekers(backlog: Backlog, agents: Iterable[Agent], *, alone: bool) -> list[Agent]:
    """Those of these agents for whom something lies in the backlog.

    `alone`: they take by themselves, so that items without tags count as well.
    """
    tags: set[str] = set()
    anything = False
    async with aclosing(backlog.each()) as items:
        async for seen in items:
            tags |= words(*_roles(seen.record))
            anything = anything or not _roles(seen.record)
    return [
        agent
        for agent in agents
        if is_at_leisure(agent) and ((alone and anything) or tags & words(agent.effective_role))
    ]


class Pickup:
    """The eye of one agent's actor on the backlog. `alone`: it takes what suits it, instead of being told of it."""

    def __init__(self, fence: Fence, store: Store, mailbox: Mailbox, backlog: Backlog, *, alone: bool) -> None:
        self._fence = fence
        self._store = store
        self._mailbox = mailbox
        self._backlog = backlog
        self._alone = alone
        self._looked_at: TaskId | None = None
        self._told: set[TaskId] = set()

    async def look(self) -> bool:
        """Whether something was put into the agent's mailbox. Call it when nothing waits there.

        Raises `LeaseLost` and `Unavailable`. A mailbox or a town that is full takes nothing: that is all.
        """
        newest = await self._backlog.newest()
        if newest is None or newest == self._looked_at:
            return False
        agent = await self._store.agent(self._fence.id)
        if not is_at_leisure(agent):
            return False
        try:
            found = await (self._take(agent) if self._alone else self._be_told(agent))
        except (LeaseLost, Unavailable):
            raise
        except TownError:
            found = False
        # Having found something, it looks at the rest when that is done.
        self._looked_at = None if found else newest
        return found

    async def _take(self, agent: Agent) -> bool:
        async with aclosing(self._backlog.each()) as items:
            async for seen in items:
                if not may_take(seen.record, agent):
                    continue
                change = self._store.change(self._fence)
                given(change, self._backlog, seen, agent, how=f"{agent.name} took it from the backlog")
                try:
                    await self._store.commit(change)
                except Raced:
                    continue
                return True
        return False

    async def _be_told(self, agent: Agent) -> bool:
        told = 0
        async with aclosing(self._backlog.each()) as items:
            async for seen in items:
                if told >= TOLD_AT_ONCE:
                    break
                if seen.record.id not in self._told and suits(seen.record, agent):
                    # All for one round: the agent looks when it has been told of the last.
                    told += await self._mailbox.send(notice(seen.record, agent), wake=False)
                    self._told.add(seen.record.id)
        return told > 0


def _roles(task: Task) -> tuple[str, ...]:
    """The tags that may name a role; the one that a plan gives its tasks only tells where they come from."""
    return tuple(tag for tag in task.tags if task.plan_id is None or tag != plan_tag(task.plan_id))


def _title(task: Task) -> str:
    return one_line(task.description, 100)
