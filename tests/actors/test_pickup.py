"""What idle agents do about the backlog, in virtual time."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given as examples
from hypothesis import strategies as st
from stage import Stage, settle_down
from trio.testing import MockClock

from tinytown.actors.actor import Bell
from tinytown.actors.agent import AgentActor
from tinytown.actors.pickup import TOLD, TOLD_AT_ONCE, Pickup, may_take, notice, seekers, suits, words
from tinytown.actors.progress import Progress
from tinytown.config import Limits
from tinytown.lifecycle import AgentEvent, AgentState, TaskState
from tinytown.messages import Custom
from tinytown.records import Agent, Task
from tinytown.transport.backlog import Backlog
from tinytown.transport.delivery import Fence
from tinytown.transport.mailbox import Mailbox


def agent(role: str | None = None, name: str = "worker-1", **given: object) -> Agent:
    return Agent(name=name, cli="any", role=role, **given)  # type: ignore[arg-type]


# Whom an item suits.


@pytest.mark.parametrize(
    ("role", "tags", "fits"),
    [
        ("backend", ["backend"], True),
        ("Backend", ["auth", "BACKEND"], True),
        ("backend-api", ["api"], True),
        ("api", ["backend/api"], True),
        ("senior backend engineer", ["backend"], True),
        ("prüfer", ["Prüfer"], True),
        ("test", ["latest"], False),
        ("latest", ["test"], False),
        ("back", ["backend"], False),
        ("worker-1", ["phase-1"], False),
        ("backend", [], False),
        ("backend", ["-", "1", "☃"], False),
    ],
)
def test_an_item_suits_by_whole_words(role: str, tags: list[str], fits: bool) -> None:
    assert suits(Task("dig", tags=tuple(tags)), agent(role)) is fits


def test_without_a_role_it_is_the_name_that_counts() -> None:
    assert suits(Task("dig", tags=("reviewer",)), agent(name="reviewer-2"))
    assert not suits(Task("dig", tags=("reviewer",)), agent("backend", name="reviewer-2"))


def test_what_has_no_tags_may_be_taken_by_anybody() -> None:
    assert may_take(Task("dig"), agent("backend"))
    assert not may_take(Task("dig", tags=("docs",)), agent("backend"))


@examples(st.text(), st.text())
def test_words_are_found_in_any_text(one: str, other: str) -> None:
    assert words(one, other) == words(one) | words(other)
    assert not any(word.isnumeric() or not word.isprintable() for word in words(one))


def test_the_notice_of_an_item_is_the_same_for_the_same_life_only() -> None:
    task, ada = Task("dig\na hole", tags=("backend",)), agent("backend")
    first = notice(task, ada)

    assert notice(task, ada).id == first.id
    assert notice(task, agent("backend")).id != first.id
    assert notice(Task("dig", tags=("backend",)), ada).id != first.id
    assert notice(task, agent("backend", id=ada.id, incarnation=2)).id != first.id
    assert isinstance(first.body, Custom)
    assert (first.body.kind, first.is_actionable()) == (TOLD, True)
    assert task.id in first.body.payload
    assert "dig a hole" in first.body.payload


# What an actor does.


class Town(Stage):
    """A stage whose actors look at the backlog."""

    alone = False

    @property
    def backlog(self) -> Backlog:
        return Backlog(self.wire, self.town.keys)

    def make_actor(self, fence: Fence, bell: Bell, cli: object = None) -> AgentActor:
        return AgentActor(
            fence,
            self.mailbox,
            bell,
            self.pace,
            progress=Progress(self.store, fence),
            run_round=self.cli,
            rules=self.rules,
            town="test",
            random=self.dice,
            pickup=Pickup(fence, self.store, self.mailbox, self.backlog, alone=self.alone),
        )

    async def add(self, text: str, *tags: str, ring: Agent | None = None) -> Task:
        task = Task(text, tags=tags)
        change = self.backlog.put(self.store.change().create_task(task), task.id)
        await self.store.commit(change.ring(ring.id) if ring else change)
        return task

    async def state_of(self, task: Task) -> TaskState:
        return (await self.store.task(task.id)).state


@pytest.fixture
async def town(clock: MockClock, nursery: trio.Nursery) -> Town:
    assert trio.lowlevel.current_clock() is clock
    town = Town(nursery)
    await town.open()
    return town


async def test_an_idle_agent_takes_what_suits_it_one_after_the_other(clock: MockClock, town: Town) -> None:
    town.alone = True
    tasks = [await town.add(text, "backend") for text in ("one", "two")]
    other = await town.add("three", "docs")
    ada, _ = await town.started(role="backend")

    assert town.cli.worked == [["one"], ["two"]]
    assert [await town.state_of(task) for task in tasks] == [TaskState.COMPLETED] * 2
    assert (await town.store.task(tasks[0].id)).assigned_to == ada.id
    assert await town.state_of(other) is TaskState.PENDING
    assert await town.backlog.ids() == [other.id]


async def test_work_that_waits_goes_before_the_backlog(clock: MockClock, town: Town) -> None:
    town.alone = True
    await town.add("from the backlog")
    ada = await town.agent()
    await town.send(ada, "for you")
    await town.start(ada)
    await settle_down()

    assert town.cli.worked == [["for you"], ["from the backlog"]]


async def test_of_many_idle_agents_exactly_one_gets_an_item(clock: MockClock, town: Town) -> None:
    town.alone = True
    agents = [(await town.started(f"a{number}", role="backend"))[0] for number in range(10)]
    task = Task("contended", tags=("backend",))
    change = town.backlog.put(town.store.change().create_task(task), task.id)
    for each in agents:
        change.ring(each.id)
    await town.store.commit(change)
    await settle_down()

    assert town.cli.worked == [["contended"]]


async def test_a_suiting_agent_is_told_once_and_runs_one_round(clock: MockClock, town: Town) -> None:
    ada, _ = await town.started(role="backend")
    await town.add("a", "docs", ring=ada)
    await town.add("b", ring=ada)
    task = await town.add("c", "backend", ring=ada)
    await settle_down()
    for _ in range(3):
        await town.store.commit(town.store.change().ring(ada.id))
        await settle_down()

    assert len(town.cli.runs) == 1
    assert f"tt backlog claim {task.id}" in town.cli.runs[0].prompt
    assert len(await town.backlog.ids()) == 3


async def test_it_is_told_at_its_first_rest_of_what_came_during_its_work(clock: MockClock, town: Town) -> None:
    town.cli.behave = town.cli.work_until_released
    ada, _ = await town.started(role="backend")
    await town.send(ada, "work")
    await settle_down()
    task = await town.add("c", "backend")
    town.cli.behave = town.cli.succeed
    town.cli.release.set()
    await settle_down()

    assert len(town.cli.runs) == 2
    assert task.id in town.cli.runs[1].prompt


async def test_of_many_items_it_is_told_a_few_at_a_time(clock: MockClock, town: Town) -> None:
    for number in range(TOLD_AT_ONCE + 2):
        await town.add(str(number), "backend")
    await town.started(role="backend")

    assert [len(run.texts) for run in town.cli.runs] == [TOLD_AT_ONCE, 2]


@pytest.mark.parametrize("alone", [True, False])
async def test_a_paused_agent_is_left_alone_and_looks_when_it_goes_on(
    clock: MockClock, town: Town, *, alone: bool
) -> None:
    town.alone = alone
    ada, _ = await town.started(role="backend")
    await town.change_agent(ada, lambda found: found.after(AgentEvent.PAUSE))
    task = await town.add("later", "backend", ring=ada)
    await settle_down()
    assert (await town.state_of(task), town.cli.runs) == (TaskState.PENDING, [])

    await town.change_agent(ada, lambda found: found.resumed())
    await settle_down()
    assert len(town.cli.runs) == 1


async def test_while_nothing_new_comes_a_look_costs_one_command(clock: MockClock, town: Town) -> None:
    town.alone = True
    ada, _ = await town.started(role="backend")
    await town.add("a", "docs", ring=ada)
    await settle_down()
    before = len(town.wire.commands)
    await town.store.commit(town.store.change().ring(ada.id))
    await settle_down()

    # The commit, the claim, the look.
    assert len(town.wire.commands) - before == 3


async def test_a_full_mailbox_costs_the_agent_nothing(clock: MockClock, town: Town) -> None:
    ada = await town.agent(role="backend")
    fence = await town.town.fence(ada)
    await town.change_agent(ada, lambda found: found.after(AgentEvent.READY), wake=False)
    await town.add("a", "backend")
    full = Mailbox(town.wire, town.town.keys, Limits(inbox_messages=1, town_messages=1))
    await town.inform(ada, "no room")
    pickup = Pickup(fence, town.store, full, town.backlog, alone=False)

    assert await pickup.look() is False


async def test_an_agent_after_a_failed_round_takes_nothing(clock: MockClock, town: Town) -> None:
    town.alone = True
    ada, life = await town.started(role="backend")
    await life.end()
    await town.change_agent(
        ada, lambda found: Agent.from_json({**found.to_json(), "backoff_until": "2999-01-01T00:00:00.000Z"})
    )
    task = await town.add("a", "backend")
    pickup = Pickup(await town.town.fence(ada), town.store, town.mailbox, town.backlog, alone=True)

    assert await pickup.look() is False
    assert await town.state_of(task) is TaskState.PENDING


async def test_seekers_are_the_idle_agents_that_something_suits(clock: MockClock, town: Town) -> None:
    await town.add("a", "backend")
    idle = [agent(role, state=AgentState.IDLE) for role in ("backend", "docs")]
    busy = agent("backend", state=AgentState.WORKING)

    assert await seekers(town.backlog, [*idle, busy], alone=False) == idle[:1]
    await town.add("b")
    assert await seekers(town.backlog, [*idle, busy], alone=False) == idle[:1]
    assert await seekers(town.backlog, [*idle, busy], alone=True) == idle
