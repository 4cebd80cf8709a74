"""What agents have done, told from the journal."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtime_parts import add

from tinytown import times
from tinytown.errors import AgentNotFound, Invalid
from tinytown.ids import AgentId
from tinytown.records import Event
from tinytown.runtime.operations.chronicler import Chronicler
from tinytown.runtime.operations.history import Entry, History, Outcome, history
from tinytown.runtime.operations.tasks import Assign, TaskEnd, assign, complete_task
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync

ADA, BOB = "ada's id", "bob's id"
KINDS = (
    "agent.spawned", "agent.paused", "round.started", "round.started", "round.finished", "round.failed",
    "task.completed", "task.cancelled", "message.sent",
)  # fmt: skip


def calls(town: Town, command: str) -> int:
    """How often the server has done this."""
    said = cast("bytes", run_sync(town.connection.execute("INFO", "commandstats"))).decode()
    found = re.search(rf"cmdstat_{command}:calls=(\d+)", said)
    return int(found[1]) if found else 0


def at(second: int) -> times.Timestamp:
    return times.timestamp(1_800_000_000 + second)


def event(kind: str, second: int, agent: str | None = ADA, **more: str) -> Event:
    return Event(kind, at(second), agent=agent, **more)  # type: ignore[arg-type]


def told(events: list[Event], *, running: set[str]) -> list[Entry]:
    """The entries of a whole journal."""
    chronicler = Chronicler()
    for number, each in reversed(list(enumerate(events))):
        chronicler.hear(replace(each, id=f"{number}-0"))
    chronicler.hear_all()
    chronicler.hear_the_last(running)
    return chronicler.entries(1000)


def a_round(number: int, second: int, end: str = "round.finished", agent: str = ADA, detail: str = "") -> list[Event]:
    return [
        event("round.started", second, agent, detail=f"Round {number}"),
        event(end, second + 5, agent, detail=f"Round {number}: {detail}"),
    ]


def test_a_round_has_a_beginning_an_end_and_an_outcome() -> None:
    (entry,) = told(a_round(3, 0, detail="✅ completed"), running=set())

    assert entry == Entry("0-0", at(0), ADA, "round.started", round=3, outcome=Outcome.FINISHED, ended=at(5))


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

    entry = run_sync(history(town, History())).entries[-1]
    assert (entry.agent, entry.agent_name) == (gone, "(gone) 00000000")


@given(st.lists(st.tuples(st.sampled_from([ADA, BOB]), st.sampled_from(KINDS)), max_size=40), st.integers(1, 5))
def test_the_newest_entries_are_the_same_however_little_is_heard(kinds: list[tuple[str, str]], count: int) -> None:
    events = [
        replace(event(kind, number, agent, task=f"t{number}"), id=f"{number}-0")
        for number, (agent, kind) in enumerate(kinds)
    ]
    whole = Chronicler()
    for each in reversed(events):
        whole.hear(each)
    whole.hear_all()
    for end in range(len(events) + 1):
        expected = [entry for entry in whole.entries(1000) if int(entry.id.partition("-")[0]) < end][-count:]
        part = Chronicler()
        for each in reversed(events[:end]):
            part.hear(each)
            if part.has(count):
                break
        else:
            part.hear_all()
        part.keep(count)
        for each in events[end:]:
            part.hear_on(each)
        part.hear_the_last(set())
        assert part.entries(count) == expected


def test_a_history_is_read_page_by_page(town: Town) -> None:
    ada, bob = add(town, "ada"), add(town, "bob")
    change = town.store.change().tell(event("round.started", 0, bob.id, detail="Round 1"))
    for number in range(60):
        for each in a_round(number + 1, number, agent=ada.id):
            change.tell(each)
    change.tell(event("round.finished", 99, bob.id, detail="Round 1: done"))
    run_sync(town.store.commit(change))

    pages, before = [], None
    while not pages or before is not None:
        page = run_sync(history(town, History(count=7, before=before)))
        pages.append(page.entries)
        before = page.next

    told_in_pages = [entry for page in reversed(pages) for entry in page]
    assert [len(page) for page in pages] == [7] * 9
    assert told_in_pages == list(run_sync(history(town, History(count=100))).entries)
    assert [(each.agent_name, each.outcome) for each in told_in_pages[2:4]] == [
        ("bob", Outcome.FINISHED),
        ("ada", Outcome.FINISHED),
    ]
    assert [
        len(run_sync(history(town, History("bob", before=each))).entries) for each in (None, told_in_pages[2].id)
    ] == [
        2,
        1,
    ]


def test_no_more_of_the_journal_is_read_than_is_shown(town: Town) -> None:
    ada = add(town, "ada")
    change = town.store.change()
    for number in range(500):
        for each in a_round(number + 1, number, agent=ada.id):
            change.tell(each)
    run_sync(town.store.commit(change))

    before = calls(town, "xrevrange")
    run_sync(history(town, History(count=20)))

    assert calls(town, "xrevrange") - before == 1


def test_what_cannot_be_meant_is_refused(town: Town) -> None:
    with pytest.raises(Invalid):
        run_sync(history(town, History(before="yesterday")))
    with pytest.raises(Invalid):
        run_sync(history(town, History(count=0)))
    with pytest.raises(AgentNotFound):
        run_sync(history(town, History("nobody")))
