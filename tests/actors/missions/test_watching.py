"""What a look at a pull request says to its watches and its item."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from github_server import FakeGitHub, Reply
from plans import NOW, agent, mission_of, planned

from tinytown.actors.missions import outcomes
from tinytown.actors.missions.actions import AskFix
from tinytown.actors.missions.github.failures import GitHubFailed
from tinytown.actors.missions.github.looks import Looks, look
from tinytown.actors.missions.github.pulls import SLIM, Glance, Opinion, Pull, Said
from tinytown.actors.missions.github.queries import query
from tinytown.actors.missions.github.standing import standings
from tinytown.actors.missions.references import Reference, Repository, reference_of
from tinytown.actors.missions.watching import (
    BACKOFF,
    MOST_FAILURES,
    due,
    look_failed,
    look_limited,
    observed,
    watches_on,
)
from tinytown.ids import AgentId, WorkItemId
from tinytown.lifecycle import WatchState, WorkItemState
from tinytown.mission_records import GREEN, WATCH_KINDS, Mission, Watch, WorkItem
from tinytown.times import seconds_of, timestamp

HOME = Repository("github.com", "o", "r")
MISSION = Mission()
LATER = timestamp(seconds_of(NOW) + 180)


def item() -> WorkItem:
    one = mission_of({1: []}, MISSION).item(WorkItemId("item-1"))
    begun = replace(one, state=WorkItemState.RUNNING, assigned_to=AgentId("owner"), attempts=1)
    return outcomes.work_ended(MISSION, begun, NOW, pull="o/r#40", head="aa", base="main")


def pull(**more: Any) -> Pull:
    glance = Glance(
        Reference(HOME, 40),
        state="OPEN",
        head="aa",
        draft=False,
        mergeable="MERGEABLE",
        merge_state="CLEAN",
        review_decision=None,
        rollup="SUCCESS",
        updated_at=NOW,
        base="main",
    )
    parts = {name: more.pop(name) for name in list(more) if name in Glance.__slots__}
    made = Pull(replace(glance, **parts), "tt/x/1-y", False, "", "owner", (), (), (), ())
    return replace(made, **more)


def looked(
    seen: Pull, at: WorkItem | None = None, watches: tuple[Watch, ...] | None = None, **how: Any
) -> tuple[WorkItem, dict[str, Watch]]:
    at = at or item()
    after, found = observed(MISSION, at, watches or watches_on(MISSION, at, NOW), seen, how.pop("now", NOW), **how)
    return after, {watch.watch_kind: watch for watch in found}


def said(identity: str, author: str = "bob", *, bot: bool = False, still: bool = True) -> Said:
    return Said(identity, author, bot, "text", LATER, still, trusted=not bot)


def test_one_look_feeds_all_four_watches() -> None:
    after, watches = looked(pull())

    assert set(watches) == set(WATCH_KINDS)
    assert {watch.last_result for watch in watches.values()} == {GREEN}
    assert {(watch.head, watch.next_due_at, watch.state) for watch in watches.values()} == {
        ("aa", LATER, WatchState.ACTIVE)
    }
    assert after.waits_for == "review"


def test_watches_are_the_same_whenever_they_are_made() -> None:
    assert [watch.id for watch in watches_on(MISSION, item(), NOW)] == [
        watch.id for watch in watches_on(MISSION, item(), LATER)
    ]


@pytest.mark.parametrize(
    ("state", "item_state", "watch_state"),
    [("MERGED", WorkItemState.DONE, WatchState.DONE), ("CLOSED", WorkItemState.READY, WatchState.FAILED)],
)
def test_a_merge_or_a_close_ends_the_watches_whatever_the_checks_say(
    state: str, item_state: WorkItemState, watch_state: WatchState
) -> None:
    after, watches = looked(pull(state=state, rollup="FAILURE", checks=(("lint", "failed"),)))

    assert after.state is item_state
    assert {(watch.state, watch.findings) for watch in watches.values()} == {(watch_state, ())}
    assert observed(MISSION, after, tuple(watches.values()), pull(state=state), NOW)[1] == tuple(watches.values())


@pytest.mark.parametrize(
    ("rollup", "checks", "findings", "result"),
    [
        ("FAILURE", (("lint", "failed"), ("a", "failed"), ("b", "passed")), ("a", "lint"), "failing"),
        ("PENDING", (("test", "pending"),), (), "pending"),
        ("SUCCESS", (("old", "failed"), ("old", "passed")), (), GREEN),
        ("EXPECTED", (), (), "pending"),
        ("FAILURE", (("test", "again"),), (), "rerun"),
        (None, (), (), "no checks yet"),
    ],
)
def test_checks_are_green_only_when_github_says_so(
    rollup: str | None, checks: tuple[tuple[str, str], ...], findings: tuple[str, ...], result: str
) -> None:
    watch = looked(pull(rollup=rollup, checks=checks))[1]["pr_checks"]

    assert (watch.findings, watch.last_result) == (findings, result)


def test_no_checks_are_green_only_after_a_while_and_when_there_are_none_to_come() -> None:
    bare = pull(rollup=None)
    watches = tuple(looked(bare, no_suites=True)[1].values())
    assert {watch.last_result for watch in watches if watch.watch_kind == "pr_checks"} == {"no checks yet"}

    assert looked(bare, watches=watches, now=LATER)[1]["pr_checks"].last_result == "no checks yet"
    assert looked(bare, watches=watches, now=LATER, no_suites=True)[1]["pr_checks"].last_result == GREEN
    pushed = pull(rollup=None, head="bb")
    assert looked(pushed, watches=watches, now=LATER, no_suites=True)[1]["pr_checks"].last_result == "no checks yet"


def test_checks_that_broke_off_again_after_a_rerun_are_failures() -> None:
    broken = pull(rollup="FAILURE", checks=(("test", "again"),))
    watches = tuple(replace(watch, handled=("rerun/aa",)) for watch in looked(broken)[1].values())

    assert looked(broken, watches=watches)[1]["pr_checks"].findings == ("test",)


def test_threads_of_people_and_reports_of_bots_are_told_apart() -> None:
    threads = (said("t1"), said("t2", still=False), said("t3", "cursor", bot=True), said("t4", "cursor"))
    comments = (said("c1", "bugbot", bot=True), said("c2", "renovate", bot=True))

    watches = looked(pull(threads=threads, comments=comments))[1]

    # A person who calls himself like the bot is a person.
    assert watches["review_comments"].findings == ("t1", "t4")
    assert watches["bugbot_comments"].findings == ("t3", "c1")


def test_a_comment_of_a_bot_from_before_the_head_is_history() -> None:
    old = replace(said("c1", "bugbot", bot=True), at="2020-01-01T00:00:00Z")

    assert looked(pull(comments=(old, replace(old, at="?"))))[1]["bugbot_comments"].last_result == GREEN


@pytest.mark.parametrize(
    ("mergeable", "merge_state", "findings", "result"),
    [
        ("CONFLICTING", "DIRTY", ("conflict",), "conflict"),
        ("UNKNOWN", "UNKNOWN", (), "pending"),
        ("MERGEABLE", "BEHIND", (), "behind"),
        ("MERGEABLE", "UNSTABLE", (), "unstable"),
        ("MERGEABLE", "BLOCKED", (), "pending"),
        ("MERGEABLE", "DRAFT", (), "draft"),
        ("MERGEABLE", "HAS_HOOKS", (), GREEN),
    ],
)
def test_only_a_conflict_is_mended_and_the_rest_waits(
    mergeable: str, merge_state: str, findings: tuple[str, ...], result: str
) -> None:
    watch = looked(pull(mergeable=mergeable, merge_state=merge_state))[1]["mergeability"]

    assert (watch.findings, watch.last_result) == (findings, result)


def test_a_red_head_makes_one_repair_however_often_it_is_looked_at() -> None:
    red = pull(rollup="FAILURE", checks=(("lint", "failed"),))
    plan = mission_of({1: []}, MISSION).with_item(item())
    asked = []
    for _ in range(3):
        after, watches = observed(MISSION, plan.items[0], plan.watches or watches_on(MISSION, item(), NOW), red, NOW)
        plan = replace(plan.with_item(after), watches=watches)
        found = [action for action in planned(plan, agent("owner")) if isinstance(action, AskFix)]
        asked += found
        for fix in found:
            # The repair is asked for, and ends without a push.
            changed = {watch.id: watch for watch in plan.watches}[fix.watch]
            plan = plan.with_watch(replace(changed, handled=(*changed.handled, *fix.keys)))

    assert [fix.findings for fix in asked] == [("lint",)]


def test_a_person_approves_a_commit_and_never_his_own_work() -> None:
    assert looked(pull(opinions=(Opinion("bob", "APPROVED", "aa"),)))[0].waits_for == "merge"
    assert looked(pull(opinions=(Opinion("bob", "APPROVED", "old"),)))[0].waits_for == "review"
    assert looked(pull(opinions=(Opinion("owner", "APPROVED", "aa"),)))[0].waits_for == "review"
    both = (Opinion("bob", "APPROVED", "aa"), Opinion("eve", "CHANGES_REQUESTED", "aa"))
    assert looked(pull(opinions=both))[0].state is WorkItemState.READY


def test_a_change_that_is_asked_for_late_undoes_an_approval() -> None:
    approved = looked(pull(opinions=(Opinion("bob", "APPROVED", "aa"),)))[0]

    after = looked(pull(opinions=(Opinion("eve", "CHANGES_REQUESTED", "aa"),)), approved)[0]

    assert (after.state, after.approved_head) == (WorkItemState.READY, None)
    assert "eve asks for changes" in str(after.reason)


def test_a_push_lets_an_approval_lapse() -> None:
    approved = looked(pull(opinions=(Opinion("bob", "APPROVED", "aa"),)))[0]

    after, watches = looked(pull(head="bb", opinions=(Opinion("bob", "APPROVED", "aa"),)), approved)

    assert (after.waits_for, after.head, after.approved_head) == ("review", "bb", None)
    assert {watch.head for watch in watches.values()} == {"bb"}


def test_looks_that_fail_are_spaced_out_and_at_last_a_person_is_asked() -> None:
    before = at = item()
    (watch, *_) = watches_on(MISSION, at, NOW)
    waits = []
    for _ in range(MOST_FAILURES):
        assert at == before
        at, watch = look_failed(at, watch, NOW, "status 502")
        waits.append(seconds_of(watch.next_due_at) - seconds_of(NOW))

    assert waits == [*BACKOFF, BACKOFF[-1], BACKOFF[-1]]
    assert (at.state, at.waits_for) == (WorkItemState.BLOCKED, "person")
    assert "could not be looked at 5 times; last: status 502" in str(at.reason)


def test_a_limit_is_a_wait_and_no_failure() -> None:
    (watch, *_) = watches_on(MISSION, item(), NOW)
    held = look_limited(watch, seconds_of(LATER))

    assert held.failures == 0
    assert due([held], NOW) == []
    assert due([held], LATER) == [held]


def test_what_began_at_different_times_is_looked_at_together() -> None:
    early, late, _, over = watches_on(MISSION, item(), NOW)
    late = replace(late, next_due_at=LATER)
    over = replace(over, state=WatchState.DONE)

    assert due([early, late, over], NOW) == [early, late]
    assert due([late, over], NOW) == []


@pytest.fixture
def hub(hub: FakeGitHub) -> FakeGitHub:
    for number in range(1, 101):
        hub.pull(f"o/r#{number}")
    return hub


def opened_one_after_the_other() -> list[Watch]:
    """A watch on each of a hundred pull requests, each begun at another moment of an interval."""
    return [
        replace(
            watches_on(MISSION, replace(item(), pull=f"o/r#{number}"), NOW)[0],
            next_due_at=timestamp(seconds_of(NOW) + number * 1.8),
        )
        for number in range(1, 101)
    ]


async def an_hour_of(hub: FakeGitHub, changing: int) -> tuple[int, int]:
    """The points and the requests of an hour, in which so many change from one look to the next."""
    watches, looks = opened_one_after_the_other(), Looks()
    issues = [Reference(Repository("github.com", "o", "issues"), number) for number in range(1, 101)]
    begun, turn = seconds_of(NOW) + 180, 0
    async with hub.client() as github:
        while (at := min(seconds_of(watch.next_due_at) for watch in watches)) < begun + 3600:
            if at >= begun and turn == 0:
                hub.points, hub.calls = 0, []
            wanted = due(watches, timestamp(at))
            for number in range(changing if at >= begun else 0):
                hub.repo("o/r").pulls[(turn * changing + number) % 100 + 1].push()
            turn += at >= begun
            await look(github, [reference_of(watch.target) for watch in wanted], looks, at)
            await standings(github, issues)
            hub.now = at
            later = timestamp(at + 180)
            watches = [replace(watch, next_due_at=later) if watch in wanted else watch for watch in watches]
    return hub.points, len(hub.calls)


@pytest.mark.parametrize(("changing", "most"), [(0, 300), (10, 400), (100, 1200)])
async def test_a_hundred_open_pull_requests_stay_within_the_budget(hub: FakeGitHub, changing: int, most: int) -> None:
    for number in range(1, 101):
        hub.issue(f"o/issues#{number}")

    points, requests = await an_hour_of(hub, changing)

    assert points <= most
    assert requests <= 20 * 6 + 12


async def test_what_has_not_changed_is_not_asked_for_again_and_known_all_the_same(hub: FakeGitHub) -> None:
    references = [Reference(HOME, 1), Reference(HOME, 2)]
    looks = Looks()
    async with hub.client() as github:
        first = await look(github, references, looks, 0.0)
        hub.points = 0
        assert await look(github, references, looks, 180.0) == first
        assert hub.points == 1
        hub.repo("o/r").pulls[2].push()
        second = await look(github, references, looks, 360.0)
        assert second[references[0]] == first[references[0]]
        assert second[references[1]] != first[references[1]]
        hub.points = 0
        assert len(await look(github, references, looks, 900.0)) == 2
        assert hub.points == 2


async def test_a_look_that_fails_half_way_is_taken_again(hub: FakeGitHub) -> None:
    looks = Looks()
    async with hub.client() as github:
        glance, _ = hub.forge.ask(query([Reference(HOME, 1)], SLIM))
        hub.faults = [Reply(200, glance), *[Reply(502, {})] * 4]
        with pytest.raises(GitHubFailed):
            await look(github, [Reference(HOME, 1)], looks, 0.0)
        assert len(await look(github, [Reference(HOME, 1)], looks, 1.0)) == 1
