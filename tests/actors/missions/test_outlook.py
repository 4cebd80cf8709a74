"""A mission with a GitHub: what is seen there, what is done there, and what a GitHub that fails changes: nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from course import Course
from github_server import Reply

from tinytown.lifecycle import MissionState, TaskState, WatchState, WorkItemState
from tinytown.mission_records import GREEN


async def test_a_pull_request_is_found_reviewed_and_its_merge_makes_the_item_done(course: Course) -> None:
    await course.begin(1)
    await course.on()
    (work,) = await course.open_tasks()
    assert "What to do" in work.description

    await course.does()
    item = await course.item()
    assert (item.pull, item.waits_for, item.state) == ("o/r#40", "review", WorkItemState.BLOCKED)
    (review,) = await course.open_tasks("Review")
    assert f"commit {item.head}" in review.description

    await course.approve()
    assert (await course.item()).waits_for == "merge"

    course.hub.repo("o/r").pulls[40].merge()
    await course.on(passes=181)
    seen = await course.see()
    assert (seen.items[0].state, seen.mission.state) == (WorkItemState.DONE, MissionState.COMPLETED)
    assert {watch.state for watch in seen.watches} == {WatchState.DONE}


@pytest.mark.parametrize("refusal", [None, Reply(404, {"message": "Not Found"})], ids=["graphql", "rest"])
async def test_with_auto_merge_what_is_green_and_approved_is_merged_with_the_head_that_was_approved(
    course: Course, refusal: Reply | None
) -> None:
    course.hub.graphql_refusal = refusal
    pull = await course.with_pull(auto_merge=True)
    pull.check("test")
    await course.on(passes=181)
    assert not pull.merged

    await course.approve()
    await course.on(passes=181)

    assert pull.merged
    assert (await course.see()).mission.state is MissionState.COMPLETED
    merges = [call for call in course.hub.calls if call.method == "PUT"]
    assert len(merges) == 1
    assert pull.head.encode() in merges[0].body


async def test_no_checks_yet_are_not_green_and_a_repository_without_any_is_in_time(course: Course) -> None:
    await course.begin(1, auto_merge=True)
    await course.on()
    await course.does()
    await course.approve()
    await course.on()
    pull = course.hub.repo("o/r").pulls[40]
    assert not pull.merged

    await course.on(passes=181)
    assert pull.merged


async def test_a_push_takes_the_approval_back_and_the_open_review_with_it(course: Course) -> None:
    pull = await course.with_pull()
    (old,) = await course.open_tasks("Review")
    pull.push()
    await course.on(passes=181)

    assert (await course.town.store.task(old.id)).state is TaskState.CANCELLED
    (new,) = await course.open_tasks("Review")
    assert pull.head in new.description

    await course.approve()
    assert (await course.item()).waits_for == "merge"
    pull.push()
    await course.on(passes=181)
    assert (await course.item()).waits_for == "review"


async def test_a_failing_check_is_mended_once_a_head(course: Course) -> None:
    pull = await course.with_pull()
    pull.check("lint", "FAILURE")
    await course.on(passes=181)
    (fix,) = await course.open_tasks("Repair")
    assert "- lint" in fix.description
    await course.on(passes=181)
    assert len(await course.open_tasks("Repair")) == 1

    pull.push()
    pull.check("lint")
    await course.end("Repair", lambda task: task.complete("mended"))
    await course.on()
    assert not await course.open_tasks("Repair")
    checks = next(watch for watch in (await course.see()).watches if watch.watch_kind == "pr_checks")
    assert checks.last_result == GREEN


async def test_a_thread_is_told_in_its_own_words_and_a_conflict_makes_one_rebase(course: Course) -> None:
    pull = await course.with_pull()
    course.hub.now += 5
    pull.thread("carla", "This leaks a file", path="src/x.py")
    await course.on(passes=181)
    (fix,) = await course.open_tasks("Repair")
    assert "carla on src/x.py: This leaks a file" in fix.description
    pull.threads[0].resolved = True
    pull.conflicting = True
    pull.touch()
    await course.end("Repair", lambda task: task.complete("answered"))
    await course.on()
    await course.on(passes=181)

    (rebase,) = await course.open_tasks("Repair")
    assert "Rebase" in rebase.description


async def test_checks_that_broke_off_are_run_again_once_and_then_mended(course: Course) -> None:
    pull = await course.with_pull()
    pull.check("ci", "TIMED_OUT", run=77)
    await course.on(passes=181)
    assert course.hub.repo("o/r").reruns == [77]
    assert not await course.open_tasks("Repair")

    pull.check("ci", "TIMED_OUT", run=77)
    await course.on(passes=181)
    assert course.hub.repo("o/r").reruns == [77]
    assert await course.open_tasks("Repair")


async def test_a_pull_request_that_is_closed_goes_back_to_its_agent(course: Course) -> None:
    await course.begin(1)
    await course.on()
    await course.does()
    course.hub.repo("o/r").pulls[40].close()
    await course.on(passes=181)

    item = await course.item()
    assert (item.state, item.attempts, item.pull) == (WorkItemState.ASSIGNED, 2, None)
    (work,) = await course.open_tasks("Design")
    assert "closed without being merged" in work.description


@pytest.mark.parametrize("again", [True, False], ids=["opened again", "another one"])
async def test_after_a_pull_request_was_closed_there_may_be_one_that_is_merged(course: Course, again: bool) -> None:
    await course.begin(1, auto_merge=True)
    await course.on()
    await course.does()
    repo = course.hub.repo("o/r")
    repo.pulls[40].close()
    await course.on(passes=181)
    if again:
        repo.pulls[40].state = "open"
    await course.does(pull=40 if again else 41)
    pull = repo.pulls[40 if again else 41]
    pull.check("test")
    await course.approve()
    await course.on(passes=181)

    assert pull.merged
    assert (await course.item()).state is WorkItemState.DONE


async def test_an_issue_that_somebody_closes_is_done_and_its_task_cancelled(course: Course) -> None:
    await course.begin(1)
    await course.on()
    (work,) = await course.open_tasks()
    course.hub.repo("o/r").issues[1].close("not_planned")
    await course.on(passes=181)

    item = await course.item()
    assert (item.state, item.reason) == (WorkItemState.DONE, "its issue was closed as not planned")
    assert (await course.town.store.task(work.id)).state is TaskState.CANCELLED


async def test_what_is_outside_the_mission_is_waited_for(course: Course) -> None:
    course.hub.issue("o/r#2", body="Depends on #9 and #10")
    course.hub.issue("o/r#9")
    course.hub.issue("o/r#10", state="closed")
    await course.begin(2)
    await course.on()
    assert (await course.item(2)).state is WorkItemState.PENDING

    course.hub.repo("o/r").issues[9].close()
    await course.on(passes=181)
    assert (await course.item(2)).state is WorkItemState.ASSIGNED


async def test_what_cannot_be_read_is_never_taken_for_satisfied(course: Course) -> None:
    course.hub.issue("o/r#2", body="Blocked by secret/repo#5")
    await course.begin(2)
    await course.on()

    item = await course.item(2)
    assert (item.state, item.waits_for) == (WorkItemState.BLOCKED, "dependency")
    assert "secret/repo#5, which cannot be read" in str(item.reason)


FAILURES = {
    "5xx": [Reply(502, {})] * 4,
    "half an answer": [Reply(200, {"data": {}}, cut=True)] * 4,
    "no JSON": [Reply(200, raw=b"<html>")] * 4,
    "no token": [Reply(401, {"message": "Bad credentials"})],
    "not allowed": [Reply(403, {"message": "Resource not accessible"})],
    "a limit": [Reply(403, {"message": "rate limit"}, {"Retry-After": "60"})],
}


@pytest.mark.parametrize("fault", FAILURES)
async def test_a_look_that_fails_changes_no_state(course: Course, fault: str) -> None:
    await course.begin(1)
    await course.on()
    await course.does()
    before = await course.see()

    for _ in range(3):
        course.hub.faults = list(FAILURES[fault]) * 4
        await course.on(passes=400)
    course.hub.faults = []

    after = await course.see()
    assert after.items == before.items
    assert after.mission == replace(before.mission, revision=after.mission.revision)
    assert {watch.state for watch in after.watches} == {WatchState.ACTIVE}
    course.hub.repo("o/r").pulls[40].merge()
    await course.on(passes=4000)
    assert (await course.item()).state is WorkItemState.DONE


async def test_work_whose_pull_request_cannot_be_looked_for_waits_and_in_the_end_for_a_person(course: Course) -> None:
    await course.begin(1)
    await course.on()
    (work,) = await course.open_tasks()
    course.hub.faults = [Reply(500, {})] * 400
    await course.town.store.update_task(work.id, lambda task: task.complete("see pull request 40"))
    for _ in range(4):
        await course.on(passes=90)
        assert (await course.item()).waits_for is None

    await course.on(passes=90)
    item = await course.item()
    assert (item.waits_for, item.state) == ("person", WorkItemState.BLOCKED)
    assert "cannot be looked for" in str(item.reason)


async def test_a_number_in_a_result_is_no_pull_request_of_the_item(course: Course) -> None:
    course.hub.issue("o/r#2")
    course.hub.pull("o/r#41", "somebody-elses")
    await course.begin(1)
    await course.on()
    (work,) = await course.open_tasks()
    await course.town.store.update_task(work.id, lambda task: task.complete("Done as in o/r#2 and PR #41"))
    await course.on()

    item = await course.item()
    assert (item.pull, item.waits_for) == (None, "review")
    assert "the result below" in (await course.open_tasks("Review"))[0].description


async def test_whoever_takes_over_in_the_middle_does_nothing_twice(course: Course) -> None:
    await course.begin(1, auto_merge=True)
    await course.on()
    await course.take_over()
    await course.on()
    assert len(await course.open_tasks()) == 1
    await course.does()
    await course.take_over()
    await course.on()
    assert len(await course.open_tasks("Review")) == 1
    pull = course.hub.repo("o/r").pulls[40]
    pull.check("test")
    # GitHub merges it, and its answer never comes.
    await course.approve()
    course.hub.faults_after["PUT /repos/o/r/pulls/40/merge"] = Reply(500, {}, cut=True)
    await course.on(passes=181)
    await course.take_over()
    await course.on(passes=181)

    assert pull.merged
    assert (await course.see()).mission.state is MissionState.COMPLETED
    assert len(await course.town.store.tasks()) == 2


async def test_a_merge_that_github_refuses_is_told_and_tried_again_later(course: Course) -> None:
    pull = await course.with_pull(auto_merge=True)
    pull.check("test")
    await course.approve()
    course.hub.faults_after = {}
    refusal = Reply(405, {"message": "Required status check is expected"})
    answer = course.hub.answer
    refusals = [refusal, refusal]

    def refusing(call: object) -> Reply:
        if getattr(call, "method", "") == "PUT" and refusals:
            return refusals.pop()
        return answer(call)  # type: ignore[arg-type]

    course.hub.answer = refusing  # type: ignore[method-assign]
    await course.on(passes=181)
    assert not pull.merged
    told = next(watch for watch in (await course.see()).watches if watch.watch_kind == "mergeability")
    assert "Required status check" in str(told.last_result)

    for _ in range(4):
        await course.on(passes=181)
    assert pull.merged
