"""What agents have done, told from the journal."""

from __future__ import annotations

import pytest
from runtime_parts import add

from tinytown import times
from tinytown.errors import AgentNotFound, Invalid
from tinytown.ids import AgentId
from tinytown.records import Event
from tinytown.runtime.operations.history import Entry, History, Outcome, history, told
from tinytown.runtime.operations.tasks import Assign, TaskEnd, assign, complete_task
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync

ADA, BOB = "ada's id", "bob's id"


def at(second: int) -> times.Timestamp:
    return times.timestamp(1_800_000_000 + second)


def event(kind: str, second: int, agent: str | None = ADA, **more: str) -> Event:
    return Event(kind, at(second), agent=agent, **more)  # type: ignore[arg-type]


def a_round(number: int, second: int, end: str = "round.finished", agent: str = ADA, detail: str = "") -> list[Event]:
    return [
        event("round.started", second, agent, detail=f"Round {number}"),
        event(end, second + 5, agent, detail=f"Round {number}: {detail}"),
    ]


def test_a_round_has_a_beginning_an_end_and_an_outcome() -> None:
    (entry,) = told(a_round(3, 0, detail="✅ completed"), running=set())

    assert entry == Entry(at(0), ADA, "round.started", round=3, outcome=Outcome.FINISHED, ended=at(5))


def test_a_round_that_failed_or_was_cut_says_why() -> None:
    failed, cut = told(
        [
            *a_round(1, 0, "round.failed", detail="⚠️ exit status 3"),
            *a_round(1, 10, "round.cut", detail="cut by a stop"),
        ],
        running=set(),
    )

    assert (failed.outcome, failed.detail) == (Outcome.FAILED, "exit status 3")
    assert (cut.outcome, cut.detail) == (Outcome.CUT, "cut by a stop")


def test_the_tasks_that_ended_in_a_round_belong_to_it() -> None:
    begin, end = a_round(1, 0)
    (entry,) = told(
        [begin, event("task.completed", 4, task="t1"), event("task.failed", 4, task="t2"), end], running=set()
    )

    assert [(task.id, task.how) for task in entry.tasks] == [("t1", "completed"), ("t2", "failed")]


def test_a_task_that_a_person_ended_stands_by_itself() -> None:
    (entry,) = told([event("task.cancelled", 0, task="t1", detail="no")], running=set())

    assert (entry.what, entry.detail, entry.outcome) == ("task.cancelled", "no", None)
    assert [task.how for task in entry.tasks] == ["cancelled"]


def test_rounds_of_several_agents_are_told_apart() -> None:
    (ada, bob), (bob_end, ada_end) = (
        (a_round(1, 0)[0], a_round(7, 1, agent=BOB)[0]),
        (a_round(7, 2, agent=BOB)[1], a_round(1, 4)[1]),
    )
    entries = told([ada, bob, event("task.completed", 2, BOB, task="t1"), bob_end, ada_end], running=set())

    assert [(each.agent, each.round, each.outcome, len(each.tasks)) for each in entries] == [
        (ADA, 1, Outcome.FINISHED, 0),
        (BOB, 7, Outcome.FINISHED, 1),
    ]


def test_a_round_that_never_told_its_end_runs_or_is_lost() -> None:
    begin = a_round(1, 0)[0]

    assert told([begin], running={ADA})[0].outcome is Outcome.RUNNING
    assert told([begin], running=set())[0].outcome is Outcome.LOST
    lost, last = told([begin, *a_round(1, 9)], running=set())
    assert (lost.outcome, last.outcome) == (Outcome.LOST, Outcome.FINISHED)


def test_an_end_whose_beginning_is_forgotten_and_what_concerns_no_agent_are_left_out() -> None:
    assert told([a_round(1, 0)[1], event("runtime.started", 1, None), event("message.sent", 2)], running=set()) == []


def test_the_life_of_an_agent_is_part_of_it() -> None:
    entries = told([event("agent.spawned", 0, detail="ada (any)"), event("agent.paused", 1)], running=set())

    assert [entry.what for entry in entries] == ["agent.spawned", "agent.paused"]


def test_it_is_filtered_before_it_is_limited(town: Town) -> None:
    ada, bob = add(town, "ada"), add(town, "bob")
    for number in range(3):
        for each in a_round(number + 1, 0, agent=ada.id):
            run_sync(town.journal.append(each))
    for number in range(30):
        for each in a_round(number + 1, 0, agent=bob.id):
            run_sync(town.journal.append(each))

    found = run_sync(history(town, History("ada", 2)))
    everyone = run_sync(history(town, History(count=5)))

    assert [(entry.agent_name, entry.round) for entry in found.entries] == [("ada", 2), ("ada", 3)]
    assert {entry.agent_name for entry in everyone.entries} == {"bob"}
    assert found.complete


def test_tasks_are_shown_with_their_texts(town: Town) -> None:
    add(town, "ada")
    task = run_sync(assign(town, Assign("ada", "dig a hole"))).task
    run_sync(complete_task(town, TaskEnd(task.id, "dug")))

    entry = run_sync(history(town, History("ada"))).entries[-1]

    assert [(each.id, each.how, each.description) for each in entry.tasks] == [(task.id, "completed", "dig a hole")]


def test_an_agent_that_is_gone_keeps_its_id(town: Town) -> None:
    gone = AgentId("00000000-0000-4000-8000-000000000007")
    run_sync(town.journal.append(event("agent.stopped", 0, gone)))

    assert run_sync(history(town, History())).entries[-1].agent_name == gone


def test_what_cannot_be_meant_is_refused(town: Town) -> None:
    with pytest.raises(Invalid):
        run_sync(history(town, History(count=0)))
    with pytest.raises(AgentNotFound):
        run_sync(history(town, History("nobody")))
