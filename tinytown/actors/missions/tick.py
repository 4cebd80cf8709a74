"""One tick of a mission: see what has become of what it gave out, decide what is next, write both in one commit.

What must be true: whatever a tick decides stands in Redis whole or not at all, tasks and messages included; it is
decided on what was written over, and under the fence of whoever has the mission. So two ticks never give out the same
thing, and one that dies in the middle has done nothing. What is to be done at GitHub is written down first and given
to the caller, who does it afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from tinytown.actors.missions.actions import AskFix, AskReview, AssignItem, MergePull, Plan, RerunChecks, UpdateBranch
from tinytown.actors.missions.actions import applied as applied_to
from tinytown.actors.missions.handing_out import (
    Sources,
    give,
    given_up,
    handed_out,
    needed_tasks,
    needed_texts,
    take_back,
    tell_of,
)
from tinytown.actors.missions.planner import plan
from tinytown.actors.missions.reconcile import OPEN, Town, finished, open_tasks, reconciled, workers
from tinytown.errors import AgentNotFound, Conflict, Full, MailboxFull, TaskNotFound
from tinytown.ids import AgentId
from tinytown.lifecycle import TaskState, WorkItemState
from tinytown.transport.missions import ACTIVE, Changed
from tinytown.transport.store import Raced

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from tinytown.actors.missions.actions import Action, Outward
    from tinytown.ids import MissionId, TaskId
    from tinytown.records import Task
    from tinytown.times import Timestamp
    from tinytown.transport.delivery import Fence
    from tinytown.transport.missions import Missions, SeenMission
    from tinytown.transport.shelves import Shelves
    from tinytown.transport.store import Change, Seen, Store

MOST_RACES = 100
"""How often a tick decides again because somebody was faster. More are no race: what it wants can never be written."""

_TAKEN_BACK = "The mission does not need it any more."


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a tick has come to."""

    over: bool
    """The mission is stopped, or over: there is nothing to tick."""
    waits_for: frozenset[TaskId] = frozenset()
    """Tasks whose end matters to the mission."""
    hungry: bool = False
    """An agent that gets free would get something."""
    ended: frozenset[TaskId] = frozenset()
    """Work that was completed, and of which it is to be found out what it comes to."""
    outward: tuple[Outward, ...] = ()
    """What is to be done at GitHub now."""
    changed: bool = False
    """It has written something."""


@dataclass(frozen=True, slots=True)
class Ticking:
    """What ticks need. `now` is the time of day, `explain` words what a watch has found.

    The missions of one process take `turns`: an agent that gets free wakes all of them, and two that look at the same
    moment would both give him something, while another goes without.
    """

    store: Store
    missions: Missions
    shelves: Shelves
    now: Callable[[], Timestamp]
    explain: Callable[[str, str], str] = lambda _, finding: finding
    turns: trio.Lock = field(default_factory=trio.Lock)

    async def tick(self, mission_id: MissionId, fence: Fence, merging: Collection[MergePull] = ()) -> Ticked:
        """Do one tick; `merging` is under way already.

        Raises `MissionNotFound`, `BadMessage` for a mission that cannot be read, `LeaseLost` when somebody else has
        it, `Conflict` when what it decides cannot be written, and the kinds of `Unavailable`.
        """
        async with self.turns:
            return await self._tick(mission_id, fence, merging)

    async def _tick(self, mission_id: MissionId, fence: Fence, merging: Collection[MergePull]) -> Ticked:
        avoided: set[AgentId] = set()
        tell, races = True, 0
        while races < MOST_RACES:
            seen = await self.missions.see(mission_id)
            if seen.mission.state not in ACTIVE:
                return Ticked(over=True)
            step = await self._decide(seen, avoided, merging)
            if step.before == step.after and not step.actions:
                return step.ticked(changed=False)
            try:
                await self._commit(seen, step, fence, tell=tell)
            except Raced:
                races += 1
                continue
            except (Full, AgentNotFound) as error:
                who = _refused(error)
                if who in step.takers():
                    avoided.add(who)
                elif tell:
                    # It was for somebody who has to be told nothing: that a task of his is cancelled, he can see.
                    tell = False
                else:
                    raise
                continue
            return step.ticked(changed=True)
        raise Conflict(f"What mission {mission_id} is to do next cannot be written: a part of it is there already")

    async def _decide(self, seen: SeenMission, avoided: set[AgentId], merging: Collection[MergePull]) -> _Step:
        before = Plan(seen.mission, seen.items, seen.watches)
        agents = await self.store.agents()
        tasks = await self.store.tasks_of(sorted(open_tasks(before)))
        open_ones = [task for state in OPEN for task in await self.store.tasks(state)]
        waiting = {task.id for task in tasks if task.state is TaskState.ASSIGNED}
        aside = waiting & await self.shelves.tasks() if waiting else waiting
        town = Town({agent.id: agent for agent in agents}, {task.id: task for task in tasks}, aside)
        now = self.now()
        middle = reconciled(before, town, now)
        team = [each for each in workers(agents, open_ones) if each.id not in avoided]
        found = plan(middle.mission, middle.items, middle.watches, team, now)
        actions = tuple(action for action in found if action not in merging)
        ended = frozenset(task.id for _, task in finished(middle, town))
        return _Step(before, middle, applied_to(middle, actions, now), actions, ended)

    async def take_in(self, mission_id: MissionId, fence: Fence, decide: Callable[[Plan], Plan]) -> None:
        """Write a mission as `decide` makes it, which may decide again; nothing when that is what it was.

        Raises as `tick`.
        """
        tell = True
        while True:
            seen = await self.missions.see(mission_id)
            before = Plan(seen.mission, seen.items, seen.watches)
            after = decide(before)
            if seen.mission.state not in ACTIVE or before == after:
                return
            try:
                await self.store.commit(await self._change(seen, before, after, fence, tell=tell))
            except Raced:
                continue
            except (Full, AgentNotFound):
                if not tell:
                    raise
                tell = False
                continue
            return

    async def _commit(self, seen: SeenMission, step: _Step, fence: Fence, *, tell: bool) -> None:
        change = await self._change(seen, step.before, step.after, fence, actions=step.actions, tell=tell)
        sources = Sources(
            await self.missions.texts(seen.mission.id, needed_texts(step.actions)),
            {task.id: task for task in await self.store.tasks_of(needed_tasks(step.middle, step.actions))},
            self.explain,
        )
        await self.store.commit(give(change, handed_out(step.middle, step.actions, sources)))

    async def _change(
        self, seen: SeenMission, before: Plan, after: Plan, fence: Fence, *, tell: bool, actions: Sequence[Action] = ()
    ) -> Change:
        """The change from one plan to another, with all that follows from it but new tasks."""
        change = self.store.change(fence)
        self.missions.replace(change, seen, Changed(after.mission, after.items, after.watches))
        take_back(change, await self._seen_tasks(given_up(before, after)), _TAKEN_BACK, tell=tell)
        return tell_of(self.missions, change, before, after, actions)

    async def _seen_tasks(self, task_ids: Sequence[TaskId]) -> list[Seen[Task]]:
        """Those of these tasks that there are, to be replaced in a commit."""
        found = []
        for task_id in task_ids:
            try:
                found.append(await self.store.see_task(task_id))
            except TaskNotFound:
                continue
        return found


@dataclass(frozen=True, slots=True)
class _Step:
    """`before` is what was read, `middle` with what tasks have come to, `after` with the actions."""

    before: Plan
    middle: Plan
    after: Plan
    actions: tuple[Action, ...]
    ended: frozenset[TaskId]

    def takers(self) -> set[AgentId]:
        return {each.agent for each in self.actions if isinstance(each, AssignItem | AskReview | AskFix)}

    def ticked(self, *, changed: bool) -> Ticked:
        after = self.after
        waiting = any(item.waits_for == "review" and item.review_task_id is None for item in after.items)
        return Ticked(
            over=after.mission.state not in ACTIVE,
            waits_for=frozenset(open_tasks(after)),
            hungry=waiting or any(item.state is WorkItemState.READY for item in after.items),
            ended=self.ended,
            outward=tuple(each for each in self.actions if isinstance(each, MergePull | RerunChecks | UpdateBranch)),
            changed=changed,
        )


def _refused(error: Full | AgentNotFound) -> AgentId | None:
    """Whose mailbox took no message."""
    if isinstance(error, MailboxFull):
        return AgentId(error.agent_id)
    return AgentId(error.name) if isinstance(error, AgentNotFound) else None
