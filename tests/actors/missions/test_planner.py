"""What is to be done next, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest
from plans import NOW, agent, mission_of, planned, ticked

from tinytown.actors.missions import outcomes
from tinytown.actors.missions.actions import (
    AskFix,
    AskReview,
    AssignItem,
    MergePull,
    MoveMission,
    Plan,
    RerunChecks,
    UpdateBranch,
)
from tinytown.actors.missions.roles import Worker
from tinytown.ids import AgentId, TaskId, WorkItemId
from tinytown.lifecycle import MissionEvent, MissionState, WatchState, WorkItemEvent, WorkItemState
from tinytown.mission_records import EXTERNAL_GATE, Mission, Watch, WorkItem

FIRST = WorkItemId("item-1")


def assigned(plan: Plan) -> dict[int, str]:
    return {item.number: str(item.assigned_to) for item in plan.items if item.state is WorkItemState.ASSIGNED}


def in_review(plan: Plan, *, pull: str | None = "o/r#40", head: str | None = "aa") -> Plan:
    """The first item was done by `owner` and waits for its review."""
    item = replace(plan.item(FIRST), state=WorkItemState.ASSIGNED, assigned_to=AgentId("owner"), attempts=1)
    return plan.with_item(outcomes.work_ended(plan.mission, item, NOW, pull=pull, head=head))


def watched(plan: Plan, **fields: object) -> Plan:
    watch = Watch(plan.mission.id, FIRST, "pr_checks", "o/r#40", head="aa")
    return replace(plan, watches=(*plan.watches, replace(watch, **fields)))  # type: ignore[arg-type]


def fixes(plan: Plan, *team: Worker) -> list[AskFix]:
    """The repairs that are asked for; the item's owner is there, unless others are named."""
    team = team or (agent("owner", idle=False),)
    return [action for action in planned(plan, *team) if isinstance(action, AskFix)]


def test_the_first_tick_starts_what_depends_on_nothing_only() -> None:
    plan = ticked(mission_of({1: [], 2: [1], 3: [2]}), agent("backend"), agent("tester"))

    assert plan.mission.state is MissionState.RUNNING
    assert assigned(plan) == {1: "backend"}
    assert plan.item(FIRST).task_id is not None


def test_no_more_items_than_allowed_are_in_work_and_every_place_is_filled() -> None:
    plan = ticked(mission_of({1: [], 2: [], 3: [], 4: []}), *(agent(f"a{number}") for number in range(4)))

    assert assigned(plan) == {1: "a0", 2: "a1"}
    assert ticked(plan, agent("a3")) == plan


def test_priority_then_the_longest_chain_then_the_number_decides() -> None:
    plan = mission_of({1: [], 2: [], 3: [], 4: [3], 5: [4]}, Mission(max_parallel_items=1))
    assert assigned(ticked(plan, agent("a"))) == {3: "a"}

    plan = plan.with_item(replace(plan.item(WorkItemId("item-2")), priority=1))
    assert assigned(ticked(plan, agent("a"))) == {2: "a"}


@pytest.mark.parametrize(
    ("kind", "role", "chosen"),
    [
        ("design", None, "designer"),
        ("test", None, "tester"),
        ("implement", None, "backend"),
        ("implement", "tester", "tester"),
        ("implement", "FrontEnd", "backend"),
    ],
)
def test_an_item_goes_to_whose_role_fits(kind: str, role: str | None, chosen: str) -> None:
    plan = mission_of({1: []})
    plan = plan.with_item(replace(plan.item(FIRST), item_kind=kind, owner_role=role))
    team = [agent("designer"), agent("backend"), agent("tester"), agent("code-reviewer"), agent("latest-protest")]

    assert assigned(ticked(plan, *team)) == {1: chosen}


def test_the_one_with_less_to_do_is_chosen_and_nobody_who_is_busy() -> None:
    team = [agent("a", load=2), agent("b", load=1), agent("c", idle=False)]

    assert assigned(ticked(mission_of({1: []}), *team)) == {1: "b"}
    assert assigned(ticked(mission_of({1: []}), agent("c", idle=False))) == {}


def test_a_reviewer_is_kept_free_while_something_waits_for_review() -> None:
    plan = in_review(mission_of({1: [], 2: [], 3: []}))
    busy = [agent("owner", idle=False), agent("reviewer")]
    plan = ticked(plan, *busy)
    assert plan.item(FIRST).review_task_id is not None

    busy[1] = replace(busy[1], idle=False)
    assert assigned(ticked(plan, *busy, agent("reviewer-2"))) == {}
    assert assigned(ticked(plan, *busy, agent("reviewer-2"), agent("reviewer-3"))) == {2: "reviewer-2"}
    assert assigned(ticked(plan, *busy, agent("reviewer-2"), agent("backend"))) == {2: "backend"}


def test_a_review_is_asked_for_as_soon_as_a_reviewer_is_free_and_once_only() -> None:
    plan = ticked(in_review(mission_of({1: []})), agent("owner"), agent("reviewer", idle=False))
    assert plan.item(FIRST).review_task_id is None

    plan = ticked(plan, agent("owner"), agent("reviewer"))
    assert plan.item(FIRST).review_task_id is not None
    assert ticked(plan, agent("owner"), agent("reviewer"), agent("reviewer-2")) == plan


def test_in_a_town_without_reviewers_anybody_but_the_owner_reviews() -> None:
    plan = in_review(mission_of({1: []}))

    assert ticked(plan, agent("owner")).item(FIRST).review_task_id is None
    assert [a.agent for a in planned(plan, agent("owner"), agent("b")) if isinstance(a, AskReview)] == ["b"]


def test_a_rejected_review_goes_back_to_the_owner_and_at_last_to_a_person() -> None:
    plan = in_review(mission_of({1: []}))
    back = outcomes.reviewed(plan.item(FIRST), NOW, approved=False, head="aa", reason="no tests")
    assert (back.state, back.reason) == (WorkItemState.READY, "the review asks for changes: no tests")
    assert assigned(ticked(plan.with_item(back), agent("a"), agent("owner"))) == {1: "owner"}

    often = replace(plan.item(FIRST), attempts=outcomes.MOST_ATTEMPTS)
    assert outcomes.reviewed(often, NOW, approved=False, head="aa").waits_for == "person"


def test_an_approval_belongs_to_the_commit_it_was_given_for() -> None:
    plan = in_review(mission_of({1: []}))
    item = plan.item(FIRST)
    assert outcomes.reviewed(item, NOW, approved=True, head="old") == item

    approved = outcomes.reviewed(item, NOW, approved=True, head="aa")
    assert (approved.waits_for, approved.approved_head) == ("merge", "aa")

    pushed = outcomes.pushed(plan.mission, approved, NOW, "bb", "main")
    assert (pushed.waits_for, pushed.approved_head, pushed.review_task_id) == ("review", None, None)


def test_without_reviewers_wanted_an_item_without_a_pull_request_is_done_at_once() -> None:
    plan = mission_of({1: [], 2: [1]}, Mission(reviewer_required=False))
    plan = ticked(plan, agent("a"))
    plan = plan.with_item(outcomes.work_ended(plan.mission, plan.item(FIRST), NOW))

    assert plan.item(FIRST).state is WorkItemState.DONE
    assert assigned(ticked(plan, agent("a"))) == {2: "a"}


def test_where_no_review_is_wanted_an_approval_lets_it_be_merged_all_the_same() -> None:
    plan = in_review(mission_of({1: []}, Mission(reviewer_required=False, auto_merge=True)))
    plan = watched(plan, **GREEN)
    item = plan.item(FIRST)
    assert (item.waits_for, outcomes.reviewed(item, NOW, approved=True, head="old")) == ("merge", item)
    assert not [action for action in planned(plan) if isinstance(action, MergePull)]

    approved = plan.with_item(outcomes.reviewed(item, NOW, approved=True, head="aa"))

    assert [action.head for action in planned(approved) if isinstance(action, MergePull)] == ["aa"]


def test_a_pull_request_closed_unmerged_gives_the_item_out_again() -> None:
    item = outcomes.pull_closed(in_review(mission_of({1: []})).item(FIRST), NOW)

    assert (item.state, item.pull) == (WorkItemState.READY, None)


@pytest.mark.parametrize("state", WorkItemState)
def test_an_issue_that_somebody_closed_is_done_whatever_was_at_work_on_it(state: WorkItemState) -> None:
    item = replace(mission_of({1: []}).item(FIRST), state=state)

    after = outcomes.pull_merged(item, NOW)

    assert after.state is (state if state.is_terminal else WorkItemState.DONE)


def test_the_text_of_a_stranger_waits_for_a_person() -> None:
    plan = mission_of({1: []})
    plan = plan.with_item(replace(plan.item(FIRST), needs_approval=True, author="mallory"))

    held = ticked(plan, agent("a"))
    assert (held.item(FIRST).waits_for, held.mission.state) == ("approval", MissionState.BLOCKED)
    assert "mallory" in str(held.mission.reason)

    approved = held.with_item(replace(held.item(FIRST), needs_approval=False))
    after = ticked(approved, agent("a"))
    assert (assigned(after), after.mission.state) == ({1: "a"}, MissionState.RUNNING)


@pytest.mark.parametrize(
    ("state", "waits_for", "begins"),
    [
        (WatchState.ACTIVE, None, False),
        (WatchState.SNOOZED, None, False),
        (WatchState.DONE, None, True),
        (WatchState.FAILED, "dependency", False),
    ],
)
def test_something_outside_is_waited_for(state: WatchState, waits_for: str | None, begins: bool) -> None:
    plan = mission_of({1: [9]})
    plan = replace(plan, watches=(Watch(plan.mission.id, FIRST, EXTERNAL_GATE, "o/r#9", state=state),))

    after = ticked(plan, agent("a"))

    assert (after.item(FIRST).waits_for, bool(assigned(after))) == (waits_for, begins)
    assert after.mission.state is (MissionState.RUNNING if begins else MissionState.BLOCKED)


def test_what_nobody_knows_is_not_taken_for_satisfied() -> None:
    after = ticked(mission_of({1: [9]}), agent("a"))

    assert "o/r#9, which is unknown" in str(after.item(FIRST).reason)


def test_a_failed_item_holds_up_what_waits_for_it_and_nothing_else() -> None:
    plan = mission_of({1: [], 2: [1], 3: []})
    plan = plan.with_item(replace(plan.item(FIRST), state=WorkItemState.FAILED, reason="given up"))

    plan = ticked(plan, agent("a"))
    assert plan.item(WorkItemId("item-2")).waits_for == "dependency"
    assert assigned(plan) == {3: "a"}

    plan = plan.with_item(plan.item(WorkItemId("item-3")).after(WorkItemEvent.FINISH, NOW))
    plan = ticked(plan, agent("a"))
    assert (plan.mission.state, plan.mission.reason) == (MissionState.FAILED, "o/r#1 has failed: given up")


def test_a_red_head_is_mended_once_and_the_next_head_again() -> None:
    plan = watched(in_review(mission_of({1: []})), findings=("lint", "test"))

    after = ticked(plan, agent("owner", idle=False))
    (watch,) = after.watches
    assert watch.fix_task_id is not None
    assert ticked(after) == after

    ended = replace(after, watches=(replace(watch, fix_task_id=None),))
    assert not fixes(ended)
    moved = replace(ended, watches=(replace(watch, fix_task_id=None, head="bb"),))
    assert [fix.findings for fix in fixes(moved)] == [("lint", "test")]


def test_what_an_agent_that_is_gone_left_red_is_mended_by_another_who_is_free() -> None:
    plan = watched(in_review(mission_of({1: []})), findings=("lint",))

    assert not fixes(plan, agent("b", idle=False))
    assert [fix.agent for fix in fixes(plan, agent("reviewer"), agent("c"))] == ["c"]


def test_a_repair_that_was_given_back_is_asked_for_again_under_another_id() -> None:
    plan = ticked(watched(in_review(mission_of({1: []})), findings=("lint",)), agent("owner", idle=False))
    (watch,) = plan.watches
    lost = replace(watch, fix_task_id=None, handled=("lost/pr_checks/aa",))

    (again,) = fixes(replace(plan, watches=(lost,)))

    assert again.task != watch.fix_task_id


@pytest.mark.parametrize(
    ("result", "auto_merge", "waits_for", "kind"),
    [
        ("rerun", False, "review", RerunChecks),
        ("behind", True, "merge", UpdateBranch),
        ("behind", False, "merge", None),
        ("behind", True, "review", None),
        ("pending", True, "merge", None),
    ],
)
def test_a_pull_request_is_helped_once_a_head(
    result: str, auto_merge: bool, waits_for: str, kind: type[object] | None
) -> None:
    plan = watched(in_review(mission_of({1: []}, Mission(auto_merge=auto_merge))), last_result=result)
    plan = plan.with_item(replace(plan.item(FIRST), waits_for=waits_for))

    helped = [type(action) for action in planned(plan) if isinstance(action, RerunChecks | UpdateBranch)]

    assert helped == ([kind] if kind else [])
    assert not [each for each in planned(ticked(plan)) if isinstance(each, RerunChecks | UpdateBranch)]


def test_a_gate_that_cannot_be_read_holds_up_what_waits_for_it_with_the_reason() -> None:
    plan = mission_of({1: [9]})
    gate = Watch(plan.mission.id, FIRST, EXTERNAL_GATE, "o/r#9", findings=("unreadable",), last_result="is hidden")
    plan = ticked(replace(plan, watches=(gate,)))

    assert (plan.item(FIRST).waits_for, plan.item(FIRST).reason) == (
        "dependency",
        "it waits for o/r#9, which is hidden",
    )

    plan = plan.with_watch(replace(gate, state=WatchState.DONE, findings=()))
    assert plan.with_watch(plan.watches[0]) == plan
    assert ticked(plan, agent("a")).item(FIRST).state is WorkItemState.ASSIGNED


def test_each_open_thread_is_asked_about_once() -> None:
    plan = in_review(mission_of({1: []}))
    plan = watched(plan, watch_kind="review_comments", findings=("t1", "t2"), handled=("t1",))

    assert [fix.findings for fix in fixes(plan)] == [("t2",)]


def test_an_item_has_one_open_repair_whatever_is_wrong_with_it() -> None:
    plan = watched(in_review(mission_of({1: []})), findings=("lint",))
    plan = watched(plan, watch_kind="mergeability", findings=("conflict",))
    assert len(fixes(plan)) == 1

    plan = watched(plan, watch_kind="review_comments", fix_task_id=TaskId("t"))
    assert not fixes(plan)


GREEN = {"last_result": "green", "head": "aa"}


@pytest.mark.parametrize(
    ("changes", "watch", "merges"),
    [
        ({}, GREEN, True),
        ({"tainted": True}, GREEN, False),
        ({"head": "bb"}, GREEN, False),
        ({}, {**GREEN, "last_result": "pending"}, False),
        ({}, {**GREEN, "head": "old"}, False),
        ({}, None, False),
    ],
)
def test_only_what_is_approved_and_green_is_merged(
    changes: dict[str, object], watch: dict[str, object] | None, merges: bool
) -> None:
    plan = in_review(mission_of({1: []}, Mission(auto_merge=True)))
    item: WorkItem = replace(plan.item(FIRST), waits_for="merge", approved_head="aa", **changes)  # type: ignore[arg-type]
    plan = plan.with_item(item)
    plan = plan if watch is None else watched(plan, **watch)

    assert bool([action for action in planned(plan) if isinstance(action, MergePull)]) is merges
    by_hand = replace(plan, mission=replace(plan.mission, auto_merge=False))
    assert not [action for action in planned(by_hand) if isinstance(action, MergePull)]


def test_watches_on_a_pull_request_that_was_closed_hold_no_merge_up() -> None:
    plan = in_review(mission_of({1: []}, Mission(auto_merge=True)))
    plan = plan.with_item(replace(plan.item(FIRST), waits_for="merge", approved_head="aa"))
    plan = watched(plan, target="o/r#39", state=WatchState.FAILED, last_result="closed without being merged")

    assert not [action for action in planned(plan) if isinstance(action, MergePull)]
    (merge,) = [action for action in planned(watched(plan, **GREEN)) if isinstance(action, MergePull)]
    assert merge.pull == "o/r#40"


@pytest.mark.parametrize("state", [MissionState.STOPPED, MissionState.COMPLETED, MissionState.FAILED])
def test_a_mission_that_rests_stays_as_it_is(state: MissionState) -> None:
    assert planned(mission_of({1: []}, Mission(state=state)), agent("a")) == ()


def test_a_mission_is_completed_when_all_is_done() -> None:
    plan = mission_of({1: []})
    plan = plan.with_item(replace(plan.item(FIRST), state=WorkItemState.DONE))

    assert planned(plan) == (MoveMission(MissionEvent.START), MoveMission(MissionEvent.COMPLETE))


def test_the_same_action_makes_the_same_task() -> None:
    def task() -> list[str]:
        return [a.task for a in planned(mission_of({1: []}, MISSION), agent("a")) if isinstance(a, AssignItem)]

    assert task() == task() != []


def test_work_that_is_lost_too_often_goes_to_a_person() -> None:
    item = replace(mission_of({1: []}).item(FIRST), state=WorkItemState.RUNNING, attempts=1)

    assert outcomes.work_lost(item, NOW, "it died").state is WorkItemState.READY
    often = outcomes.work_lost(replace(item, attempts=outcomes.MOST_ATTEMPTS), NOW, "it died")
    assert (often.waits_for, often.reason) == ("person", "given out 5 times; last: it died")


def test_a_review_without_a_verdict_is_asked_for_again_and_at_last_a_person() -> None:
    plan = in_review(mission_of({1: []}))
    asked = ticked(plan, agent("b"))
    again = ticked(asked.with_item(outcomes.review_lost(asked.item(FIRST), NOW)), agent("b"))

    assert again.item(FIRST).review_task_id not in (None, asked.item(FIRST).review_task_id)
    assert outcomes.review_lost(replace(asked.item(FIRST), attempts=5), NOW).waits_for == "person"


MISSION = Mission()
