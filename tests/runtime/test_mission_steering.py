"""A person steers a mission: stop, resume, note, approve, reject; and one who acts at the same time loses nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mission_parts import begun, give, in_review, item_of, see, set_item, set_watches
from runtime_parts import add, happened, limit, worker

from tinytown import times
from tinytown.actors.missions import outcomes
from tinytown.errors import (
    AmbiguousId,
    Conflict,
    Forbidden,
    IllegalTransition,
    Invalid,
    MissionNotFound,
    NotFound,
    TooLarge,
    WorkItemNotFound,
)
from tinytown.ids import SUPERVISOR_ID, AgentId, TaskId, new_id, short
from tinytown.lifecycle import MissionState, TaskState, WorkItemState
from tinytown.messages import Informational
from tinytown.mission_records import Mission, Watch
from tinytown.records import Agent
from tinytown.runtime.caller import Caller, Scope
from tinytown.runtime.operations.missions.gates import ApproveItem, ItemDecided, RejectItem, approve_item, reject_item
from tinytown.runtime.operations.missions.showing import MissionEvents, mission_events
from tinytown.runtime.operations.missions.steering import (
    MOST_NOTES,
    MissionResumed,
    MissionStopped,
    NoteMission,
    ResumeMission,
    StopMission,
    note_mission,
    resume_mission,
    stop_mission,
)
from tinytown.runtime.operations.tasks import TaskEnd, complete_task
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync
from tinytown.transport.placement import RuntimeCard, new_runtime_id


@pytest.fixture(autouse=True)
def elsewhere(town: Town) -> None:
    """A runtime of another host works on missions: none is started here."""
    run_sync(town.placement.begin(RuntimeCard(new_runtime_id(), "elsewhere", 1, times.now()), lease=600))


@pytest.fixture
def ada(town: Town) -> Agent:
    return add(town, "ada")


@pytest.fixture
def mission(town: Town) -> Mission:
    return begun(town, {1: [], 2: [1], 3: [2]})


def stop(town: Town, mission: Mission, *, force: bool = False) -> MissionStopped:
    return run_sync(stop_mission(town, StopMission(short(mission.id), force)))


def resume(town: Town, mission: Mission) -> MissionResumed:
    return run_sync(resume_mission(town, ResumeMission(short(mission.id), runtime=False)))


def approve(town: Town, item: str, mission: str | None = None, *, show: bool = False) -> ItemDecided:
    return run_sync(approve_item(town, ApproveItem(item, mission, show)))


def reject(town: Town, item: str, reason: str = "no tests") -> ItemDecided:
    return run_sync(reject_item(town, RejectItem(item, reason)))


def active(town: Town) -> list[str]:
    return list(run_sync(town.missions.active()))


# Stop and resume.


def test_a_stopped_mission_leaves_its_work_alone_and_goes_on_later(town: Town, mission: Mission, ada: Agent) -> None:
    task = give(town, ada)
    set_item(town, mission, 1, state=WorkItemState.RUNNING, assigned_to=ada.id, task_id=task.id)

    stopped = stop(town, mission)

    assert (stopped.mission.state, stopped.mission.reason) == (MissionState.STOPPED, "stopped by a person")
    assert (stopped.in_work, stopped.cancelled, active(town)) == (("o/r#1",), (), [])
    assert run_sync(town.store.task(task.id)).state is TaskState.ASSIGNED
    with pytest.raises(IllegalTransition, match="is stopped"):
        stop(town, mission)

    resumed = resume(town, mission)
    assert (resumed.mission.state, resumed.note, active(town)) == (MissionState.RUNNING, None, [mission.id])
    assert resumed.mission.reason is None
    told = run_sync(mission_events(town, MissionEvents(mission.id)))
    assert [(event.type, event.detail) for event in told.events] == [
        ("mission.stopped", "stopped by a person, by supervisor"),
        ("mission.resumed", "it was stopped, by supervisor"),
    ]
    assert happened(town)[-2:] == ["mission.stopped", "mission.resumed"]


def test_force_fails_the_mission_and_cancels_all_that_agents_have_of_it(
    town: Town, mission: Mission, ada: Agent
) -> None:
    bob = add(town, "bob")
    work, review, repair, other = give(town, ada), give(town, bob), give(town, ada), give(town, bob)
    set_item(town, mission, 1, state=WorkItemState.ASSIGNED, assigned_to=ada.id, task_id=work.id)
    item = in_review(town, mission, 2, ada.id, review.id)
    watch = Watch(mission.id, item.id, "pr_checks", "o/r#42", fix_task_id=repair.id)
    set_watches(town, mission, watch)

    ended = stop(town, mission, force=True)

    assert (ended.mission.state, set(ended.cancelled)) == (MissionState.FAILED, {work.id, review.id, repair.id})
    for task_id in ended.cancelled:
        assert run_sync(town.store.task(task_id)).state is TaskState.CANCELLED
    assert run_sync(town.store.task(other.id)).state is TaskState.ASSIGNED
    told = [message.body for message in run_sync(town.mailbox.peek(bob.id))]
    assert Informational(f"Task {review.id} was cancelled. The mission: ended by a person") in told


def test_a_full_mailbox_keeps_nobody_from_ending_a_mission(town: Town, mission: Mission, ada: Agent) -> None:
    task = give(town, ada)
    set_item(town, mission, 1, state=WorkItemState.ASSIGNED, assigned_to=ada.id, task_id=task.id)
    limit(town, inbox_messages=1)

    assert stop(town, mission, force=True).cancelled == (task.id,)
    assert len(run_sync(town.mailbox.peek(ada.id))) == 1


@pytest.mark.parametrize("operation", ["stop", "force", "resume", "note", "approve", "reject"])
def test_what_is_over_stays_as_it_is(town: Town, mission: Mission, ada: Agent, operation: str) -> None:
    in_review(town, mission, 1, ada.id)
    stop(town, mission, force=True)
    before = see(town, mission)
    run = {
        "stop": lambda: stop(town, mission),
        "force": lambda: stop(town, mission, force=True),
        "resume": lambda: resume(town, mission),
        "note": lambda: run_sync(note_mission(town, NoteMission("hi", mission.id))),
        "approve": lambda: approve(town, "1", mission.id),
        "reject": lambda: run_sync(reject_item(town, RejectItem("1", "no", mission.id))),
    }[operation]

    with pytest.raises(Conflict, match="is failed"):
        run()
    assert see(town, mission) == before


def test_a_resume_looks_at_everything_anew_and_takes_a_restored_mission_up(town: Town, mission: Mission) -> None:
    item = item_of(town, mission, 1)
    later = times.timestamp(4_000_000_000)
    watch = Watch(mission.id, item.id, "pr_checks", "o/r#41", next_due_at=later, failures=3)
    set_watches(town, mission, watch)
    run_sync(town.connection.execute("SREM", town.keys("mission_active"), mission.id))

    resumed = resume(town, mission)

    assert (resumed.note, active(town)) == ("It is running already", [mission.id])
    (seen,) = see(town, mission).watches
    assert (seen.failures, seen.next_due_at < later) == (0, True)


def test_who_changes_a_mission_at_the_same_time_loses_nothing(
    town: Town, mission: Mission, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, others = town.store.commit, 0

    async def race(change: object) -> None:
        # A scheduler is faster, twice.
        nonlocal others
        if others < 2:
            others += 1
            monkeypatch.setattr(town.store, "commit", commit, raising=False)
            set_item(town, mission, 2, attempts=others)
            monkeypatch.setattr(town.store, "commit", race, raising=False)
        await commit(change)  # type: ignore[arg-type]

    monkeypatch.setattr(town.store, "commit", race, raising=False)
    stop(town, mission)

    seen = see(town, mission)
    assert (seen.mission.state, item_of(town, mission, 2).attempts, others) == (MissionState.STOPPED, 2, 2)


# Notes.


def test_the_last_notes_are_kept_for_whoever_gets_work(town: Town, mission: Mission) -> None:
    for number in range(MOST_NOTES + 2):
        noted = run_sync(note_mission(town, NoteMission(f"note {number}\r\n")))

    assert len(noted.mission.notes) == MOST_NOTES
    assert see(town, mission).mission.notes[-1] == f"note {MOST_NOTES + 1}\n"
    assert see(town, mission).mission.notes[0] == "note 2\n"
    for text, error in (("  ", Invalid), ("x" * 300_000, TooLarge)):
        with pytest.raises(error):
            run_sync(note_mission(town, NoteMission(text)))


# Which mission, which item.


def test_what_is_meant_is_found_or_asked_for(town: Town) -> None:
    with pytest.raises(NotFound, match="There is no mission"):
        run_sync(note_mission(town, NoteMission("hi")))
    one, two = begun(town, {1: [], 2: []}), begun(town, {2: [], 3: []})

    with pytest.raises(AmbiguousId, match="There are 2 missions"):
        run_sync(note_mission(town, NoteMission("hi")))
    with pytest.raises(AmbiguousId, match="fits 2 work items: o/r#2 of"):
        approve(town, "#2", show=True)
    assert approve(town, "2", short(two.id), show=True).mission_id == two.id
    item = item_of(town, one, 1)
    for wanted in ("1", "#1", "O/R#1", item.id, item.id[:8]):
        assert approve(town, wanted, show=True).item.id == item.id
    for wanted in ("9", "o/x#1", "zzzz", item.id[:3]):
        with pytest.raises(WorkItemNotFound):
            approve(town, wanted, show=True)
    with pytest.raises(MissionNotFound):
        stop(town, replace(one, id=new_id()))  # type: ignore[arg-type]
    stop(town, one, force=True)
    # What is over is looked through only when it is named.
    assert approve(town, "2", show=True).mission_id == two.id
    assert approve(town, "1", one.id, show=True).item.id == item.id


# Gates.


def test_the_text_of_a_stranger_is_approved_as_it_was_stored(town: Town, mission: Mission) -> None:
    set_item(town, mission, 1, needs_approval=True, tainted=True, author="eve")
    blocked = set_item(town, mission, 2, needs_approval=True, state=WorkItemState.BLOCKED, waits_for="approval")

    shown = approve(town, "1", show=True)
    assert shown.source is not None
    assert (shown.gate, shown.source.body, shown.item.needs_approval) == ("text", "the text of o/r#1", True)

    assert approve(town, "1").item == replace(
        item_of(town, mission, 1), needs_approval=False, tainted=True, state=WorkItemState.PENDING
    )
    after = approve(town, blocked.id[:8]).item
    assert (after.needs_approval, after.state, after.waits_for) == (False, WorkItemState.READY, None)
    with pytest.raises(Conflict, match="waits for nobody's approval"):
        approve(town, "1")


def test_the_conductor_reviews_but_approves_no_text_of_a_stranger(town: Town, mission: Mission, ada: Agent) -> None:
    set_item(town, mission, 2, needs_approval=True, author="eve")
    in_review(town, mission, 1, ada.id)
    town.caller = Caller("agent", SUPERVISOR_ID, "conductor", frozenset(Scope))

    with pytest.raises(Forbidden, match="Only a person approves the text of eve"):
        approve(town, "2")
    assert item_of(town, mission, 2).needs_approval
    assert approve(town, "1").item.waits_for == "merge"


def test_a_rejected_text_is_never_worked_on(town: Town, mission: Mission) -> None:
    set_item(town, mission, 1, needs_approval=True)

    after = reject(town, "1", "spam").item

    assert (after.state, after.reason) == (WorkItemState.FAILED, "a person rejected its text: spam")


def test_a_person_is_a_reviewer_and_relieves_the_agent_who_was_one(town: Town, mission: Mission, ada: Agent) -> None:
    bob = add(town, "bob")
    review = give(town, bob)
    in_review(town, mission, 1, ada.id, review.id)

    decided = approve(town, "1")

    assert (decided.gate, decided.item.waits_for, decided.item.approved_head) == ("review", "merge", "abc")
    assert run_sync(town.store.task(review.id)).state is TaskState.CANCELLED


def test_a_rejection_goes_back_to_the_owner_with_the_reason(town: Town, mission: Mission, ada: Agent) -> None:
    review = give(town, ada)
    in_review(town, mission, 1, ada.id, review.id)

    after = reject(town, "1", "The tests\nare missing").item

    assert (after.state, after.assigned_to, after.reason) == (
        WorkItemState.READY,
        ada.id,
        "a person asks for changes: The tests are missing",
    )
    assert run_sync(town.store.task(review.id)).state is TaskState.CANCELLED
    with pytest.raises(Invalid, match="The reason is empty"):
        reject(town, "1", " ")


def test_what_was_given_out_too_often_is_tried_again_when_a_person_says_so(town: Town, mission: Mission) -> None:
    set_item(
        town, mission, 1, state=WorkItemState.BLOCKED, waits_for="person", attempts=5, assigned_to=AgentId(new_id())
    )

    after = approve(town, "1").item

    # The number of attempts stays: the ids of its tasks are made of it, and must never come twice.
    assert (after.state, after.attempts, after.forgiven) == (WorkItemState.READY, 5, 5)
    lost = replace(after, state=WorkItemState.RUNNING, attempts=6)
    assert outcomes.work_lost(lost, times.now(), "it died").state is WorkItemState.READY
    often = outcomes.work_lost(replace(lost, attempts=10), times.now(), "it died")
    assert often.waits_for == "person"


def test_what_was_done_and_waits_for_a_person_is_accepted(town: Town, mission: Mission, ada: Agent) -> None:
    work = give(town, ada)
    run_sync(complete_task(town, TaskEnd(work.id, "done")))
    in_review(town, mission, 1, ada.id)
    stuck = {"waits_for": "person", "attempts": 5, "task_id": work.id, "state": WorkItemState.BLOCKED}
    set_item(town, mission, 1, **stuck, reason="o/r#41 could not be looked at 5 times")
    set_item(town, mission, 2, **stuck, reason="no review of it came to a verdict")

    merging, done = approve(town, "1").item, approve(town, "2").item

    assert (merging.waits_for, merging.approved_head, merging.forgiven) == ("merge", "abc", 5)
    assert done.state is WorkItemState.DONE


def test_what_is_ready_to_merge_can_be_approved_anew_or_sent_back(town: Town, mission: Mission, ada: Agent) -> None:
    in_review(town, mission, 1, ada.id)
    set_item(town, mission, 1, waits_for="merge", approved_head="older")

    assert approve(town, "1").item.approved_head == "abc"
    assert reject(town, "1").item.state is WorkItemState.READY


def test_a_review_that_is_gone_keeps_nobody_from_deciding(town: Town, mission: Mission, ada: Agent) -> None:
    in_review(town, mission, 1, ada.id, TaskId(new_id()))

    assert approve(town, "1").item.waits_for == "merge"


@pytest.mark.parametrize("operation", ["stop", "resume", "note", "approve", "reject"])
def test_an_agent_decides_nothing(town: Town, mission: Mission, ada: Agent, operation: str) -> None:
    alone = worker(town, ada)
    in_review(town, mission, 1, ada.id)
    run = {
        "stop": lambda: stop(alone, mission),
        "resume": lambda: resume(alone, mission),
        "note": lambda: run_sync(note_mission(alone, NoteMission("hi"))),
        "approve": lambda: approve(alone, "1"),
        "reject": lambda: reject(alone, "1"),
    }[operation]

    with pytest.raises(Forbidden):
        run()
