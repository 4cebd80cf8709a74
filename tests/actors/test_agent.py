"""Rounds: what starts one, what it is told, what becomes of its messages and its tasks however it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import trio
from stage import Run, Stage, bad, good, numbered, settle_down, until
from towns import snapshot
from trio.testing import MockClock

from tinytown.actors.drivers.text import TurnResult
from tinytown.errors import Forbidden, InvalidConfig, RuntimeFailed, TownError, UnknownCli
from tinytown.ids import SUPERVISOR_ID, AgentId, TaskId, new_id
from tinytown.lifecycle import AgentEvent, AgentState, TaskState
from tinytown.messages import (
    AckType,
    Confirmation,
    Informational,
    Message,
    Ping,
    Pong,
    Priority,
    Query,
    Shutdown,
    StatusRequest,
    StatusResponse,
    TaskAssign,
    TaskDone,
)
from tinytown.records import Agent, Task
from tinytown.transport.delivery import Control, ControlKind

# What starts a round.


async def test_a_task_is_worked_on_and_completed_with_the_answer_of_the_cli(clock: MockClock, stage: Stage) -> None:
    agent, _ = await stage.started()
    states = []

    async def look(run: Run) -> TurnResult:
        states.append(((await stage.store.task(task.id)).state, await stage.state(agent)))
        return good("wrote it")

    stage.cli.behave = look
    (task,) = await stage.assign(agent, "write a parser")
    await settle_down()

    done = await stage.store.task(task.id)
    after = await stage.record(agent)
    assert stage.cli.worked == [["write a parser"]]
    assert states == [(TaskState.RUNNING, AgentState.WORKING)]
    assert (done.state, done.result, done.attempts) == (TaskState.COMPLETED, "wrote it", 1)
    assert (after.state, after.rounds_completed, after.tasks_completed) == (AgentState.IDLE, 1, 1)
    assert (after.current_task, after.in_round) == (None, False)
    assert [message.body for message in await stage.mailbox.peek(SUPERVISOR_ID)] == [TaskDone(task.id, "wrote it")]
    assert [event.type for event in await stage.events() if event.type != "message.sent"] == [
        "task.started",
        "round.started",
        "task.completed",
        "round.finished",
    ]


async def test_one_round_takes_all_that_waits_up_to_fifty_messages(clock: MockClock, stage: Stage) -> None:
    agent = await stage.agent()
    await stage.send(agent, *numbered(60))
    await stage.start(agent)
    await settle_down()

    assert stage.cli.worked == [numbered(60)[:50], numbered(60)[50:]]


async def test_information_and_confirmations_never_start_a_round(clock: MockClock, stage: Stage) -> None:
    agent, _ = await stage.started()
    await stage.inform(agent, *numbered(60))
    await stage.tell(agent, Confirmation(AckType.THANKS))
    life = stage.bells[agent.id][0]
    life.ring()
    await settle_down()
    commands = len(stage.wire.commands)

    await trio.sleep(3600)

    assert stage.cli.runs == []
    assert len(stage.wire.commands) == commands
    assert len(await stage.waiting(agent)) == 61
    assert (await stage.record(agent)).rounds_completed == 0


async def test_urgent_information_is_told_at_once(clock: MockClock, stage: Stage) -> None:
    agent, _ = await stage.started()
    await stage.tell(agent, Informational("the branch was rebased"), priority=Priority.URGENT)
    await settle_down()

    assert stage.cli.worked == [["the branch was rebased"]]
    assert await stage.waiting(agent) == []


async def test_information_rides_along_in_order_also_when_sixty_of_it_lie_before_a_task(
    clock: MockClock, stage: Stage
) -> None:
    agent, _ = await stage.started()
    await stage.inform(agent, *numbered(60, "note "))
    await stage.assign(agent, "read the notes")
    await settle_down()

    assert [text for texts in stage.cli.worked for text in texts] == [*numbered(60, "note "), "read the notes"]
    assert len(stage.cli.runs) == 2
    assert await stage.waiting(agent) == []


async def test_a_task_behind_more_information_than_a_prompt_holds_is_reached(clock: MockClock, stage: Stage) -> None:
    stage.rules = replace(stage.rules, prompt_size=2000)
    agent, _ = await stage.started()
    await stage.inform(agent, "n" * 1500)
    await stage.assign(agent, "t" * 1500)
    await settle_down()

    assert stage.cli.worked == [["n" * 1500], ["t" * 1500]]


@pytest.mark.parametrize("count", [1, 60])
async def test_a_ping_is_answered_without_a_run(clock: MockClock, stage: Stage, count: int) -> None:
    agent, _ = await stage.started()
    pings = [await stage.tell(agent, Ping()) for _ in range(count)]
    await settle_down()

    answers = await stage.mailbox.peek(SUPERVISOR_ID)
    assert stage.cli.runs == []
    assert [answer.body for answer in answers] == [Pong()] * count
    assert [answer.correlation_id for answer in answers] == [ping.id for ping in pings]
    assert {answer.sender for answer in answers} == {agent.id}
    assert await stage.waiting(agent) == []


async def test_a_question_about_the_state_is_answered_without_a_run(clock: MockClock, stage: Stage) -> None:
    agent, _ = await stage.started()
    asked = await stage.tell(agent, StatusRequest())
    await settle_down()

    (answer,) = await stage.mailbox.peek(SUPERVISOR_ID)
    assert (answer.body, answer.correlation_id) == (StatusResponse("idle"), asked.id)
    assert stage.cli.runs == []


async def test_who_asked_and_is_gone_keeps_nobody_from_working(clock: MockClock, stage: Stage) -> None:
    agent = await stage.agent()
    await stage.tell(agent, Ping(), sender=AgentId(new_id()))
    await stage.send(agent, "go on")
    await stage.start(agent)
    await settle_down()

    assert stage.cli.worked == [["go on"]]
    assert await stage.waiting(agent) == []


async def test_a_shutdown_ends_the_agent_without_a_run_and_the_rest_waits(clock: MockClock, stage: Stage) -> None:
    agent = await stage.agent()
    await stage.send(agent, "later")
    await stage.tell(agent, Shutdown())
    await stage.tell(agent, Ping())
    life = await stage.start(agent)
    await life.over.wait()

    assert await stage.state(agent) is AgentState.STOPPED
    assert await stage.waiting(agent) == ["later"]
    assert stage.cli.runs == []
    assert [event.type for event in await stage.events("agent")] == ["agent.stopped"]


async def test_bytes_that_are_no_message_go_to_quarantine_and_the_rest_is_worked(
    clock: MockClock, stage: Stage
) -> None:
    agent = await stage.agent()
    await stage.town.ask("RPUSH", stage.town.keys("inbox", agent.id), b"\xff not json")
    await stage.send(agent, "fine")
    await stage.start(agent)
    await settle_down()

    (entry,) = await stage.town.entries("quarantine")
    assert entry["raw"] == b"\xff not json"
    assert stage.cli.worked == [["fine"]]


async def test_a_message_pushed_by_hand_is_worked_like_any_other(clock: MockClock, stage: Stage) -> None:
    agent, _ = await stage.started()
    raw = f'{{"to":"{agent.id}","type":"task","description":"by hand"}}'
    await stage.town.ask("RPUSH", stage.town.keys("inbox", agent.id), raw)
    stage.bells[agent.id][0].ring()
    await settle_down()

    assert stage.cli.worked == [["by hand"]]
    assert await stage.waiting(agent) == []


# Tasks, and what others do to them meanwhile.


async def test_a_task_that_its_agent_ended_itself_is_left_as_it_is(clock: MockClock, stage: Stage) -> None:
    agent, _ = await stage.started()

    async def end_it(run: Run) -> TurnResult:
        await stage.store.update_task(task.id, lambda found: found.fail("cannot be done"))
        return good("never mind")

    stage.cli.behave = end_it
    (task,) = await stage.assign(agent, "impossible")
    await settle_down()

    ended = await stage.store.task(task.id)
    assert (ended.state, ended.result) == (TaskState.FAILED, "cannot be done")
    assert (await stage.record(agent)).tasks_completed == 0
    assert await stage.mailbox.peek(SUPERVISOR_ID) == []


async def test_a_task_that_its_agent_ended_before_its_cli_failed_is_done_with(clock: MockClock, stage: Stage) -> None:
    agent, _ = await stage.started()

    async def end_it_and_fall(run: Run) -> TurnResult:
        await stage.store.update_task(task.id, lambda found: found.complete("done"))
        stage.cli.behave = stage.cli.succeed
        return bad()

    stage.cli.behave = end_it_and_fall
    (task,) = await stage.assign(agent, "do it")
    await trio.sleep(60)

    assert len(stage.cli.runs) == 1
    assert await stage.waiting(agent) == []
    assert (await stage.store.task(task.id)).result == "done"


async def test_a_task_that_was_cancelled_before_its_round_is_not_worked(clock: MockClock, stage: Stage) -> None:
    agent = await stage.agent()
    (task, other) = await stage.assign(agent, "cancelled", "kept")
    await stage.store.update_task(task.id, lambda found: found.cancel("not needed"))
    await stage.start(agent)
    await settle_down()

    assert stage.cli.worked == [["kept"]]
    assert (await stage.store.task(task.id)).state is TaskState.CANCELLED
    assert (await stage.store.task(other.id)).state is TaskState.COMPLETED
    assert await stage.waiting(agent) == []


async def test_a_task_that_is_cancelled_during_its_round_stays_cancelled(clock: MockClock, stage: Stage) -> None:
    agent, _ = await stage.started()

    async def too_late(run: Run) -> TurnResult:
        await stage.store.update_task(task.id, lambda found: found.cancel("not needed"))
        return good()

    stage.cli.behave = too_late
    (task,) = await stage.assign(agent, "do it")
    await settle_down()

    assert (await stage.store.task(task.id)).state is TaskState.CANCELLED
    assert await stage.waiting(agent) == []


async def test_a_task_that_went_to_somebody_else_is_not_worked_here(clock: MockClock, stage: Stage) -> None:
    ada, bob = await stage.agent("ada"), await stage.agent("bob")
    (task,) = await stage.assign(ada, "do it")
    await stage.store.update_task(task.id, lambda found: found.assign(bob.id))
    await stage.start(ada)
    await settle_down()

    assert stage.cli.runs == []
    assert (await stage.store.task(task.id)).assigned_to == bob.id
    assert await stage.waiting(ada) == []


async def test_a_task_that_goes_to_somebody_else_during_the_round_is_not_completed_here(
    clock: MockClock, stage: Stage
) -> None:
    ada, _ = await stage.started("ada")
    bob = await stage.agent("bob")

    async def lose_it(run: Run) -> TurnResult:
        await stage.store.update_task(task.id, lambda found: found.returned().assign(bob.id))
        return good("mine")

    stage.cli.behave = lose_it
    (task,) = await stage.assign(ada, "do it")
    await settle_down()

    found = await stage.store.task(task.id)
    assert (found.assigned_to, found.state, found.result) == (bob.id, TaskState.ASSIGNED, None)


async def test_an_assignment_without_a_task_is_a_dead_letter(clock: MockClock, stage: Stage) -> None:
    agent, _ = await stage.started()
    missing = new_id()
    await stage.tell(agent, TaskAssign(missing))
    await settle_down()

    (letter,) = await stage.dead_letters()
    assert letter["reason"] == f"task {missing} does not exist".encode()
    assert stage.cli.runs == []


@pytest.mark.parametrize("by", [AgentId("5f0c7c1e-8d0a-4a3e-9d52-3b6f0e9a7c11"), None])
async def test_a_task_whose_giver_is_gone_is_completed_all_the_same(
    clock: MockClock, stage: Stage, by: AgentId | None
) -> None:
    agent, life = await stage.started()
    (task,) = await stage.assign(agent, "do it", by=by)
    await settle_down()

    assert (await stage.store.task(task.id)).state is TaskState.COMPLETED
    assert (len(stage.cli.runs), life.over.is_set()) == (1, False)


async def test_a_full_mailbox_of_the_giver_keeps_no_task_from_being_completed(clock: MockClock, stage: Stage) -> None:
    stage.town.limits = replace(stage.town.limits, inbox_messages=2)
    stage.town.__post_init__()
    stage.store, stage.mailbox = stage.town.store, stage.town.mailbox
    for _ in range(2):
        await stage.mailbox.send(Message(SUPERVISOR_ID, SUPERVISOR_ID, Informational("unread")))
    bob = await stage.agent("bob")
    agent, life = await stage.started()
    (task,) = await stage.assign(agent, "for the supervisor")
    (other,) = await stage.assign(agent, "for bob", by=bob.id)
    await settle_down()

    for each in (task, other):
        assert (await stage.store.task(each.id)).state is TaskState.COMPLETED
    assert [message.body for message in await stage.mailbox.peek(bob.id)] == [TaskDone(other.id, "done")]
    assert not life.over.is_set()


# Rounds that fail.


async def test_a_failed_round_gives_its_messages_back_in_order_and_counted(clock: MockClock, stage: Stage) -> None:
    agent = await stage.agent()
    await stage.send(agent, *numbered(5))
    await stage.assign(agent, "a task")
    stage.cli.behave = stage.cli.fail
    await stage.start(agent)
    await settle_down()

    (task,) = await stage.store.tasks()
    after = await stage.record(agent)
    assert task.state is TaskState.ASSIGNED
    assert await stage.waiting(agent) == [*numbered(5), "task_assign"]
    assert (after.state, after.failed_rounds, after.reason) == (AgentState.IDLE, 1, "exit status 1")
    assert after.backoff_until is not None
    stage.cli.behave = stage.cli.succeed
    await until(lambda: len(stage.cli.runs) == 2)
    assert stage.cli.worked[1] == [*numbered(5), "a task"]
    assert "## Attempt 2" in stage.cli.runs[1].prompt


async def test_pauses_between_failed_rounds_double_from_five_seconds_and_never_pass_ten_minutes(
    clock: MockClock, stage: Stage
) -> None:
    stage.rules = replace(stage.rules, failed_rounds=12)
    stage.cli.behave = stage.cli.fail
    agent, life = await stage.started()
    await stage.send(agent, "a")
    await life.over.wait()

    began = [run.began for run in stage.cli.runs]
    pauses = [round(later - earlier, 3) for earlier, later in pairwise(began)]
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 600, 600, 600, 600]


async def test_the_pause_is_a_random_part_of_its_bound(clock: MockClock, stage: Stage) -> None:
    stage.dice.value = 0.25
    stage.cli.behave = stage.cli.fail
    agent, life = await stage.started()
    await stage.send(agent, "a")
    await life.over.wait()

    began = [run.began for run in stage.cli.runs]
    assert [round(later - earlier, 3) for earlier, later in pairwise(began)] == [
        1.25,
        2.5,
        5,
        10,
    ]


async def test_new_work_does_not_end_the_pause_after_a_failed_round(clock: MockClock, stage: Stage) -> None:
    agent, _ = await stage.started()
    stage.cli.behave = stage.cli.fail
    await stage.send(agent, "a")
    await settle_down()
    stage.cli.behave = stage.cli.succeed
    await trio.sleep(1)
    await stage.send(agent, "b")
    await trio.sleep(3.9)
    assert len(stage.cli.runs) == 1

    await trio.sleep(0.2)
    assert stage.cli.worked == [["a"], ["a", "b"]]


async def test_an_urgent_message_ends_the_pause_after_a_failed_round(clock: MockClock, stage: Stage) -> None:
    agent, _ = await stage.started()
    stage.cli.behave = stage.cli.fail
    await stage.send(agent, "a")
    await settle_down()
    stage.cli.behave = stage.cli.succeed
    await stage.send(agent, "now", priority=Priority.URGENT)
    await settle_down()

    assert stage.cli.worked == [["a"], ["now", "a"]]


async def test_an_urgent_message_that_failed_itself_does_not_end_the_pause(clock: MockClock, stage: Stage) -> None:
    agent, _ = await stage.started()
    stage.cli.behave = stage.cli.fail
    await stage.send(agent, "now", priority=Priority.URGENT)
    await settle_down()
    for _ in range(4):
        await trio.sleep(1)
        stage.bells[agent.id][0].ring()  # as the lifeline does for whatever waits
    assert len(stage.cli.runs) == 1

    await stage.send(agent, "another", priority=Priority.URGENT)
    await settle_down()
    assert stage.cli.worked == [["now"], ["now", "another"]]


async def test_a_person_who_wakes_the_agent_ends_the_pause(clock: MockClock, stage: Stage) -> None:
    agent, _ = await stage.started()
    stage.cli.behave = stage.cli.fail
    await stage.send(agent, "a")
    await settle_down()
    stage.cli.behave = stage.cli.succeed

    await stage.control(agent, ControlKind.WAKE, incarnation=agent.incarnation - 1)
    await settle_down()
    assert len(stage.cli.runs) == 1

    await stage.control(agent, ControlKind.WAKE)
    await settle_down()
    assert len(stage.cli.runs) == 2


async def test_the_next_runtime_keeps_the_pause_after_a_failed_round(clock: MockClock, stage: Stage) -> None:
    agent, life = await stage.started()
    stage.cli.behave = stage.cli.fail
    await stage.send(agent, "a")
    await settle_down()
    await life.end()
    began = trio.current_time()

    await stage.start(agent)
    await until(lambda: len(stage.cli.runs) == 2)

    assert 3 < trio.current_time() - began <= 5.25


async def test_five_failed_rounds_in_a_row_are_the_end_with_everything_told(clock: MockClock, stage: Stage) -> None:
    agent, life = await stage.started()
    stage.cli.behave = stage.cli.fail
    (task,) = await stage.assign(agent, "hopeless")
    await life.over.wait()

    after = await stage.record(agent)
    assert len(stage.cli.runs) == 5
    assert (after.state, after.reason, after.rounds_completed) == (AgentState.ERROR, "exit status 1", 0)
    assert await stage.waiting(agent) == ["task_assign"]
    assert (await stage.store.task(task.id)).state is TaskState.ASSIGNED
    (told,) = await stage.mailbox.peek(SUPERVISOR_ID)
    assert isinstance(told.body, Informational)
    assert "'ada' is in Error: exit status 1" in told.body.summary
    assert "tt restart ada" in told.body.summary
    assert [event.detail for event in await stage.events("agent.failed")] == ["ada: exit status 1"]
    assert len(await stage.events("round.failed")) == 5
    assert await stage.dead_letters() == []


async def test_a_success_between_ends_the_row_of_failures(clock: MockClock, stage: Stage) -> None:
    results = [bad(), bad(), bad(), bad(), good(), bad(), bad(), bad(), bad(), good()]

    async def replay(run: Run) -> TurnResult:
        await trio.lowlevel.checkpoint()
        return results.pop(0)

    stage.cli.behave = replay
    agent, life = await stage.started()
    await stage.send(agent, "a")
    await until(lambda: len(results) == 5)
    await stage.send(agent, "b")
    await until(lambda: not results)

    after = await stage.record(agent)
    assert not life.over.is_set()
    assert (after.state, after.failed_rounds, after.rounds_completed) == (AgentState.IDLE, 0, 2)


async def test_what_cannot_heal_is_an_error_at_once(clock: MockClock, stage: Stage) -> None:
    async def not_logged_in(run: Run) -> TurnResult:
        await trio.lowlevel.checkpoint()
        return bad("claude: not logged in", unhealable=True)

    stage.cli.behave = not_logged_in
    agent, life = await stage.started()
    await stage.send(agent, "a")
    await life.over.wait()

    after = await stage.record(agent)
    assert (len(stage.cli.runs), after.state, after.reason) == (1, AgentState.ERROR, "claude: not logged in")
    assert await stage.waiting(agent) == ["a"]
    assert len(await stage.mailbox.peek(SUPERVISOR_ID)) == 1


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (UnknownCli("Unknown agent CLI 'x'", hint="Known are: y"), True),
        (InvalidConfig("The command is empty"), True),
        (Forbidden("The log is a link"), True),
        (RuntimeFailed("No process can be started"), False),
    ],
)
async def test_a_cli_that_cannot_be_started_is_an_error_at_once_only_if_a_person_has_to_mend_it(
    clock: MockClock, stage: Stage, error: TownError, ends: bool
) -> None:
    async def refuse(run: Run) -> TurnResult:
        await trio.lowlevel.checkpoint()
        raise error

    stage.cli.behave = refuse
    agent, _ = await stage.started()
    await stage.send(agent, "a")
    await settle_down()

    after = await stage.record(agent)
    assert after.state is (AgentState.ERROR if ends else AgentState.IDLE)
    assert after.reason is not None
    assert after.reason.startswith(error.message)
    assert error.hint in after.reason
    assert await stage.waiting(agent) == ["a"]


async def test_silence_is_no_failure_but_an_hour_is(clock: MockClock, stage: Stage) -> None:
    async def slow(run: Run) -> TurnResult:
        await trio.sleep(59 * 60)
        return good("at last")

    agent, _ = await stage.started()
    stage.cli.behave = slow
    await stage.send(agent, "slow")
    await until(lambda: stage.cli.runs and stage.cli.runs[0].ended < float("inf"))
    await settle_down()
    assert (await stage.record(agent)).rounds_completed == 1

    stage.cli.behave = stage.cli.hang
    await stage.send(agent, "endless")
    await until(lambda: len(stage.cli.runs) == 2 and stage.cli.runs[1].was_cut)

    second = stage.cli.runs[1]
    assert second.ended - second.began == 3600
    await settle_down()
    after = await stage.record(agent)
    assert (after.failed_rounds, after.reason) == (1, "it ran longer than 1h")


async def test_a_failed_run_does_not_eat_the_rounds(clock: MockClock, stage: Stage) -> None:
    results = [bad(), bad(), good(), bad(), good()]

    async def replay(run: Run) -> TurnResult:
        await trio.lowlevel.checkpoint()
        return results.pop(0)

    stage.cli.behave = replay
    agent, life = await stage.started(max_rounds=2)
    await stage.send(agent, "a")
    await until(lambda: len(results) == 2)
    await stage.send(agent, "b")
    await life.over.wait()

    after = await stage.record(agent)
    assert results == []
    assert [run.number for run in stage.cli.runs] == [1, 1, 1, 2, 2]
    assert (after.state, after.rounds_completed) == (AgentState.STOPPED, 2)


async def test_an_agent_stops_after_its_last_round_and_its_messages_wait(clock: MockClock, stage: Stage) -> None:
    agent = await stage.agent(max_rounds=2)
    await stage.send(agent, *numbered(120))
    life = await stage.start(agent)
    await life.over.wait()

    after = await stage.record(agent)
    assert (after.state, after.rounds_completed) == (AgentState.STOPPED, 2)
    assert await stage.waiting(agent) == numbered(120)[100:]
    assert [event.detail for event in await stage.events("agent.stopped")] == ["ada stopped, completed 2/2 rounds"]


# Poison.


async def work_through_a_poison(stage: Stage, poison: str) -> None:
    """A batch of fifty, one of which makes every run fail."""

    async def choke(run: Run) -> TurnResult:
        await trio.lowlevel.checkpoint()
        return bad("choked") if poison in run.texts else good()

    async def sweep() -> None:  # what the lifeline does
        while True:
            await trio.sleep(5)
            await stage.mailbox.sweep([agent.id])
            stage.bells[agent.id][0].ring()

    stage.cli.behave = choke
    agent = await stage.agent(max_rounds=1000)
    tasks = await stage.assign(agent, *numbered(50))
    life = await stage.start(agent)
    stage.nursery.start_soon(sweep)
    with trio.fail_after(4 * 3600):
        while not await stage.dead_letters() or await stage.waiting(agent):
            await trio.sleep(5)

    states = {task.description: task.state for task in await stage.store.tasks()}
    assert len(tasks) == 50
    assert [text for text, state in states.items() if state is not TaskState.COMPLETED] == [poison]
    (letter,) = await stage.dead_letters()
    assert letter["reason"].startswith(b"failed ")
    assert letter["reason"].endswith(b"times while others succeeded; last: choked")
    assert int(letter["reason"].split()[1]) >= 5
    assert not life.over.is_set()
    assert await stage.state(agent) is AgentState.IDLE
    assert sum(poison not in texts for texts in stage.cli.worked) >= 1


@pytest.mark.parametrize("poison", ["m01", "m25", "m50"])
async def test_a_poison_message_among_fifty_stands_alone_in_the_end_and_takes_no_other_with_it(
    clock: MockClock, stage: Stage, poison: str
) -> None:
    await work_through_a_poison(stage, poison)

    done = [text for run in stage.cli.runs if poison not in run.texts for text in run.texts]
    assert sorted(done) == [text for text in numbered(50) if text != poison]


async def test_what_two_runtimes_died_of_is_worked_on_alone_so_that_the_third_death_takes_no_other(
    clock: MockClock, stage: Stage
) -> None:
    agent = await stage.agent()
    await stage.inform(agent, "note")
    await stage.send(agent, "killer", "innocent", "bystander")
    stage.cli.behave = stage.cli.hang
    for _ in range(2):
        life = await stage.start(agent)
        await settle_down()
        with stage.twin.outage():
            await life.end()

    async def kill(run: Run) -> TurnResult:
        return await (stage.cli.hang(run) if "killer" in run.texts else stage.cli.succeed(run))

    stage.cli.behave = kill
    life = await stage.start(agent)
    await settle_down()
    with stage.twin.outage():
        await life.end()
    await stage.start(agent)
    await settle_down()

    (entry,) = await stage.town.entries("quarantine")
    assert b"killer" in entry["raw"]
    assert stage.cli.worked[2:4] == [["note"], ["killer"]]
    assert sorted(text for texts in stage.cli.worked[4:] for text in texts) == ["bystander", "innocent"]
    assert await stage.waiting(agent) == []


# Urgent.


async def test_an_urgent_message_cuts_the_round_and_goes_first(clock: MockClock, stage: Stage) -> None:
    agent, _ = await stage.started()
    stage.cli.behave = stage.cli.hang
    (task,) = await stage.assign(agent, "slow")
    await settle_down()
    stage.cli.behave = stage.cli.succeed
    await stage.send(agent, "fire!", priority=Priority.URGENT)
    await settle_down()

    first, second = stage.cli.runs
    assert first.was_cut
    assert second.texts == ["fire!", "slow"]
    assert "🚨 URGENT" in second.prompt
    assert "Attempt" not in second.prompt
    assert [event.detail for event in await stage.events("round.cut")] == ["Round 1: cut by an urgent message"]
    after = await stage.record(agent)
    assert (after.rounds_completed, after.failed_rounds) == (1, 0)
    assert (await stage.store.task(task.id)).state is TaskState.COMPLETED


async def test_a_round_that_is_urgent_is_not_cut_by_the_next_urgent_message(clock: MockClock, stage: Stage) -> None:
    agent, _ = await stage.started()
    stage.cli.behave = stage.cli.work_until_released
    await stage.send(agent, "fire!", priority=Priority.URGENT)
    await settle_down()
    await stage.send(agent, "flood!", priority=Priority.URGENT)
    await settle_down()
    assert len(stage.cli.runs) == 1

    stage.cli.release.set()
    await settle_down()
    assert stage.cli.worked == [["fire!"], ["flood!"]]
    assert not any(run.was_cut for run in stage.cli.runs)


# Pause, drain, kill.


async def test_a_pause_during_a_round_takes_effect_after_it(clock: MockClock, stage: Stage) -> None:
    agent, life = await stage.started()
    stage.cli.behave = stage.cli.work_until_released
    await stage.send(agent, "a")
    await settle_down()
    await stage.change_agent(agent, lambda found: found.after(AgentEvent.PAUSE))
    await stage.send(agent, "b")
    await settle_down()
    assert not stage.cli.runs[0].was_cut

    stage.cli.release.set()
    await trio.sleep(60)
    after = await stage.record(agent)
    assert (after.state, after.rounds_completed) == (AgentState.PAUSED, 1)
    assert (stage.cli.worked, await stage.waiting(agent)) == ([["a"]], ["b"])

    await stage.change_agent(agent, lambda found: found.resumed())
    await settle_down()
    assert stage.cli.worked == [["a"], ["b"]]
    assert not life.over.is_set()


async def test_a_pause_that_is_taken_back_during_the_round_changes_nothing(clock: MockClock, stage: Stage) -> None:
    agent, _ = await stage.started()
    stage.cli.behave = stage.cli.work_until_released
    await stage.send(agent, "a")
    await settle_down()
    await stage.change_agent(agent, lambda found: found.after(AgentEvent.PAUSE))
    await stage.change_agent(agent, lambda found: found.resumed())
    stage.cli.release.set()
    await settle_down()

    after = await stage.record(agent)
    assert (after.state, after.rounds_completed) == (AgentState.IDLE, 1)


async def test_a_paused_agent_that_has_used_its_rounds_up_stops(clock: MockClock, stage: Stage) -> None:
    agent, life = await stage.started(max_rounds=1)
    stage.cli.behave = stage.cli.work_until_released
    await stage.send(agent, "a")
    await settle_down()
    await stage.change_agent(agent, lambda found: found.after(AgentEvent.PAUSE))
    stage.cli.release.set()
    await life.over.wait()

    assert await stage.state(agent) is AgentState.STOPPED


async def test_a_drain_during_a_round_takes_effect_after_it(clock: MockClock, stage: Stage) -> None:
    agent, life = await stage.started()
    stage.cli.behave = stage.cli.work_until_released
    (task,) = await stage.assign(agent, "a")
    await settle_down()
    await stage.change_agent(agent, lambda found: found.after(AgentEvent.DRAIN))
    await stage.send(agent, "b")
    await settle_down()
    assert not life.over.is_set()

    stage.cli.release.set()
    await life.over.wait()
    assert await stage.state(agent) is AgentState.STOPPED
    assert (await stage.store.task(task.id)).state is TaskState.COMPLETED
    assert (stage.cli.worked, await stage.waiting(agent)) == ([["a"]], ["b"])


@pytest.mark.parametrize("paused", [False, True])
async def test_an_agent_at_rest_that_is_asked_to_end_has_ended_and_its_actor_with_it(
    clock: MockClock, stage: Stage, paused: bool
) -> None:
    agent, life = await stage.started()
    event = AgentEvent.DRAIN
    if paused:
        await stage.change_agent(agent, lambda found: found.after(AgentEvent.PAUSE))
        await settle_down()
        event = AgentEvent.STOP
    await stage.change_agent(agent, lambda found: found.after(event))
    await life.over.wait()

    assert await stage.state(agent) is AgentState.STOPPED


async def test_a_kill_now_cuts_the_round_ends_the_agent_and_shortens_the_end_of_the_cli(
    clock: MockClock, stage: Stage
) -> None:
    agent, life = await stage.started()
    stage.cli.behave = stage.cli.hang
    (task,) = await stage.assign(agent, "a")
    await settle_down()
    await stage.change_agent(agent, lambda found: found.after(AgentEvent.DRAIN), wake=False)
    await stage.control(agent, ControlKind.STOP)
    await life.over.wait()

    (run,) = stage.cli.runs
    assert run.was_cut
    assert (run.ladder.interrupt_s, run.ladder.terminate_s) == (2.0, 2.0)
    assert await stage.state(agent) is AgentState.STOPPED
    assert (await stage.store.task(task.id)).state is TaskState.ASSIGNED
    assert await stage.waiting(agent) == ["task_assign"]
    assert [event.detail for event in await stage.events("round.cut")] == ["Round 1: cut by stop by a person"]
    assert len(await stage.events("agent.stopped")) == 1


async def test_a_kill_now_that_comes_when_the_round_has_just_ended_is_no_less_a_kill(
    clock: MockClock, stage: Stage
) -> None:
    agent, life = await stage.started()
    stage.cli.behave = stage.cli.work_until_released
    await stage.send(agent, "a")
    await settle_down()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.control, agent, ControlKind.STOP)
        stage.cli.release.set()
    with trio.fail_after(60):
        await life.over.wait()

    assert await stage.state(agent) is AgentState.STOPPED


async def test_a_cancelled_task_cuts_its_round_and_the_rest_of_that_begins_again(
    clock: MockClock, stage: Stage
) -> None:
    agent, _ = await stage.started()
    stage.cli.behave = stage.cli.hang
    gone, other = await stage.assign(agent, "a", "b")
    await settle_down()
    stage.cli.behave = stage.cli.succeed
    await cancel(stage, agent, gone)
    await settle_down()

    first, second = stage.cli.runs
    assert (first.was_cut, second.was_cut) == (True, False)
    assert stage.cli.worked[1:] == [["b"]]
    assert (await stage.store.task(gone.id)).state is TaskState.CANCELLED
    assert (await stage.store.task(other.id)).state is TaskState.COMPLETED
    assert await stage.waiting(agent) == []
    assert [event.detail for event in await stage.events("round.cut")] == [
        "Round 1: cut by the cancel of its task by ada"
    ]
    after = await stage.record(agent)
    assert (after.rounds_completed, after.failed_rounds) == (1, 0)


async def test_a_cancelled_task_that_the_round_does_not_work_on_leaves_it_alone(clock: MockClock, stage: Stage) -> None:
    agent, _ = await stage.started()
    stage.cli.behave = stage.cli.work_until_released
    await stage.assign(agent, "a")
    await settle_down()
    await stage.store.commit(stage.store.change().control(agent.id, Control.drop(TaskId(new_id()), "ada")))
    await settle_down()
    stage.cli.release.set()
    await settle_down()

    assert [run.was_cut for run in stage.cli.runs] == [False]


async def test_a_task_that_is_cancelled_while_its_round_is_prepared_is_not_worked_on(
    clock: MockClock, stage: Stage
) -> None:
    agent, _ = await stage.started()
    task = replace(Task("a").assign(agent.id), assigned_by=SUPERVISOR_ID)

    def is_first_read(command: tuple[object, ...]) -> bool:
        return not stage.wire.kept.is_set() and command[:2] == ("GET", stage.town.keys("task", task.id))

    stage.wire.keeps_back = is_first_read
    change = stage.store.change().create_task(task).send(Message(SUPERVISOR_ID, agent.id, TaskAssign(task.id)))
    await stage.store.commit(change)
    await stage.wire.kept.wait()
    await cancel(stage, agent, task)
    await settle_down()
    stage.wire.release.set()
    await settle_down()

    assert [run.texts for run in stage.cli.runs if not run.was_cut] == []
    assert await stage.waiting(agent) == []
    assert await stage.state(agent) is AgentState.IDLE


async def cancel(stage: Stage, agent: Agent, task: Task) -> None:
    """Cancel a task as a person does."""
    await stage.store.update_task(
        task.id,
        lambda found: found.cancel("no"),
        lambda change, *_: change.control(agent.id, Control.drop(task.id, "ada")),
    )


async def test_an_idle_agent_is_killed_at_once(clock: MockClock, stage: Stage) -> None:
    agent, life = await stage.started()
    await stage.control(agent, ControlKind.STOP)
    await life.over.wait()

    assert await stage.state(agent) is AgentState.STOPPED


@pytest.mark.parametrize("kind", list(ControlKind))
async def test_a_control_message_for_another_life_is_refused(clock: MockClock, stage: Stage, kind: ControlKind) -> None:
    agent, life = await stage.started(incarnation=3)
    stage.cli.behave = stage.cli.work_until_released
    await stage.control(agent, kind, incarnation=2)
    await settle_down()
    await stage.send(agent, "a")
    await settle_down()
    await stage.control(agent, kind, incarnation=2)
    await settle_down()
    stage.cli.release.set()
    await settle_down()

    assert not stage.cli.runs[0].was_cut
    assert not life.over.is_set()
    assert (await stage.record(agent)).rounds_completed == 1


async def test_an_actor_whose_agent_began_another_life_ends_and_leaves_it_to_the_next(
    clock: MockClock, stage: Stage
) -> None:
    agent, life = await stage.started()
    await stage.change_agent(agent, lambda found: found.after(AgentEvent.STOP), wake=False)
    reborn = await stage.change_agent(
        agent, lambda found: replace(found.after(AgentEvent.RESTART), incarnation=2), wake=False
    )
    await stage.send(agent, "for the next life")
    await life.over.wait()

    assert stage.cli.runs == []
    assert await stage.record(agent) == reborn
    await stage.start(agent)
    await settle_down()
    assert stage.cli.worked == [["for the next life"]]


async def test_an_agent_that_was_paused_between_claim_and_round_takes_nothing(clock: MockClock, stage: Stage) -> None:
    agent, life = await stage.started()
    keys = stage.town.keys
    stage.wire.keeps_back = lambda command: command[:2] == ("GET", keys("agent", agent.id))
    await stage.send(agent, "a")
    await stage.wire.kept.wait()  # it has claimed, and reads its record before the pause
    stage.wire.keeps_back = lambda _: False
    await stage.change_agent(agent, lambda found: found.after(AgentEvent.PAUSE))
    stage.wire.release.set()
    await trio.sleep(60)

    assert stage.cli.runs == []
    assert await stage.waiting(agent) == ["a"]
    assert (await stage.state(agent), life.over.is_set()) == (AgentState.PAUSED, False)


# The ends of runtimes and stores.


async def test_a_runtime_that_ends_gives_everything_back_as_if_the_round_had_never_begun(
    clock: MockClock, stage: Stage
) -> None:
    agent, life = await stage.started()
    stage.cli.behave = stage.cli.hang
    (task,) = await stage.assign(agent, "a")
    await settle_down()

    await life.end()

    (run,) = stage.cli.runs
    after = await stage.record(agent)
    assert run.was_cut
    assert (after.state, after.in_round, after.failed_rounds) == (AgentState.IDLE, False, 0)
    assert (await stage.store.task(task.id)).state is TaskState.ASSIGNED
    claim = await stage.town.claim(await stage.town.fence(agent))
    assert [delivery.attempt for delivery in claim.deliveries] == [1]


async def test_a_lost_placement_leaves_no_trace_of_the_round(clock: MockClock, stage: Stage) -> None:
    agent, life = await stage.started()
    stage.cli.behave = stage.cli.work_until_released
    (task,) = await stage.assign(agent, "a")
    await settle_down()
    await stage.take_over(agent)
    before = await snapshot(stage.town.connection)

    stage.cli.release.set()
    await life.over.wait()

    assert await snapshot(stage.town.connection) == before
    assert (await stage.store.task(task.id)).state is TaskState.RUNNING


async def test_the_next_actor_of_an_agent_takes_over_what_the_dead_one_left(clock: MockClock, stage: Stage) -> None:
    agent, life = await stage.started()
    stage.cli.behave = stage.cli.hang
    (task,) = await stage.assign(agent, "a")
    await settle_down()
    with stage.twin.outage():
        await life.end()
    assert (await stage.store.task(task.id)).state is TaskState.RUNNING
    assert await stage.claimed(agent) == 1

    stage.cli.behave = stage.cli.succeed
    await stage.start(agent)
    await settle_down()

    done = await stage.store.task(task.id)
    assert (done.state, done.attempts) == (TaskState.COMPLETED, 2)
    assert stage.cli.worked == [["a"], ["a"]]
    assert "## Attempt 2" in stage.cli.runs[1].prompt


@pytest.mark.parametrize("state", [AgentState.STOPPED, AgentState.ERROR])
async def test_an_actor_for_an_agent_that_has_ended_ends_and_gives_back_its_tasks(
    clock: MockClock, stage: Stage, state: AgentState
) -> None:
    agent = await stage.agent()
    (task,) = await stage.assign(agent, "a")
    await stage.store.update_task(task.id, lambda found: found.start())
    event = AgentEvent.STOP if state is AgentState.STOPPED else AgentEvent.FAIL
    await stage.change_agent(agent, lambda found: found.after(event), wake=False)

    life = await stage.start(agent)
    await life.over.wait()

    assert (life.error, stage.cli.runs) == (None, [])
    assert await stage.state(agent) is state
    assert (await stage.store.task(task.id)).state is TaskState.ASSIGNED


async def test_an_agent_whose_runtime_died_while_it_drained_has_stopped(clock: MockClock, stage: Stage) -> None:
    agent = await stage.agent()
    draining = replace(agent, state=AgentState.DRAINING, in_round=True)
    await stage.change_agent(agent, lambda _: draining, wake=False)
    life = await stage.start(agent)
    await life.over.wait()

    assert await stage.state(agent) is AgentState.STOPPED
    assert len(await stage.events("agent.stopped")) == 1


async def test_an_agent_that_is_gone_ends_its_actor(clock: MockClock, stage: Stage) -> None:
    agent, life = await stage.started()
    await stage.town.ask("DEL", stage.town.keys("agent", agent.id))
    await stage.control(agent, ControlKind.WAKE)
    await life.over.wait()

    assert life.error is None


async def test_a_cut_that_meets_the_beginning_of_a_round_under_way_leaves_everything_in_step(
    clock: MockClock, stage: Stage
) -> None:
    """The round has begun, the reply that says so is on its way, and an urgent message cuts the turn."""
    agent, life = await stage.started()
    stage.wire.keeps_back = is_commit_of("round.started")
    (task,) = await stage.assign(agent, "a")
    await stage.wire.kept.wait()
    stage.wire.keeps_back = lambda _: False
    await stage.send(agent, "now", priority=Priority.URGENT)
    await settle_down()

    assert life.error is None
    assert stage.cli.worked == [["now", "a"]]
    assert (await stage.store.task(task.id)).state is TaskState.COMPLETED
    assert (await stage.state(agent), await stage.waiting(agent)) == (AgentState.IDLE, [])


async def test_a_cut_that_meets_the_end_of_a_round_under_way_repeats_nothing(clock: MockClock, stage: Stage) -> None:
    """The run is over and its end is written; an urgent message that comes before the reply is too late to cut it."""
    agent, life = await stage.started()
    stage.wire.keeps_back = is_commit_of("round.finished")
    await stage.send(agent, "a")
    await stage.wire.kept.wait()
    stage.wire.keeps_back = lambda _: False
    await stage.send(agent, "now", priority=Priority.URGENT)
    await settle_down()
    stage.wire.release.set()
    await settle_down()

    assert life.error is None
    assert stage.cli.worked == [["a"], ["now"]]
    assert (await stage.record(agent)).rounds_completed == 2
    assert (await stage.state(agent), await stage.waiting(agent)) == (AgentState.IDLE, [])


def is_commit_of(event: str) -> Callable[[tuple[object, ...]], bool]:
    """Whether a command is the commit that tells this event."""
    return lambda command: event in command


async def test_questions_and_work_name_who_sent_them(clock: MockClock, stage: Stage) -> None:
    bob = await stage.agent("bob")
    agent, _ = await stage.started()
    await stage.tell(agent, Query("how far are you?"), sender=bob.id)
    await settle_down()

    assert "question, answer it from bob" in stage.cli.runs[0].prompt
