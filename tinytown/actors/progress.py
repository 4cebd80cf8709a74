"""What the records say of one agent, written by its actor: each step of a round is one commit under its fence.

Every step reads what is there and decides by the tables of `lifecycle.py`, so that what a person did meanwhile
(pause, kill, cancel of a task) is never overwritten; a lost race is decided again.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tinytown import times
from tinytown.actors.acceptance import settled
from tinytown.actors.succession import advance, release_dependents
from tinytown.errors import AgentNotFound, Full, TaskNotFound, TooLarge, TownError
from tinytown.ids import SUPERVISOR_ID
from tinytown.lifecycle import AgentEvent, AgentState, TaskState
from tinytown.messages import Informational, Message, Priority, TaskDone
from tinytown.records import Event
from tinytown.text import one_line
from tinytown.transport.store import Raced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinytown.actors.acceptance import Checked
    from tinytown.actors.rounds import Round
    from tinytown.ids import TaskId
    from tinytown.records import Agent, Task
    from tinytown.transport.delivery import Fence
    from tinytown.transport.store import Change, Seen, Store

    _Tasks = list[Seen[Task]]


_NOT_TAKEN = (Full, TooLarge, AgentNotFound)
"""Why a message is refused that goes out with a change."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The written life of one agent."""

    store: Store
    fence: Fence

    async def adopt(self) -> Agent:
        """Take the agent over from whatever was before: a start, or a runtime that died.

        The tasks it was at go back to assigned. An agent that was draining has nothing left to end.
        """

        def decide(agent: Agent, _: _Tasks) -> Agent:
            if agent.state.is_terminal:
                return agent
            agent = agent.after(AgentEvent.ADOPT)
            if agent.state is AgentState.STARTING:
                agent = agent.after(AgentEvent.READY)
            return replace(agent, in_round=False, current_task=None, last_heartbeat=times.now())

        return await self._step(None, decide, _return_tasks)

    async def begin(self, work: Round) -> Agent:
        """The round starts: the agent works, its tasks run. `IllegalTransition` when the agent may not."""

        def decide(agent: Agent, tasks: _Tasks) -> Agent:
            now = times.now()
            return replace(
                agent.after(AgentEvent.BEGIN),
                in_round=True,
                current_task=tasks[0].record.id if tasks else None,
                last_active_at=now,
                last_heartbeat=now,
                backoff_until=None,
                reason=None,
            )

        def fill(change: Change, after: Agent, tasks: _Tasks) -> None:
            for seen in tasks:
                change.replace_task(seen, seen.record.start())
                change.tell(Event("task.started", agent=after.id, task=seen.record.id))
            change.tell(Event("round.started", agent=after.id, detail=f"Round {work.number}"))

        return await self._step(work.task_ids, decide, fill)

    async def succeed(self, work: Round, answer: str, checked: Checked | None = None) -> Agent:
        """The round ended well: the tasks that the agent did not end itself are completed with its answer.

        Those that failed a check go back, those with a reviewer on to the review; see `acceptance`. Those that last
        wait for the next round. After its last round the agent stops.
        """
        found = checked or {}
        after: list[Task] = []

        def decide(agent: Agent, tasks: _Tasks) -> Agent:
            now = times.now()
            after[:] = [
                _returned(seen.record)
                if seen.record.id in work.lasting
                else settled(seen.record, answer, found.get(seen.record.id, ()))
                for seen in tasks
            ]
            agent = replace(
                _finished(agent),
                in_round=False,
                current_task=None,
                rounds_completed=agent.rounds_completed + 1,
                tokens_used=agent.tokens_used + work.tokens,
                tasks_completed=agent.tasks_completed + sum(task.state is TaskState.COMPLETED for task in after),
                failed_rounds=0,
                last_active_at=now,
                last_heartbeat=now,
            )
            if not agent.state.is_terminal and agent.rounds_completed >= agent.max_rounds:
                agent = agent.after(AgentEvent.STOP)
            return agent

        def fill(change: Change, agent: Agent, tasks: _Tasks) -> None:
            for seen, task in zip(tasks, after, strict=True):
                change.replace_task(seen, task)
                if task.id in work.lasting:
                    continue
                change.tell(_settlement(agent, task))
                if task.state is TaskState.COMPLETED and task.assigned_by not in (None, agent.id):
                    done = TaskDone(task.id, task.result or "")
                    change.send(Message(agent.id, task.assigned_by or SUPERVISOR_ID, done))
            for message in work.news:
                change.send(message)
            change.tell(
                Event("round.finished", agent=agent.id, detail=f"Round {work.number}: ✅ completed{_used(work)}")
            )

        agent = await self._step(work.task_ids, decide, fill)
        await self._go_on(after)
        return agent

    async def _go_on(self, tasks: Sequence[Task]) -> None:
        """Let go on what the ends of these tasks allow; the lifeline does whatever fails here."""
        with suppress(TownError):
            for task in tasks:
                if task.state.is_terminal:
                    await release_dependents(self.store, task.id)
            await advance(self.store, [task.id for task in tasks if task.waits])

    async def fail(self, work: Round, reason: str, *, fatal: bool, wait: float, most: int) -> Agent:
        """The round failed: its tasks wait for the next one, in `wait` seconds.

        After `most` failures in a row, or at once when it is `fatal`, the agent is in Error and the supervisor is
        told.
        """

        def decide(agent: Agent, _: _Tasks) -> Agent:
            failures = agent.failed_rounds + 1
            agent = replace(
                agent,
                in_round=False,
                current_task=None,
                failed_rounds=failures,
                tokens_used=agent.tokens_used + work.tokens,
                reason=reason,
                last_heartbeat=times.now(),
            )
            if agent.state.is_terminal:
                return agent
            if fatal or failures >= most:
                return agent.after(AgentEvent.FAIL)
            return replace(_finished(agent), backoff_until=times.timestamp(time.time() + wait))

        def fill(change: Change, after: Agent, tasks: _Tasks) -> None:
            _return_tasks(change, after, tasks)
            change.tell(Event("round.failed", agent=after.id, detail=f"Round {work.number}: ⚠️ {reason}{_used(work)}"))

        return await self._step(work.task_ids, decide, fill)

    async def abandon(self, work: Round, why: str) -> Agent:
        """The round was cut: nothing counts, its tasks wait for the next one.

        Nothing is written if it was cut before its beginning or behind its end.
        """

        def decide(agent: Agent, _: _Tasks) -> Agent:
            if not agent.in_round:
                return agent
            return replace(_finished(agent), in_round=False, current_task=None, last_heartbeat=times.now())

        def fill(change: Change, after: Agent, tasks: _Tasks) -> None:
            _return_tasks(change, after, tasks)
            change.tell(Event("round.cut", agent=after.id, detail=f"Round {work.number}: cut by {why}"))

        return await self._step(work.task_ids, decide, fill)

    async def end(self, event: AgentEvent, reason: str | None = None) -> Agent:
        """The agent ends outside a round, by a stop, a drain or a failure. One that has ended already stays so."""

        def decide(agent: Agent, _: _Tasks) -> Agent:
            if agent.state.is_terminal:
                return agent
            return replace(agent.after(event), in_round=False, current_task=None, reason=reason)

        return await self._step(None, decide, _return_tasks)

    async def _step(
        self,
        task_ids: Sequence[TaskId] | None,
        decide: Callable[[Agent, _Tasks], Agent],
        fill: Callable[[Change, Agent, _Tasks], None],
    ) -> Agent:
        """Commit what is decided on the records as they are now, again whenever somebody was faster.

        `task_ids` are the tasks concerned, None for all that the agent is at; those that have ended or went to
        somebody else are left out.
        """
        apart: list[Message] | None = None
        while True:
            seen = await self.store.see_agent(self.fence.id)
            tasks = await self.open_tasks(await self._running() if task_ids is None else task_ids)
            after = decide(seen.record, tasks)
            if after == seen.record and not any(task.record.state is TaskState.RUNNING for task in tasks):
                return after
            change = self.store.change(self.fence).replace_agent(seen, after)
            fill(change, after, tasks)
            if after.state is not seen.record.state:
                _tell_end(change, after)
            if apart is not None:
                apart, change.messages = change.messages, []
            try:
                await self.store.commit(change)
            except Raced:
                continue
            except _NOT_TAKEN:
                if apart is not None:
                    raise
                # A mailbox elsewhere that takes nothing must not keep this from being recorded.
                apart = []
                continue
            for message in apart or ():
                # The journal has it as well.
                with suppress(*_NOT_TAKEN):
                    await self.store.commit(self.store.change(self.fence).send(message))
            return after

    async def _running(self) -> list[TaskId]:
        return [task.id for task in await self.store.tasks(TaskState.RUNNING) if task.assigned_to == self.fence.id]

    async def open_tasks(self, ids: Sequence[TaskId]) -> _Tasks:
        """Those of these tasks that the agent still has to end, as they are now."""
        found = []
        for task_id in ids:
            try:
                seen = await self.store.see_task(task_id)
            except TaskNotFound:
                continue
            if seen.record.assigned_to == self.fence.id and not seen.record.state.is_terminal:
                found.append(seen)
        return found


def _finished(agent: Agent) -> Agent:
    """The agent after its turn. One that somebody ended during the turn stays so."""
    return agent if agent.state.is_terminal else agent.after(AgentEvent.FINISH)


def _settlement(agent: Agent, task: Task) -> Event:
    if task.state.is_terminal:
        return Event(f"task.{task.state}", agent=agent.id, task=task.id)
    if task.waits:
        return Event("task.claimed", agent=agent.id, task=task.id, detail="waits for its review")
    return Event("task.sent_back", agent=agent.id, task=task.id, detail=one_line(task.note or "", 200))


def _returned(task: Task) -> Task:
    return task.returned() if task.state is TaskState.RUNNING else task


def _return_tasks(change: Change, _: Agent, tasks: _Tasks) -> None:
    for seen in tasks:
        if seen.record.state is TaskState.RUNNING and not seen.record.waits:
            change.replace_task(seen, seen.record.returned())


def _tell_end(change: Change, agent: Agent) -> None:
    """Tell the journal, and of an error the supervisor, when the agent has ended."""
    if agent.state is AgentState.STOPPED:
        rounds = f"{agent.rounds_completed}/{agent.max_rounds} rounds"
        change.tell(Event("agent.stopped", agent=agent.id, detail=f"{agent.name} stopped, completed {rounds}"))
        if agent.parent_agent_id is not None and agent.rounds_completed >= agent.max_rounds:
            text = (
                f"Agent '{agent.name}' has stopped after {rounds}. What it has not done waits for its next life: "
                f"tt restart {agent.name}"
            )
            change.send(Message(agent.id, agent.parent_agent_id, Informational(text), Priority.HIGH))
    elif agent.state is AgentState.ERROR:
        change.tell(Event("agent.failed", agent=agent.id, detail=f"{agent.name}: {agent.reason}"))
        text = (
            f"Agent '{agent.name}' is in Error: {agent.reason}. Its messages wait. "
            f"When the cause is mended, start it again with: {_again(agent)}"
        )
        change.send(Message(agent.id, SUPERVISOR_ID, Informational(text), Priority.HIGH))


def _again(agent: Agent) -> str:
    return "tt conductor --detach" if agent.id == SUPERVISOR_ID else f"tt restart {agent.name}"


def _used(work: Round) -> str:
    return f", {work.tokens:,} tokens" if work.tokens else ""
