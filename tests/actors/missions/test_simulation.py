"""Ten thousand ticks of missions to which anything happens, with deaths between any two actions.

The world below knows nothing of the planner: it ends tasks well or badly, pushes, breaks checks, approves, rejects,
merges, stops and resumes, at random from a seed. After everything that happens the invariants must hold.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from plans import NOW, mission_of

from tinytown.actors.missions import outcomes
from tinytown.actors.missions.actions import AskFix, AskReview, AssignItem, MergePull, applied
from tinytown.actors.missions.planner import plan
from tinytown.actors.missions.roles import Worker
from tinytown.ids import AgentId
from tinytown.lifecycle import MissionEvent, MissionState, WatchEvent, WatchState, WorkItemEvent, WorkItemState
from tinytown.mission_records import EXTERNAL_GATE, GREEN, Mission, Watch

TEAM = [("a", "backend"), ("b", "designer"), ("c", "tester"), ("d", "reviewer")]
OVER = (MissionState.COMPLETED, MissionState.FAILED)


class World:
    """A mission, its agents, and all that can happen to them."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        size = self.random.randint(1, 9)
        needs = {
            number: [each for each in range(1, number) if self.random.random() < 0.3]
            + ([99] if self.random.random() < 0.1 else [])
            for number in range(1, size + 1)
        }
        mission = Mission(
            max_parallel_items=self.random.randint(1, 3),
            reviewer_required=self.random.random() < 0.8,
            auto_merge=self.random.random() < 0.5,
        )
        self.plan = mission_of(needs, mission)
        if gated := [item for item in self.plan.items if "o/r#99" in item.depends_on]:
            gate = Watch(mission.id, gated[0].id, EXTERNAL_GATE, "o/r#99")
            self.plan = replace(self.plan, watches=(gate,))
        self.busy: dict[str, str] = {}
        """Agent -> the task it works at."""
        self.tasks: set[str] = set()
        self.reviews: set[tuple[str, str | None, int]] = set()
        self.heads = 0
        self.absorbed: dict[str, WorkItemState] = {}
        self.wild = True

    def head(self) -> str:
        self.heads += 1
        return f"head-{self.heads}"

    def tick(self) -> None:
        team = [Worker(AgentId(name), role, idle=name not in self.busy) for name, role in TEAM]
        now_is = self.plan
        actions = plan(now_is.mission, now_is.items, now_is.watches, team, NOW)
        assert actions == plan(now_is.mission, now_is.items, now_is.watches, team, NOW)
        # The scheduler dies after any of them, or after none.
        done = actions[: self.random.randint(0, len(actions))] if self.wild else actions
        for action in done:
            if isinstance(action, AssignItem | AskReview | AskFix):
                # Everything is asked for once in all the lives of the scheduler.
                assert action.task not in self.tasks
                self.tasks.add(action.task)
                if not isinstance(action, AskFix):
                    assert action.agent not in self.busy
                    self.busy[action.agent] = action.task
            self.plan = applied(self.plan, [action], NOW)
            if isinstance(action, AskReview):
                item = self.plan.item(action.item)
                assert item.assigned_to != action.agent
                assert (item.id, item.head, item.attempts) not in self.reviews
                self.reviews.add((item.id, item.head, item.attempts))
            if isinstance(action, MergePull):
                item = self.plan.item(action.item)
                assert item.approved_head == item.head == action.head
                self.plan = self.plan.with_item(outcomes.pull_merged(item, NOW))
            self.check()

    def free(self, task: str | None) -> None:
        self.busy = {agent: each for agent, each in self.busy.items() if each != task}

    def happen(self) -> None:
        """Something happens to one item, or to the mission."""
        mission = self.plan.mission
        if self.wild and self.random.random() < 0.03:
            event = MissionEvent.RESUME if mission.state is MissionState.STOPPED else MissionEvent.STOP
            if mission.state not in OVER:
                self.plan = replace(self.plan, mission=mission.after(event, NOW))
        item = self.random.choice(self.plan.items)
        if item.state is WorkItemState.ASSIGNED and self.random.random() < 0.5:
            self.plan = self.plan.with_item(item.after(WorkItemEvent.START, NOW))
        elif item.state in (WorkItemState.ASSIGNED, WorkItemState.RUNNING):
            self.work_ends(item.id)
        elif item.waits_for == "review" and item.review_task_id is not None:
            self.review_ends(item.id)
        elif item.waits_for == "merge":
            self.pull_moves(item.id)
        elif item.waits_for == "person":
            self.plan = self.plan.with_item(replace(item.after(WorkItemEvent.UNBLOCK, NOW), attempts=item.attempts))
        self.watches_move()
        self.check()

    def work_ends(self, item_id: str) -> None:
        item = next(each for each in self.plan.items if each.id == item_id)
        self.free(item.task_id)
        if self.wild and self.random.random() < 0.2:
            self.plan = self.plan.with_item(outcomes.work_lost(item, NOW, "it died"))
        elif self.random.random() < 0.7:
            head = self.head()
            pull = f"o/r#{1000 + item.number}"
            self.plan = self.plan.with_item(outcomes.work_ended(self.plan.mission, item, NOW, pull=pull, head=head))
            kept = tuple(
                watch for watch in self.plan.watches if watch.work_item_id != item.id or watch.target == "o/r#99"
            )
            watch = Watch(item.mission_id, item.id, "pr_checks", pull, head=head)
            self.plan = replace(self.plan, watches=(*kept, watch))
        else:
            self.plan = self.plan.with_item(outcomes.work_ended(self.plan.mission, item, NOW))

    def review_ends(self, item_id: str) -> None:
        item = next(each for each in self.plan.items if each.id == item_id)
        self.free(item.review_task_id)
        if self.wild and self.random.random() < 0.2:
            after = outcomes.review_lost(item, NOW)
        else:
            approved = not self.wild or self.random.random() < 0.6
            after = outcomes.reviewed(item, NOW, approved=approved, head=item.head)
        self.plan = self.plan.with_item(after)

    def pull_moves(self, item_id: str) -> None:
        item = next(each for each in self.plan.items if each.id == item_id)
        chance = self.random.random() if self.wild else 0.0
        if item.pull is None or chance < 0.5:
            after = outcomes.pull_merged(item, NOW)
        elif chance < 0.6:
            after = outcomes.pull_closed(item, NOW)
        else:
            after = outcomes.pushed(self.plan.mission, item, NOW, self.head(), "main")
        self.plan = self.plan.with_item(after)

    def watches_move(self) -> None:
        for watch in self.plan.watches:
            if watch.state is not WatchState.ACTIVE or self.random.random() < 0.5:
                continue
            head = next(item.head for item in self.plan.items if item.id == watch.work_item_id)
            if watch.watch_kind == EXTERNAL_GATE:
                after = watch.after(WatchEvent.FINISH) if not self.wild else watch
            elif watch.fix_task_id is not None:
                self.free(watch.fix_task_id)
                after = replace(watch, fix_task_id=None, findings=())
            elif self.wild and self.random.random() < 0.5:
                after = replace(watch, head=head, findings=("lint",))
            else:
                after = replace(watch, head=head, findings=(), last_result=GREEN)
            self.plan = self.plan.with_watch(after)

    def check(self) -> None:
        """The invariants."""
        now_is = self.plan
        done = {item.key for item in now_is.items if item.state is WorkItemState.DONE}
        done |= {watch.target for watch in now_is.watches if watch.state is WatchState.DONE}
        working = [item for item in now_is.items if item.state in (WorkItemState.ASSIGNED, WorkItemState.RUNNING)]
        assert len(working) <= now_is.mission.max_parallel_items
        for item in working:
            assert done.issuperset(item.depends_on)
        mending = [watch.work_item_id for watch in now_is.watches if watch.fix_task_id is not None]
        assert len(mending) == len(set(mending))
        for item in now_is.items:
            if item.id in self.absorbed:
                assert item.state is self.absorbed[item.id]
            elif item.state in (WorkItemState.DONE, WorkItemState.FAILED):
                self.absorbed[item.id] = item.state
        if now_is.mission.state is MissionState.COMPLETED:
            assert all(item.state is WorkItemState.DONE for item in now_is.items)


@pytest.mark.parametrize("seed", range(100))
def test_whatever_happens_the_invariants_hold_and_in_the_end_all_is_done(seed: int) -> None:
    world = World(seed)
    for _ in range(100):
        world.tick()
        world.happen()

    # From here on everybody does his work, and nobody dies.
    world.wild = False
    if world.plan.mission.state is MissionState.STOPPED:
        world.plan = replace(world.plan, mission=world.plan.mission.after(MissionEvent.RESUME, NOW))
    for _ in range(600):
        if world.plan.mission.state in OVER:
            break
        world.tick()
        world.happen()

    assert world.plan.mission.state is MissionState.COMPLETED
