"""Work that is given to an agent starts a runtime where none is alive, and is kept where none can be started."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from living import LivingTown, wait_until
from mission_parts import begun, set_item
from runtime_parts import configure, move, place, worker

from tinytown.ids import SUPERVISOR_ID, TaskId
from tinytown.lifecycle import AgentEvent, AgentState, TaskState
from tinytown.messages import Query
from tinytown.records import Agent, Task, TaskSource
from tinytown.runtime.background import LOG_NAME
from tinytown.runtime.halt import end_runtime
from tinytown.runtime.handle import AgentHandle
from tinytown.runtime.opening import open_blocking
from tinytown.runtime.operations.agents import Spawn, spawn
from tinytown.runtime.operations.backlog import (
    AddToBacklog,
    AssignAll,
    ClaimFromBacklog,
    add_to_backlog,
    assign_all,
    claim_from_backlog,
)
from tinytown.runtime.operations.doctor import checkup
from tinytown.runtime.operations.messages import Send, SendKind, send
from tinytown.runtime.operations.missions.gates import ApproveItem, RejectItem, approve_item, reject_item
from tinytown.runtime.operations.missions.steering import ResumeMission, StopMission, resume_mission, stop_mission
from tinytown.runtime.operations.pausing import Interrupt, Resume, interrupt, resume
from tinytown.runtime.operations.plan import Push, push
from tinytown.runtime.operations.reasons import Fact
from tinytown.runtime.operations.rousing import STARTED
from tinytown.runtime.operations.status import Status, status
from tinytown.runtime.operations.tasks import (
    Assign,
    ShowTask,
    TaskEnd,
    assign,
    assign_record,
    complete_task,
    show_task,
)
from tinytown.runtime.operations.waiting import Wait, outlook
from tinytown.runtime.operations.why import Why, why
from tinytown.runtime.town import Town
from tinytown.transport.address import Address
from tinytown.transport.blocking import run_sync
from tinytown.transport.connection import Connection, Reply, Value

NONE_LIVES = "No runtime is alive: it will begin after 'tt start'"


def given(town: Town, text: str = "dig") -> tuple[TaskId, str | None]:
    done = run_sync(assign(town, Assign("ada", text)))
    return done.task.id, done.note


def completed(town: Town, task: TaskId) -> None:
    wait_until(lambda: run_sync(show_task(town, ShowTask(task))).task.state is TaskState.COMPLETED, what="the work")


def pids(town: Town) -> list[int]:
    return [card.pid for card in run_sync(town.placement.runtimes())]


def kill_runtime(town: Town) -> int:
    """SIGKILL, as by the system when memory is short; its lease goes on for its fifteen seconds."""
    (pid,) = pids(town)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not town.ground.state.runtime_lives(), what="the end of the runtime")
    return pid


# A real town.


@pytest.fixture
def village(user: Path) -> Iterator[LivingTown]:
    town = LivingTown(user)
    town.spawn("ada")
    yield town
    town.close()


@contextmanager
def opened(village: LivingTown) -> Iterator[Town]:
    with open_blocking(village.root, environ=os.environ) as town:
        try:
            yield town
        finally:
            end_runtime(town)


def test_work_is_done_whatever_became_of_the_runtime(village: LivingTown) -> None:
    with opened(village) as town:
        task, note = given(town)
        assert note == STARTED
        completed(town, task)
        # Where one lives, nobody is told of it.
        (first,) = pids(town)
        assert given(town)[1] is None
        assert pids(town) == [first]

        killed = kill_runtime(town)

        # Its lease goes on; that it is dead is known here at once.
        assert pids(town) == [killed]
        seen = run_sync(status(town, Status()))
        assert (seen.runtimes, run_sync(why(town, Why("ada"))).fact) == ((), Fact.NO_RUNTIME)
        (check,) = [each for each in checkup(village.root, environ=os.environ).checks if each.name == "runtime"]
        assert check.finding == "None is alive on this host; 1 agents wait"
        task, note = given(town)
        assert note == STARTED
        completed(town, task)

        kill_runtime(town)
        assert village.ground.server is not None
        village.ground.server.stop()
    # As after the machine was started again.
    with opened(village) as town:
        sent = run_sync(send(town, Send("ada", "note id-0001")))
        assert sent.note == STARTED
        wait_until(lambda: village.handled()["id-0001"] == 1, what="the message to be handled")


# What starts one, and what does not.


@pytest.fixture
def ada(town: Town) -> Iterator[Agent]:
    """An agent of this host, at rest. The file that the log of a runtime would be is none: no runtime can start."""
    agent = run_sync(spawn(town, Spawn("ada", runtime=False))).agent
    (town.files.logs / LOG_NAME).mkdir()
    yield move(town, agent, AgentEvent.READY)
    assert not town.ground.state.runtime_lives()


def fails(note: str | None) -> bool:
    """It was tried to start one, and what was asked for stands."""
    return note is not None and note.startswith("It is stored, and will begin after 'tt start'. The runtime could not")


def test_a_task_stays_assigned_when_no_runtime_can_be_started(town: Town, ada: Agent) -> None:
    task, note = given(town)

    assert fails(note)
    assert run_sync(show_task(town, ShowTask(task))).task.state is TaskState.ASSIGNED
    assert run_sync(town.mailbox.waiting(ada.id)) == 1


def test_whatever_asks_for_work_tries_to_start_one(town: Town, ada: Agent) -> None:
    query = run_sync(send(town, Send("ada", "which port?", SendKind.QUERY)))
    added = run_sync(add_to_backlog(town, AddToBacklog("for ada", tags=("ada",))))
    claimed = run_sync(claim_from_backlog(town, ClaimFromBacklog(added.task.id, "ada")))
    run_sync(add_to_backlog(town, AddToBacklog("for anybody")))
    every = run_sync(assign_all(town, AssignAll("ada")))
    pushed = run_sync(push(town, Push('[[tasks]]\nid = "a"\nagent = "ada"\ndescription = "plan it"\n')))
    run_sync(interrupt(town, Interrupt("ada")))
    paused = run_sync(send(town, Send("ada", "and then?")))
    resumed = run_sync(resume(town, Resume("ada")))

    assert added.woken == ("ada",)
    for note in (query.note, added.note, claimed.note, every.note, *pushed.notes, resumed.note):
        assert fails(note), note
    assert len(pushed.notes) == 1
    assert paused.note == "Agent 'ada' is paused: it will begin after 'tt resume ada'"


def test_what_a_person_ends_hands_on_to_a_runtime_that_is_started_for_it(town: Town, ada: Agent) -> None:
    first = run_sync(assign(town, Assign("conductor", "decide"))).task.id
    second = run_sync(assign(town, Assign("conductor", "decide the other"))).task.id
    last = run_sync(assign(town, Assign("ada", "go on", depends_on=(first, second)))).task.id

    assert run_sync(complete_task(town, TaskEnd(first, "yes"))).notice is None
    assert fails(run_sync(complete_task(town, TaskEnd(second, "no"))).notice)
    assert run_sync(show_task(town, ShowTask(last))).task.state is TaskState.ASSIGNED


def test_a_mission_goes_on_with_a_runtime_that_is_started_for_it(town: Town, ada: Agent) -> None:
    mission = begun(town, {1: []})
    of_mission = run_sync(assign_record(town, Task("do it", source=TaskSource.MISSION), ada)).id

    set_item(town, mission, 1, needs_approval=True)
    assert run_sync(approve_item(town, ApproveItem("1", show=True))).notice is None
    assert fails(run_sync(approve_item(town, ApproveItem("1"))).notice)
    set_item(town, mission, 1, needs_approval=True)
    assert fails(run_sync(reject_item(town, RejectItem("1", "no"))).notice)
    assert fails(run_sync(complete_task(town, TaskEnd(of_mission, "done"))).notice)

    run_sync(stop_mission(town, StopMission(mission.id)))
    of_stopped = run_sync(assign_record(town, Task("do it", source=TaskSource.MISSION), ada)).id
    assert run_sync(complete_task(town, TaskEnd(of_stopped, "done"))).notice is None

    set_item(town, begun(town, {2: []}), 2, needs_approval=True)
    place(town, ada)
    assert run_sync(approve_item(town, ApproveItem("2"))).notice is None


def test_where_the_configuration_forbids_it_none_is_started(town: Town, ada: Agent) -> None:
    configure(town, runtime=replace(town.settings.runtime, autostart=False))
    mission = begun(town, {1: []})
    set_item(town, mission, 1, needs_approval=True)

    assert given(town)[1] == NONE_LIVES
    assert (run_sync(spawn(town, Spawn("bob"))).warning or "").endswith(NONE_LIVES)
    assert run_sync(approve_item(town, ApproveItem("1"))).notice == NONE_LIVES
    assert run_sync(resume_mission(town, ResumeMission(mission.id))).note == f"It is running already\n{NONE_LIVES}"


def test_what_asks_for_nothing_starts_none(town: Town, ada: Agent) -> None:
    for kind in (SendKind.INFO, SendKind.ACK):
        assert run_sync(send(town, Send("ada", "the build is green", kind))).note is None
    assert run_sync(send(town, Send("conductor", "for a person to read"))).note is None
    assert run_sync(add_to_backlog(town, AddToBacklog("for the painter", tags=("painter",)))).note is None


def test_an_agent_starts_none(town: Town, ada: Agent) -> None:
    """Its environment is that of a round, and everything that comes out of a round ends with it."""
    bob = run_sync(spawn(town, Spawn("bob", runtime=False))).agent

    assert run_sync(send(worker(town, bob), Send("ada", "help me"))).note == NONE_LIVES


def test_for_an_agent_of_another_host_none_is_started_here(town: Town, ada: Agent) -> None:
    run_sync(town.store.update_agent(ada.id, lambda agent: replace(agent, host="elsewhere")))
    assert given(town)[1] == NONE_LIVES

    place(town, ada)
    assert given(town)[1] is None


def test_one_that_another_runtime_has_taken_over_needs_none_here(town: Town, ada: Agent) -> None:
    place(town, ada)

    assert given(town)[1] is None


def test_an_agent_that_has_ended_needs_a_new_life_first(town: Town, ada: Agent) -> None:
    move(town, ada, AgentEvent.STOP)

    assert given(town)[1] == "Agent 'ada' is stopped: it will begin after 'tt restart ada'"


def test_a_program_gives_work_in_the_same_way(town: Town, ada: Agent) -> None:
    handle = AgentHandle(town, ada)
    run_sync(handle.assign("dig"))
    run_sync(handle.send(Query("which port?")))

    assert run_sync(handle.inbox_len()) == 2


def test_a_conductor_at_work_is_roused_by_a_person(town: Town, ada: Agent) -> None:
    def acting(agent: Agent) -> Agent:
        return replace(agent, cli="claude", host=town.ground.host, state=AgentState.IDLE)

    run_sync(town.store.update_agent(SUPERVISOR_ID, acting))

    assert fails(run_sync(send(town, Send("conductor", "how far are you?"))).note)


class Counted:
    """A connection that counts how often the server is asked."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.trips = 0

    @property
    def address(self) -> Address:
        return self._connection.address

    async def execute(self, *command: Value, repeat: bool = False) -> Reply:
        self.trips += 1
        return await self._connection.execute(*command, repeat=repeat)

    async def pipeline(self, commands: Sequence[Sequence[Value]], *, repeat: bool = False) -> list[Reply]:
        self.trips += 1
        return await self._connection.pipeline(commands, repeat=repeat)

    def dedicated(self) -> AbstractAsyncContextManager[Connection]:
        return self._connection.dedicated()


def test_where_a_runtime_lives_redis_is_asked_nothing_more(town: Town, ada: Agent) -> None:
    counted = Counted(town.connection)
    watched = Town(town.ground, counted, town.caller, environ=town.environ)
    with town.ground.state.hold_runtime():
        run_sync(assign_record(watched, Task("dig"), ada))
        storing, counted.trips = counted.trips, 0
        assert given(watched)[1] is None

    # By which id the agent goes, and its record; then the commit.
    assert counted.trips == 2 + storing


# Who waits only looks.


def seen_by_who_waits(town: Town, **what: str) -> str | None:
    return run_sync(outlook(town, Wait(**what)))


def test_to_wait_starts_no_runtime_and_says_that_none_lives(town: Town, ada: Agent) -> None:
    place(town, ada)
    task, _ = given(town)
    run_sync(town.connection.execute("DEL", town.keys("runtimes")))

    assert seen_by_who_waits(town, task=task) == seen_by_who_waits(town, agent="ada") == NONE_LIVES
    with town.ground.state.hold_runtime():
        place(town, ada)
        assert seen_by_who_waits(town, task=task) is None
        assert seen_by_who_waits(town, agent="ada") is None


def test_who_waits_hears_what_is_in_the_way(town: Town, ada: Agent) -> None:
    place(town, ada)
    first, _ = given(town)
    second = run_sync(assign(town, Assign("ada", "then this", depends_on=(first,)))).task.id
    run_sync(interrupt(town, Interrupt("ada")))

    paused = "Agent 'ada' is paused: it will begin after 'tt resume ada'"
    assert seen_by_who_waits(town, agent="ada") == seen_by_who_waits(town, task=first) == paused
    assert seen_by_who_waits(town, task=second) == f"It will begin when completed: {first[:8]}"


def test_who_waits_for_what_has_ended_or_is_a_persons_hears_nothing(town: Town, ada: Agent) -> None:
    for_person = run_sync(assign(town, Assign("conductor", "decide"))).task.id
    freed = run_sync(add_to_backlog(town, AddToBacklog("for the painter", tags=("painter",)))).task.id
    move(town, ada, AgentEvent.STOP)
    task, _ = given(town)

    # The last of these fails, and says why.
    for what in ({"agent": "ada"}, {"task": for_person}, {"task": freed}, {"task": task}):
        assert seen_by_who_waits(town, **what) is None
