"""The scheduler of missions, with real agents' actors on a clock that jumps. No item here is of GitHub."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from stage import Run, Runtime, Stage, good, until
from trio.testing import MockClock

from tinytown.actors.drivers.text import TurnResult
from tinytown.ids import MissionId
from tinytown.lifecycle import AgentState, MissionEvent, MissionState, TaskState, WorkItemState
from tinytown.mission_records import Mission, SourceText, WorkItem
from tinytown.times import now
from tinytown.transport.delivery import DeadLetter
from tinytown.transport.missions import Changed, SeenMission, update_mission
from tinytown.transport.placement import STAND_DOWN


class Missions:
    """What the tests ask of the missions on a stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.prompts: list[str] = []
        stage.cli.behave = self.work
        self.verdicts: list[str] = []
        """What reviewers say, one after the other; in the end they approve of everything."""

    async def begin(self, needs: dict[str, list[str]], **policy: object) -> MissionId:
        mission = Mission(**{"reviewer_required": False, **policy})  # type: ignore[arg-type]
        items = tuple(
            WorkItem(
                mission.id,
                f"write {name}",
                "implement",
                key=f"doc:{name}",
                number=number,
                edges=tuple({"on": f"doc:{on}", "source": "manifest"} for on in wanted),
            )
            for number, (name, wanted) in enumerate(needs.items(), 1)
        )
        texts = {item.id: SourceText("", "DOCUMENT", f"All of {item.title}") for item in items}
        town = self.stage.town
        change = town.missions.create(town.store.change(), Changed(mission, items, (), texts))
        await town.store.commit(change.write("PUBLISH", town.keys("bell"), f"mission:{mission.id}"))
        return mission.id

    async def work(self, run: Run) -> TurnResult:
        """An agent that works for a minute, and reviews at once."""
        self.prompts.append(run.prompt)
        if any("Review of" in text for text in run.texts) or "Review of" in run.prompt:
            return good(self.verdicts.pop(0) if self.verdicts else "APPROVED")
        await trio.sleep(60)
        return good(f"done by {run.agent.name}")

    async def see(self, mission_id: MissionId) -> SeenMission:
        return await self.stage.town.missions.see(mission_id)

    async def states(self, mission_id: MissionId) -> dict[str, str]:
        return {item.key.removeprefix("doc:"): item.state.value for item in (await self.see(mission_id)).items}

    async def ends(self, mission_id: MissionId) -> MissionState:
        """Wait until the mission is over."""
        with trio.fail_after(24 * 3600):
            while (state := (await self.see(mission_id)).mission.state) not in (
                MissionState.COMPLETED,
                MissionState.FAILED,
            ):
                await trio.sleep(5)
        return state


@pytest.fixture
def missions(stage: Stage) -> Missions:
    return Missions(stage)


async def test_a_mission_runs_from_its_first_item_to_completed_and_then_sleeps(
    clock: MockClock, stage: Stage, missions: Missions
) -> None:
    for name in ("ada", "bob"):
        await stage.agent(name)
    runtime = await Runtime(stage).start()
    mission = await missions.begin({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]})

    assert await missions.ends(mission) is MissionState.COMPLETED
    # a, then b and c side by side, then d: nobody waited for a tick.
    assert trio.current_time() < 3 * 60 + 10
    tasks = await stage.store.tasks()
    assert [task.state for task in tasks] == [TaskState.COMPLETED] * 4
    assert "- doc:b write b: done by" in missions.prompts[-1]
    assert "All of write d" in missions.prompts[-1]
    told = [event.type for event in await stage.town.missions.events(mission)]
    assert told[-1] == "mission.completed"
    assert told.count("mission.item_done") == 4
    await until(lambda: len(runtime.scheduler) == 0)
    assert runtime.reports == []
    await runtime.end()


async def test_an_item_waits_until_an_agent_gets_free(clock: MockClock, stage: Stage, missions: Missions) -> None:
    runtime = await Runtime(stage).start()
    mission = await missions.begin({"a": [], "b": []})
    await trio.sleep(600)
    assert await missions.states(mission) == {"a": "ready", "b": "ready"}

    await stage.agent("ada")
    runtime.lifeline.look_at_everybody()

    assert await missions.ends(mission) is MissionState.COMPLETED
    await runtime.end()


async def test_what_is_done_waits_for_a_review_and_a_rejection_goes_back_with_its_reason(
    clock: MockClock, stage: Stage, missions: Missions
) -> None:
    missions.verdicts = ["I am not sure", "REJECTED: no tests"]
    for name in ("ada", "reviewer"):
        await stage.agent(name)
    runtime = await Runtime(stage).start()
    mission = await missions.begin({"a": []}, reviewer_required=True)

    assert await missions.ends(mission) is MissionState.COMPLETED

    worked = [prompt for prompt in missions.prompts if "Review of" not in prompt]
    assert len(worked) == 2
    assert "no tests" in worked[1]
    assert len(missions.prompts) - len(worked) == 3
    await runtime.end()


async def test_a_task_that_failed_is_given_out_again_and_in_the_end_a_person_is_asked(
    clock: MockClock, stage: Stage, missions: Missions
) -> None:
    await stage.agent("ada")

    async def fail(run: Run) -> TurnResult:
        for task in await stage.store.tasks(TaskState.RUNNING):
            await stage.store.update_task(task.id, lambda task: task.fail("cannot be done"))
        return good("done")

    stage.cli.behave = fail
    runtime = await Runtime(stage).start()
    mission = await missions.begin({"a": []})
    with trio.fail_after(24 * 3600):
        while (await missions.see(mission)).items[0].waits_for != "person":
            await trio.sleep(10)

    (item,) = (await missions.see(mission)).items
    assert "cannot be done" in str(item.reason)
    assert len(await stage.store.tasks()) == 5
    await runtime.end()


async def test_an_agent_that_ends_gives_its_item_to_another_and_its_task_is_cancelled(
    clock: MockClock, stage: Stage, missions: Missions
) -> None:
    ada = await stage.agent("ada")
    stage.cli.behave = stage.cli.hang
    runtime = await Runtime(stage).start()
    mission = await missions.begin({"a": []})
    with trio.fail_after(3600):
        while (await stage.state(ada)) is not AgentState.WORKING:
            await trio.sleep(1)
    first = (await missions.see(mission)).items[0].task_id
    assert first is not None

    stage.cli.behave = missions.work
    await stage.agent("bob")
    runtime.lifeline.look_at_everybody()
    await stage.store.update_agent(ada.id, lambda agent: replace(agent, state=AgentState.ERROR))

    assert await missions.ends(mission) is MissionState.COMPLETED
    assert (await stage.store.task(first)).state is TaskState.CANCELLED
    await runtime.end()


async def test_a_task_that_became_a_dead_letter_is_given_to_nobody_else_before_a_person_has_looked(
    clock: MockClock, stage: Stage, missions: Missions
) -> None:
    ada = await stage.agent("ada", state=AgentState.IDLE)
    fence = await stage.town.fence(ada, await stage.town.begin(lease=1e6))
    runtime = await Runtime(stage).start()
    mission = await missions.begin({"a": []})
    await trio.sleep(1)
    (delivery,) = (await stage.town.claim(fence)).deliveries
    await stage.agent("bob")
    runtime.lifeline.look_at_everybody()
    await stage.mailbox.settle(fence, [(delivery, DeadLetter("it failed five times"))])
    await trio.sleep(1)

    (item,) = (await missions.see(mission)).items
    assert (item.waits_for, item.attempts) == ("person", 1)
    assert [task.state for task in await stage.store.tasks()] == [TaskState.CANCELLED]
    await runtime.end()


async def test_a_mission_that_is_stopped_gives_out_nothing_more_until_it_is_resumed(
    clock: MockClock, stage: Stage, missions: Missions
) -> None:
    await stage.agent("ada")
    runtime = await Runtime(stage).start()
    mission = await missions.begin({"a": [], "b": ["a"]})
    await trio.sleep(30)

    async def move(event: MissionEvent) -> None:
        await update_mission(
            stage.store,
            stage.town.missions,
            mission,
            lambda seen: Changed(seen.mission.after(event, now()), seen.items, seen.watches),
        )

    await move(MissionEvent.STOP)
    await trio.sleep(600)
    assert await missions.states(mission) == {"a": "running", "b": "pending"}
    assert len(runtime.scheduler) == 0

    await move(MissionEvent.RESUME)
    assert await missions.ends(mission) is MissionState.COMPLETED
    assert len(await stage.store.tasks()) == 2
    await runtime.end()


async def test_when_the_town_is_stopped_missions_rest_until_an_agent_is_there_again(
    clock: MockClock, stage: Stage, missions: Missions
) -> None:
    ada = await stage.agent("ada")
    runtime = await Runtime(stage).start()
    mission = await missions.begin({"a": [], "b": ["a"]})
    await trio.sleep(90)
    await stage.change_agent(ada, lambda agent: replace(agent, state=AgentState.STOPPED))
    await stage.town.ask("PUBLISH", stage.town.keys("bell"), STAND_DOWN)
    await trio.sleep(600)
    assert len(runtime.scheduler) == 0

    await stage.agent("bob")
    runtime.lifeline.look_at_everybody()

    assert await missions.ends(mission) is MissionState.COMPLETED
    await runtime.end()


async def test_one_mission_that_cannot_be_read_stops_no_other(
    clock: MockClock, stage: Stage, missions: Missions
) -> None:
    await stage.agent("ada")
    runtime = await Runtime(stage).start()
    broken = await missions.begin({"x": []})
    await stage.town.ask("HSET", stage.town.keys("mission_work", broken), "x", "{")
    mission = await missions.begin({"a": []})

    assert await missions.ends(mission) is MissionState.COMPLETED
    assert any(broken in report for report in runtime.reports)
    assert any(event.mission == broken for event in await stage.events("mission.went_wrong"))
    await runtime.end()


async def test_when_a_runtime_dies_another_goes_on_with_its_missions(
    clock: MockClock, stage: Stage, missions: Missions
) -> None:
    await stage.agent("ada")
    first = await Runtime(stage, host="one").start()
    mission = await missions.begin({"a": [], "b": ["a"]})
    await trio.sleep(30)
    second = await Runtime(stage, host="two").start()
    await trio.sleep(1)
    assert (len(first.scheduler), len(second.scheduler)) == (1, 0)

    await first.kill()

    assert await missions.ends(mission) is MissionState.COMPLETED
    assert sorted(item.attempts for item in (await missions.see(mission)).items) == [1, 1]
    assert len(await stage.store.tasks()) == 2
    await second.end()


async def test_a_full_mailbox_keeps_nobody_else_from_getting_work(
    clock: MockClock, stage: Stage, missions: Missions
) -> None:
    stage.town.store._limits = replace(stage.town.limits, inbox_messages=1)
    ada = await stage.agent("ada", state=AgentState.IDLE)
    elsewhere = await stage.town.begin(lease=1e6)
    await stage.town.fence(ada, elsewhere)
    await stage.inform(ada, "something that nobody reads there")
    await stage.agent("bob")
    runtime = await Runtime(stage).start()
    mission = await missions.begin({"a": [], "b": []})

    assert await missions.ends(mission) is MissionState.COMPLETED
    names = await stage.store.names()
    assert {names[task.assigned_to] for task in await stage.store.tasks() if task.assigned_to} == {"bob"}
    await runtime.end()


@pytest.mark.parametrize("policy", [1, 2, 4])
async def test_no_more_items_are_in_work_than_the_mission_allows(
    clock: MockClock, stage: Stage, missions: Missions, policy: int
) -> None:
    for number in range(5):
        await stage.agent(f"agent-{number}")
    runtime = await Runtime(stage).start()
    mission = await missions.begin({name: [] for name in "abcdefgh"}, max_parallel_items=policy)
    most = 0
    while (await missions.see(mission)).mission.state is not MissionState.COMPLETED:
        items = (await missions.see(mission)).items
        most = max(most, sum(item.state in (WorkItemState.ASSIGNED, WorkItemState.RUNNING) for item in items))
        await trio.sleep(5)
    assert most == policy
    await runtime.end()
