"""Whether the tasks of a round that ended well count as done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from stage import Run, Stage, good, settle_down
from trio.testing import MockClock

from tinytown.actors.acceptance import check, settled
from tinytown.actors.child import Ladder
from tinytown.actors.drivers.text import TurnResult
from tinytown.actors.reviews import NO_VERDICT
from tinytown.actors.verification import Evidence, VerifyCommand
from tinytown.errors import InvalidConfig, RedisUnreachable, RuntimeFailed
from tinytown.ids import SUPERVISOR_ID, AgentId, TaskId, new_id
from tinytown.lifecycle import AgentState, TaskState
from tinytown.messages import TaskDone
from tinytown.records import Agent, Task
from tinytown.times import Timestamp

if TYPE_CHECKING:
    from tinytown.actors.acceptance import Checked

WORKER = AgentId(new_id())


def evidence(code: int = 0, name: str = "make test") -> Evidence:
    return Evidence(name, name, code, None, 0.1, "the end", None, False, Timestamp("2026-01-01T00:00:00.000Z"))


def running(**given: object) -> Task:
    return replace(Task("dig").assign(WORKER).start(), **given)  # type: ignore[arg-type]


# What is decided.


def test_a_task_without_conditions_is_completed_with_the_answer() -> None:
    after = settled(running(note="old"), "the answer", ())

    assert (after.state, after.result, after.note) == (TaskState.COMPLETED, "the answer", None)


def test_a_claim_counts_more_than_the_answer() -> None:
    assert settled(running(claim="what I did"), "bye", ()).result == "what I did"
    assert settled(running(claim=""), "bye", ()).result == "bye"


def test_what_passed_its_checks_is_completed_and_the_evidence_kept() -> None:
    after = settled(running(), "done", [evidence()])

    assert after.state is TaskState.COMPLETED
    assert [each["name"] for each in after.evidence] == ["make test"]


def test_what_failed_a_check_is_back_with_the_output() -> None:
    after = settled(running(claim="done", review="rex"), "done", [evidence(), evidence(2, "lint")])

    assert (after.state, after.claim, after.waits) == (TaskState.ASSIGNED, None, False)
    assert after.note is not None
    assert "'lint' failed (exit status 2" in after.note
    assert "the end" in after.note
    assert len(after.evidence) == 2


def test_what_has_a_reviewer_waits_for_the_review() -> None:
    after = settled(running(review="rex"), "done", [evidence()])

    assert (after.state, after.waits, after.claim, after.review_task) == (TaskState.RUNNING, True, "done", None)


@pytest.mark.parametrize(
    ("answer", "state", "result"),
    [
        ("APPROVED", TaskState.COMPLETED, "APPROVED"),
        ("no\nREJECTED: x", TaskState.FAILED, "no\nREJECTED: x"),
        ("hm", TaskState.FAILED, NO_VERDICT),
    ],
)
def test_a_review_is_decided_by_the_answer(answer: str, state: TaskState, result: str) -> None:
    after = settled(running(review_of=TaskId(new_id())), answer, ())

    assert (after.state, after.result) == (state, result)


# What is run.


async def checked(tmp_path: Path, tasks: Sequence[Task], *town: str) -> Checked:
    return await check(
        tasks,
        [VerifyCommand(name=command, command=command) for command in town],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        log_path=tmp_path / "log",
        ladder=Ladder(),
    )


async def test_the_commands_of_the_town_run_once_for_all_tasks(tmp_path: Path) -> None:
    one, two = running(), running(verify=("sh -c 'echo own >> runs'",))
    found = await checked(tmp_path, [one, two], "sh -c 'echo town >> runs'")

    assert (tmp_path / "runs").read_text().split() == ["town", "own"]
    assert [len(found[task.id]) for task in (one, two)] == [1, 2]
    assert all(each.passed for every in found.values() for each in every)


async def test_what_fails_for_the_town_is_not_checked_further(tmp_path: Path) -> None:
    task = running(verify=("touch never",))
    found = await checked(tmp_path, [task], "false")

    assert [each.code for each in found[task.id]] == [1]
    assert not (tmp_path / "never").exists()


async def test_nothing_runs_for_reviews_or_where_nothing_is_asked_for(tmp_path: Path) -> None:
    review = running(review_of=TaskId(new_id()), verify=("touch never",))

    assert await checked(tmp_path, [review], "touch never") == {}
    assert await checked(tmp_path, [running()]) == {}
    assert list(tmp_path.iterdir()) == []


# How a round ends.


async def test_a_failed_check_sends_the_task_back_to_its_agent_at_once(clock: MockClock, stage: Stage) -> None:
    codes = iter([1, 0])

    async def check_tasks(agent: Agent, number: int, tasks: Sequence[Task], ladder: Ladder) -> Checked:
        await trio.lowlevel.checkpoint()
        code = next(codes)
        return {task.id: [evidence(code)] for task in tasks}

    stage.check_tasks = check_tasks
    ada, _ = await stage.started()
    (task,) = await stage.assign(ada, "dig")
    await settle_down()

    first, second = stage.cli.runs
    assert first.texts == ["dig"]
    assert second.texts[0] == "dig"
    assert "'make test' failed" in second.texts[1]
    after = await stage.store.task(task.id)
    assert (after.state, after.attempts, after.note) == (TaskState.COMPLETED, 2, None)
    assert [message.body for message in await stage.mailbox.peek(SUPERVISOR_ID)] == [TaskDone(task.id, "done")]
    assert (await stage.record(ada)).rounds_completed == 2
    assert len(await stage.events("task.sent_back")) == 1


async def test_checks_that_never_pass_end_with_the_rounds_of_the_agent(clock: MockClock, stage: Stage) -> None:
    async def check_tasks(agent: Agent, number: int, tasks: Sequence[Task], ladder: Ladder) -> Checked:
        await trio.lowlevel.checkpoint()
        return {task.id: [evidence(1)] for task in tasks}

    stage.check_tasks = check_tasks
    ada, _ = await stage.started(max_rounds=3)
    (task,) = await stage.assign(ada, "dig")
    await settle_down()

    assert len(stage.cli.runs) == 3
    assert await stage.state(ada) is AgentState.STOPPED
    assert (await stage.store.task(task.id)).state is TaskState.ASSIGNED
    assert await stage.waiting(ada) == ["task_assign"]


async def test_only_what_is_still_open_is_checked(clock: MockClock, stage: Stage) -> None:
    seen: list[str] = []

    async def check_tasks(agent: Agent, number: int, tasks: Sequence[Task], ladder: Ladder) -> Checked:
        await trio.lowlevel.checkpoint()
        seen.extend(task.description for task in tasks)
        return {}

    async def give_one_up(run: Run) -> TurnResult:
        (first, *_) = await stage.store.tasks(TaskState.RUNNING)
        await stage.store.update_task(first.id, lambda found: found.fail("no"))
        return good()

    stage.check_tasks, stage.cli.behave = check_tasks, give_one_up
    ada, life = await stage.started()
    await stage.assign(ada, "dig")
    await settle_down()
    assert seen == []

    await life.end()
    stage.cli.behave = stage.cli.succeed
    await stage.assign(ada, "fill")
    await stage.start(ada)
    await settle_down()
    assert seen == ["fill"]


async def test_checks_that_cannot_be_run_fail_the_round(clock: MockClock, stage: Stage) -> None:
    errors: list[Exception] = [RuntimeFailed("the log cannot be written"), InvalidConfig("no such quote")]

    async def check_tasks(agent: Agent, number: int, tasks: Sequence[Task], ladder: Ladder) -> Checked:
        await trio.lowlevel.checkpoint()
        raise errors.pop(0)

    stage.check_tasks = check_tasks
    ada, _ = await stage.started()
    (task,) = await stage.assign(ada, "dig")
    await settle_down()
    assert (await stage.record(ada)).reason == "the log cannot be written"
    await trio.sleep(3600)

    after = await stage.record(ada)
    assert (after.state, after.reason, after.rounds_completed) == (AgentState.ERROR, "no such quote", 0)
    assert (await stage.store.task(task.id)).state is TaskState.ASSIGNED


async def test_a_check_out_of_reach_of_the_store_leaves_everything_as_it_was(clock: MockClock, stage: Stage) -> None:
    async def check_tasks(agent: Agent, number: int, tasks: Sequence[Task], ladder: Ladder) -> Checked:
        await trio.lowlevel.checkpoint()
        raise RedisUnreachable("gone")

    stage.check_tasks = check_tasks
    ada, life = await stage.started()
    (task,) = await stage.assign(ada, "dig")
    await life.over.wait()

    assert isinstance(life.error, RedisUnreachable)
    assert (await stage.store.task(task.id)).state is TaskState.ASSIGNED
