"""Why a mission does not get on: one sentence with the fact that blocks, for every fact there is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mission_parts import begun, in_review, item_of, set_item, set_watches
from runtime_parts import add, move, place

from tinytown import times
from tinytown.actors.missions.reconcile import workers
from tinytown.errors import AmbiguousId, BadMessage, Invalid, NotFound, WorkItemNotFound
from tinytown.ids import AgentId, MissionId, TaskId, WorkItemId, short
from tinytown.lifecycle import AgentEvent, AgentState, MissionState, TaskState, WatchState, WorkItemState
from tinytown.mission_records import EXTERNAL_GATE, GREEN, Mission, Watch, WorkItem
from tinytown.records import Agent, Task
from tinytown.runtime.operations.missions.reasons import MissionFact, MissionSituation, of_item, of_mission
from tinytown.runtime.operations.missions.showing import (
    ListMissions,
    MissionEvents,
    ShowMission,
    WhyMission,
    list_missions,
    mission_events,
    show_mission,
    why_mission,
)
from tinytown.runtime.operations.missions.steering import StopMission, stop_mission
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync

NOW = 1_800_000_000.0
SOON = times.timestamp(NOW + 120)
MISSION = Mission(MissionId("11111111-0000-4000-8000-000000000000"), MissionState.RUNNING, home="github.com/o/r")
ADA = Agent(name="ada", cli="any", id=AgentId("ada-id"), state=AgentState.IDLE)
BOB = Agent(name="bob", cli="any", id=AgentId("bob-id"), state=AgentState.WORKING)
SPENT = Agent(name="cid", cli="any", id=AgentId("cid-id"), state=AgentState.STOPPED, rounds_completed=10)
REVIEWER = Agent(name="reviewer", cli="any", id=AgentId("rev-id"), state=AgentState.IDLE)
TASK = Task("review it", TaskId("task-1"), assigned_to=REVIEWER.id)

_I = WorkItemState
_F = MissionFact


def item(number: int = 23, state: WorkItemState = _I.PENDING, *on: str, **more: object) -> WorkItem:
    edges = tuple({"on": each, "source": "body"} for each in on)
    key = f"o/r#{number}"
    return WorkItem(
        MISSION.id,
        f"item {number}",
        "implement",
        WorkItemId(f"item-{number}"),
        key,
        number,
        state,
        edges=edges,
        source_ref=key,
        **more,  # type: ignore[arg-type]
    )


def watch(kind: str = "pr_checks", target: str = "o/r#42", **more: object) -> Watch:
    given: dict[str, object] = {"next_due_at": SOON, **more}
    return Watch(MISSION.id, WorkItemId("item-23"), kind, target, **given)  # type: ignore[arg-type]


def situation(*items: WorkItem, **more: object) -> MissionSituation:
    known: dict[str, object] = {"watches": (), "agents": (ADA, BOB), "now": NOW, "mission": MISSION, **more}
    known["workers"] = workers(known["agents"], ())  # type: ignore[arg-type]
    return MissionSituation(items=items, **known)  # type: ignore[arg-type]


REVIEW = item(state=_I.BLOCKED, waits_for="review", assigned_to=ADA.id, pull="o/r#42")
MERGE = replace(REVIEW, waits_for="merge", head="abc", approved_head="abc")
AUTO = {"mission": replace(MISSION, auto_merge=True)}
ALL_GREEN = watch(last_result=GREEN)
GATED = item(23, _I.PENDING, "a/b#9")


@pytest.mark.parametrize(
    ("items", "more", "fact", "words"),
    [
        ([item(state=_I.DONE, reason="the issue is closed")], {}, _F.OVER, "is done: the issue is closed"),
        ([item(state=_I.FAILED, reason="spam")], {}, _F.OVER, "has failed: spam"),
        (
            [item()],
            {"mission": replace(MISSION, state=MissionState.STOPPED, reason="stopped by a person")},
            _F.STOPPED,
            "waits: its mission is stopped (stopped by a person)",
        ),
        ([item()], {"runtimes": 0}, _F.NO_RUNTIME, "waits: its mission needs a runtime, and none is alive"),
        (
            [item(23, _I.PENDING, "o/r#24"), item(24, _I.RUNNING, assigned_to=BOB.id)],
            {},
            _F.DEPENDENCY,
            "waits for Issue #24 (running → bob; said by its text)",
        ),
        ([item(23, _I.PENDING, "o/r#24"), item(24, _I.DONE)], {}, _F.SOON, "begins with the next look"),
        ([GATED], {}, _F.GATE, "waits for a/b#9 (outside the mission: not looked at yet; said by its text)"),
        (
            [GATED],
            {"watches": (watch(EXTERNAL_GATE, "a/b#9", last_result="open"),)},
            _F.GATE,
            "waits for a/b#9 (outside the mission: open; said by its text)",
        ),
        ([GATED], {"watches": (watch(EXTERNAL_GATE, "a/b#9", state=WatchState.DONE),)}, _F.SOON, "begins with"),
        (
            [item(state=_I.READY), item(24, _I.RUNNING), item(25, _I.ASSIGNED)],
            {},
            _F.NO_PLACE,
            "waits for one of the 2 places: Issue #24, Issue #25 in work",
        ),
        ([item(state=_I.READY)], {"agents": ()}, _F.NO_AGENT, "waits for an agent, and none is alive"),
        (
            [item(state=_I.READY)],
            {"agents": (replace(BOB, state=AgentState.ERROR),)},
            _F.NO_AGENT,
            "and none is alive: 'bob' is in error",
        ),
        ([item(state=_I.READY)], {"agents": (SPENT,)}, _F.NO_AGENT, "none is alive: 'cid' has used up its rounds"),
        ([REVIEW], {"agents": (ADA, SPENT)}, _F.NO_REVIEWER, "no agent but its own is alive: 'cid' has used up"),
        ([item(state=_I.READY)], {"agents": (BOB,)}, _F.AGENTS_BUSY, "waits for an agent, and all are busy: bob"),
        (
            [item(state=_I.READY), replace(REVIEW, id=WorkItemId("other"), number=30, key="o/r#30")],
            {"agents": (REVIEWER, BOB)},
            _F.AGENTS_BUSY,
            "'reviewer' is kept free for a review",
        ),
        ([item(state=_I.READY)], {}, _F.SOON, "is given out with the next look"),
        ([item(state=_I.READY, reason="it died")], {}, _F.SOON, "is given out again: it died"),
        ([item(state=_I.RUNNING, assigned_to=BOB.id)], {}, _F.IN_WORK, "is worked on by 'bob'"),
        ([item(state=_I.ASSIGNED, assigned_to=ADA.id)], {}, _F.IN_WORK, "is with 'ada', who has not begun"),
        (
            [item(state=_I.RUNNING, assigned_to=BOB.id, task_id=TASK.id)],
            {"tasks": {TASK.id: replace(TASK, state=TaskState.COMPLETED)}},
            _F.LOOKED_FOR,
            "is reported as done by 'bob'; its pull request is looked for",
        ),
        (
            [item(state=_I.RUNNING, assigned_to=BOB.id)],
            {"agents": (replace(BOB, state=AgentState.PAUSED),)},
            _F.IN_WORK,
            "is with 'bob', which is paused",
        ),
        (
            [item(state=_I.RUNNING, assigned_to=BOB.id)],
            {"agents": (replace(BOB, state=AgentState.ERROR),)},
            _F.AGENT_ENDED,
            "is with 'bob', which is in error",
        ),
        ([item(state=_I.RUNNING, assigned_to=AgentId("gone"))], {}, _F.AGENT_ENDED, "is with 'gone', which is gone"),
        (
            [item(state=_I.BLOCKED, waits_for="dependency", reason="it waits for a/b#9, which is unknown")],
            {},
            _F.DEPENDENCY,
            "is blocked: it waits for a/b#9, which is unknown",
        ),
        (
            [item(state=_I.BLOCKED, waits_for="approval", needs_approval=True, author="eve")],
            {},
            _F.APPROVAL,
            "waits for your approval: eve, who wrote it, is no member of its repository",
        ),
        ([item(state=_I.BLOCKED, waits_for="person", reason="given out 5 times")], {}, _F.PERSON, "waits for a person"),
        (
            [replace(REVIEW, review_task_id=TASK.id)],
            {"agents": (ADA, REVIEWER), "tasks": {TASK.id: TASK}},
            _F.IN_REVIEW,
            "waits for the review of o/r#42 by 'reviewer'",
        ),
        ([REVIEW], {"agents": (ADA,)}, _F.NO_REVIEWER, "no agent but its own is alive"),
        ([REVIEW], {}, _F.REVIEW, "waits for a review of o/r#42; who may do it is busy: bob"),
        ([REVIEW], {"agents": (ADA, REVIEWER)}, _F.REVIEW, "waits for a review of o/r#42, asked for with the next"),
        (
            [MERGE],
            {"watches": (watch(failures=3, last_result="GitHub did not answer"),)},
            _F.LOOK_FAILS,
            "waits: o/r#42 could not be looked at (3 x; GitHub did not answer), looked at again in 120s",
        ),
        (
            [MERGE],
            {"watches": (watch(next_due_at=times.timestamp(NOW + 1800)),)},
            _F.LIMITED,
            "waits: GitHub limits our requests until 08:30 UTC",
        ),
        (
            [MERGE],
            {
                "watches": (watch(findings=("lint", "test"), fix_task_id=TASK.id, last_result="failing"),),
                "agents": (ADA, REVIEWER),
                "tasks": {TASK.id: TASK},
            },
            _F.REPAIR,
            "waits for a repair of o/r#42: its checks fail (lint, test); 'reviewer' mends it",
        ),
        (
            [MERGE],
            {"watches": (watch(last_result=GREEN), watch("mergeability", last_result="behind"))},
            _F.CHECKS,
            "waits for o/r#42: Merge is behind, looked at again in 120s",
        ),
        (
            [MERGE],
            {"watches": (watch(last_result=GREEN),)},
            _F.MERGE,
            "is ready: it waits for somebody to merge o/r#42",
        ),
        (
            [MERGE],
            {"watches": (watch(last_result=GREEN),), **AUTO},
            _F.MERGE,
            "is ready: o/r#42 is merged with the next",
        ),
        ([replace(MERGE, approved_head="old")], AUTO, _F.MERGE, "waits for an approval of the last commit of o/r#42"),
        ([replace(MERGE, tainted=True)], AUTO, _F.MERGE, "waits for you to merge o/r#42: a stranger wrote"),
    ],
)
def test_a_sentence_names_what_holds_an_item(
    items: list[WorkItem], more: dict[str, object], fact: MissionFact, words: str
) -> None:
    reason = of_item(situation(*items, **more), items[0])

    assert reason.fact is fact
    assert words in reason.predicate


def test_what_moves_is_said_of_a_mission_before_what_waits() -> None:
    waiting = item(23, _I.BLOCKED, waits_for="approval", needs_approval=True, author="eve")
    moving = item(24, _I.RUNNING, assigned_to=BOB.id)

    assert of_mission(situation(waiting, moving)).predicate == "goes on (0 of 2 done): Issue #24 is worked on by 'bob'"
    assert "Issue #23 waits for your approval" in of_mission(situation(waiting, item(25, _I.DONE))).predicate
    assert of_mission(situation(item(25, _I.DONE))).fact is MissionFact.SOON
    for state, words in (
        (MissionState.COMPLETED, "is completed"),
        (MissionState.FAILED, "has failed: no reason given"),
    ):
        assert of_mission(situation(moving, mission=replace(MISSION, state=state))).predicate == words


# In a real town.


def test_a_mission_is_shown_with_all_that_belongs_to_it(town: Town) -> None:
    ada = add(town, "ada")
    mission = begun(town, {1: [], 2: [1]})
    set_item(town, mission, 1, state=_I.RUNNING, assigned_to=ada.id)
    one = item_of(town, mission, 1)
    set_watches(town, mission, Watch(mission.id, one.id, "pr_checks", "o/r#41"))
    place(town, ada)
    move(town, ada, AgentEvent.READY, AgentEvent.BEGIN)

    view = run_sync(show_mission(town, ShowMission(short(mission.id))))

    first, second = view.items
    assert (first.label, first.agent_name, first.why) == ("Issue #1", "ada", "is worked on by 'ada'")
    assert (second.depends_on, second.fact) == (("o/r#1",), MissionFact.DEPENDENCY)
    assert second.why == "waits for Issue #1 (running → ada; said by its text)"
    assert view.why == "goes on (0 of 2 done): Issue #1 is worked on by 'ada'"
    assert (view.watches[0].watch.target, view.watches[0].limited) == ("o/r#41", False)


def test_missions_are_listed_with_how_far_they_are(town: Town) -> None:
    old, new = begun(town, {1: []}), begun(town, {2: [], 3: [], 4: [], 5: []})
    set_item(town, new, 2, state=_I.DONE)
    set_item(town, new, 3, state=_I.ASSIGNED)
    in_review(town, new, 4, AgentId("somebody"))
    run_sync(stop_mission(town, StopMission(old.id, force=True)))

    (only,) = run_sync(list_missions(town, ListMissions())).missions
    assert (only.mission.id, only.items, only.done, only.in_work, only.blocked) == (new.id, 4, 1, 1, 1)
    assert len(run_sync(list_missions(town, ListMissions(everything=True))).missions) == 2

    run_sync(town.connection.execute("HSET", town.keys("mission_work", new.id), "x", "{"))
    found = run_sync(list_missions(town, ListMissions()))
    assert (found.missions, found.damaged) == ((), (new.id,))
    with pytest.raises(BadMessage):
        run_sync(show_mission(town, ShowMission(new.id)))


def test_a_person_asks_about_an_item_or_a_mission(town: Town) -> None:
    with pytest.raises(NotFound, match="There is no mission"):
        run_sync(why_mission(town, WhyMission()))
    mission = begun(town, {1: [], 2: [1]})
    place(town, add(town, "ada"))

    about = run_sync(why_mission(town, WhyMission("2")))
    assert about.sentence == "Issue #2 waits for Issue #1 (pending; said by its text)."
    assert about.item_id == item_of(town, mission, 2).id
    for asked in (WhyMission(), WhyMission(short(mission.id)), WhyMission(mission=mission.id)):
        answer = run_sync(why_mission(town, asked))
        assert answer.item_id is None
        assert answer.sentence.startswith(f"Mission {short(mission.id)} goes on (0 of 2 done): Issue #1 begins with")
    with pytest.raises(WorkItemNotFound):
        run_sync(why_mission(town, WhyMission("9")))
    begun(town, {3: []})
    with pytest.raises(AmbiguousId):
        run_sync(why_mission(town, WhyMission()))


def test_the_events_of_a_mission_are_its_own(town: Town) -> None:
    mission, other = begun(town, {1: []}), begun(town, {2: []})
    run_sync(stop_mission(town, StopMission(other.id)))

    assert run_sync(mission_events(town, MissionEvents(mission.id))).events == ()
    assert [each.type for each in run_sync(mission_events(town, MissionEvents(other.id, 1))).events] == [
        "mission.stopped"
    ]
    with pytest.raises(AmbiguousId):
        run_sync(mission_events(town, MissionEvents()))
    run_sync(stop_mission(town, StopMission(other.id, force=True)))
    assert run_sync(mission_events(town, MissionEvents())).mission_id == mission.id
    for count in (0, 101):
        with pytest.raises(Invalid):
            run_sync(mission_events(town, MissionEvents(mission.id, count)))
