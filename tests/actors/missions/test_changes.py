"""What a mission changes at GitHub, and what it makes of a refusal or a lost answer."""

from __future__ import annotations

import json

import pytest
from github_server import START, FakeGitHub, Reply

from tinytown.actors.missions.github.changes import (
    SILENT_FOR,
    MergeOutcome,
    has_suites,
    merge,
    rerun_broken,
    update_branch,
)
from tinytown.actors.missions.github.client import GitHub
from tinytown.actors.missions.github.failures import GitHubDenied, GitHubFailed, GitHubLimited
from tinytown.actors.missions.references import reference_of
from tinytown.runtime.demo.forge import Pull

PULL = reference_of("o/r#2")
MERGE = "PUT /repos/o/r/pulls/2/merge"
MERGED = MergeOutcome("merged")


@pytest.fixture
def hub(hub: FakeGitHub) -> FakeGitHub:
    hub.issue("o/r#1")
    return hub


@pytest.fixture
def pull(hub: FakeGitHub) -> Pull:
    return hub.pull("o/r#2", body="Fixes #1")


def tries(hub: FakeGitHub) -> list[dict[str, str]]:
    return [json.loads(call.body) for call in hub.calls if call.path.endswith("/merge")]


@pytest.mark.parametrize(
    ("allowed", "asked", "used"),
    [
        ({"merge", "squash", "rebase"}, None, "squash"),
        ({"merge", "rebase"}, None, "merge"),
        ({"rebase"}, None, "rebase"),
        ({"merge", "squash"}, "merge", "merge"),
    ],
)
async def test_a_merge_names_the_head_and_a_method_that_is_allowed(
    hub: FakeGitHub, github: GitHub, pull: Pull, allowed: set[str], asked: str | None, used: str
) -> None:
    pull.repo.methods = allowed

    assert await merge(github, PULL, pull.head, asked) == MERGED

    assert tries(hub) == [{"sha": pull.head, "merge_method": used}]
    assert (pull.merged, hub.repo("o/r").issues[1].state) == (True, "closed")


async def test_a_token_that_is_not_told_the_methods_leaves_the_choice_to_github(
    hub: FakeGitHub, github: GitHub, pull: Pull
) -> None:
    hub.faults = [Reply(200, {"full_name": "o/r"})]

    assert await merge(github, PULL, pull.head) == MERGED

    assert tries(hub) == [{"sha": pull.head}]


@pytest.mark.parametrize("said", [Reply(200, raw=b""), Reply(200, []), Reply(200, {"merged": False})], ids=range(3))
async def test_what_does_not_say_that_it_has_merged_has_not(
    hub: FakeGitHub, github: GitHub, pull: Pull, said: Reply
) -> None:
    hub.refusals[MERGE] = said
    with pytest.raises(GitHubFailed, match="does not say that it has merged"):
        await merge(github, PULL, pull.head)

    hub.faults_after[MERGE] = said
    assert await merge(github, PULL, pull.head) == MERGED


async def test_what_was_pushed_since_is_not_merged(github: GitHub, pull: Pull) -> None:
    approved = pull.head
    pull.push()

    outcome = await merge(github, PULL, approved)

    assert outcome.result == "moved"
    assert "Head branch was modified" in str(outcome.reason)
    assert not pull.merged


async def test_a_refusal_comes_with_its_reason(hub: FakeGitHub, github: GitHub, pull: Pull) -> None:
    pull.repo.approvals = 1
    outcome = await merge(github, PULL, pull.head)
    assert outcome.result == "refused"
    assert "approving review is required" in str(outcome.reason)

    hub.faults_after[MERGE] = Reply(403, {"message": "Resource not accessible by personal access token"})
    outcome = await merge(github, PULL, pull.head)
    assert outcome.result == "refused"
    assert "not accessible" in str(outcome.reason)


@pytest.mark.parametrize(
    "lost", [Reply(502, {}), Reply(200, {"merged": True}, cut=True), Reply(200, raw=b"{"), Reply(500, {})]
)
async def test_a_merge_whose_answer_was_lost_is_found_done(
    hub: FakeGitHub, github: GitHub, pull: Pull, lost: Reply
) -> None:
    hub.faults_after[MERGE] = lost

    assert await merge(github, PULL, pull.head) == MERGED
    assert pull.merged
    # And who died before he could note it merges again, and finds the same.
    assert await merge(github, PULL, pull.head) == MERGED


async def test_a_merge_that_came_to_nothing_is_a_failure_that_may_be_tried_again(
    hub: FakeGitHub, github: GitHub, pull: Pull
) -> None:
    hub.faults = [Reply(200, {"allow_squash_merge": True}), *[Reply(502, {})] * 4]

    with pytest.raises(GitHubFailed):
        await merge(github, PULL, pull.head)
    assert await merge(github, PULL, pull.head) == MERGED


@pytest.mark.parametrize(
    ("fault", "error"),
    [(Reply(401, {}), GitHubDenied), (Reply(429, {}, {"Retry-After": "60"}), GitHubLimited)],
)
async def test_a_bad_token_and_a_limit_say_nothing_of_the_pull_request_and_nobody_waits(
    hub: FakeGitHub, github: GitHub, pull: Pull, fault: Reply, error: type[Exception]
) -> None:
    for change in (merge, update_branch):
        hub.faults = [Reply(200, {}), fault] if change is merge else [fault]
        with pytest.raises(error):
            await change(github, PULL, pull.head)
        hub.now += 61

    assert hub.slept == []


async def test_a_merge_may_use_the_reserve(hub: FakeGitHub, github: GitHub, pull: Pull) -> None:
    hub.remaining["core"] = 50
    await github.get("/repos/o/r/issues/1")

    assert await merge(github, PULL, pull.head) == MERGED


async def test_a_branch_that_is_behind_is_brought_up_to_date_if_nobody_pushed(github: GitHub, pull: Pull) -> None:
    pull.behind = True
    before = pull.head
    assert await update_branch(github, PULL, before) is None
    assert (pull.behind, pull.head != before) == (False, True)

    assert "expected head sha" in str(await update_branch(github, PULL, before))
    pull.conflicting = True
    assert "merge conflict" in str(await update_branch(github, PULL, pull.head))


async def test_what_broke_off_runs_again_and_what_failed_does_not(hub: FakeGitHub, github: GitHub, pull: Pull) -> None:
    for run, conclusion in enumerate(
        ["CANCELLED", "TIMED_OUT", "STARTUP_FAILURE", "STALE", "FAILURE", "SUCCESS", None]
    ):
        pull.check(f"job {run}", conclusion, run=run + 1)

    assert await rerun_broken(github, PULL, pull.head) == 4

    assert pull.repo.reruns == [1, 2, 3, 4]
    assert await rerun_broken(github, PULL, pull.head) == 0


async def test_a_run_without_a_failed_job_is_repeated_as_a_whole_and_one_that_may_not_be_is_left(
    hub: FakeGitHub, github: GitHub, pull: Pull
) -> None:
    for run in (1, 2, 3):
        pull.check(f"job {run}", "CANCELLED", run=run)
    for refused in ("1/rerun-failed-jobs", "2/rerun-failed-jobs", "2/rerun"):
        hub.refusals[f"POST /repos/o/r/actions/runs/{refused}"] = Reply(403, {"message": "cannot be retried"})

    assert await rerun_broken(github, PULL, pull.head) == 2

    assert pull.repo.reruns == [1, 3]


async def test_a_head_has_suites_when_something_checks_it(hub: FakeGitHub, github: GitHub, pull: Pull) -> None:
    assert not await has_suites(github, PULL, pull.head)

    pull.check("ci", None)
    assert await has_suites(github, PULL, pull.head)


async def test_a_suite_that_an_app_never_used_does_not_hold_up_a_merge_for_ever(
    hub: FakeGitHub, github: GitHub, pull: Pull
) -> None:
    pull.commit.suites = 1
    suites = f"/repos/o/r/commits/{pull.head}/check-suites?per_page=100"
    made = (await github.get(suites)).value
    assert await has_suites(github, PULL, pull.head)

    hub.now = START + SILENT_FOR + 1
    hub.faults = [Reply(200, made)]
    assert not await has_suites(github, PULL, pull.head)


async def test_suites_that_cannot_be_read_are_not_taken_for_none(hub: FakeGitHub, github: GitHub, pull: Pull) -> None:
    for fault, error in ((Reply(403, {}), GitHubDenied), (Reply(200, []), GitHubFailed)):
        hub.faults = [fault]
        with pytest.raises(error):
            await has_suites(github, PULL, pull.head)
