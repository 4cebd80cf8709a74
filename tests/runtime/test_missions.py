"""Missions from beginning to end: real runtimes, real agents' processes, and a GitHub on loopback.

Whatever dies in between, a mission ends as it would have, and nothing is done twice.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from living import wait_until
from mission_world import HOME, MissionTown, Plot, issue_of, mission_town

from tinytown.ids import MissionId
from tinytown.lifecycle import MissionState, TaskState, WorkItemState
from tinytown.records import Task


def twelve(town: MissionTown) -> list[str]:
    """The issues of a large mission, as the options that name them."""
    forge = town.world.forge
    forge.repo("other/lib").issue(99, "Release 2.0")
    repo = forge.repo(HOME)
    bodies = {
        1: "The beginning of a diamond.",
        2: "Its left side. Depends on #1.",
        3: "Its right side. After #1 is complete.",
        4: "Its end. Blocked by #2 and #3.",
        5: "Its check fails at first.",
        6: "It is rejected once.",
        7: "It conflicts with its base at first.",
        8: "Requires other/lib#99.",
        9: "After #8.",
        10: "There is no pull request for it.",
        11: "It is done already.",
        12: "Depends on #4, #9 and #11.",
    }
    for number, body in bodies.items():
        blocked_by = [f"{HOME}#10"] if number == 12 else []
        state = "closed" if number == 11 else "open"
        repo.issue(number, f"Part {number}", body, state=state, blocked_by=blocked_by)
    return [word for number in bodies for word in ("-i", str(number))]


PLOT = Plot(frozenset({5}), frozenset({7}), {6: "other/lib#99"})


def ended_well(town: MissionTown, mission: MissionId) -> None:
    """The mission is as it has to be at its end, however it got there."""
    seen = town.seen(mission)
    story = town.story(mission)
    assert seen.mission.state is MissionState.COMPLETED, story
    assert {item.state for item in seen.items} == {WorkItemState.DONE}, story
    repo = town.world.forge.repo(HOME)
    with_pulls = {*range(1, 13)} - {10, 11}
    # Each has one pull request, and it is merged.
    assert Counter(issue_of(pull) for pull in repo.pulls.values()) == Counter(with_pulls), story
    assert all(pull.merged for pull in repo.pulls.values()), story
    assert {number for number, issue in repo.issues.items() if issue.state == "open"} == {10}
    # What went wrong went wrong, and was asked to be mended once.
    assert sorted(town.world.happened) == ["5 fails", "7 conflicts"], story
    reviews, others = [], []
    for task in town.tasks():
        (reviews if "Review of" in first_line(task) else others).append(task)
    assert {task.state for task in others} == {TaskState.COMPLETED}, story
    assert Counter(map(first_line, others)) == Counter(
        [f"[mission] {HOME}#{number}: Part {number}" for number in [*range(1, 11), 12, 6]]
        + [f"[mission] Repair of {HOME}#{number}: pull request {pull_key(town, number)}" for number in (5, 7)]
    ), story
    # Of a commit there is one review; what was pushed over before may have been taken back.
    about = Counter((first_line(task), task.description.splitlines()[2]) for task in reviews)
    assert set(about.values()) == {1}, story
    for pull in repo.pulls.values():
        (last,) = [task for task in reviews if pull.head in task.description.splitlines()[2]]
        assert (last.state, last.result) == (TaskState.COMPLETED, "APPROVED"), story


def first_line(task: Task) -> str:
    return task.description.splitlines()[0]


def pull_key(town: MissionTown, number: int) -> str:
    pull = town.world.pull_of(number)
    assert pull is not None
    return pull.key


TEAM = ("ann", "bob", "cid", "tester", "reviewer")


@pytest.mark.parametrize("kills", [0, pytest.param(10, marks=pytest.mark.long)], ids="{} deaths".format)
def test_twelve_issues_with_all_that_goes_wrong_are_completed_whatever_dies(user: Path, kills: int) -> None:
    dice = random.Random(7)
    with mission_town(user, PLOT) as town:
        town.spawn(*TEAM, cli="scripted")
        issues = twelve(town)
        runtime = town.begin()
        mission = town.start_mission(*issues, "--auto-merge", "--max-parallel", "3")
        for _ in range(kills):
            # By what has happened, never by the clock.
            goal = town.told() + dice.randint(2, 15)
            wait_until(lambda goal=goal: town.told() >= goal, what="something to happen")
            runtime.kill()
            assert not town.is_over(mission)
            runtime = town.begin()
        town.wait_over(mission)
        ended_well(town, mission)
        # Only what a death has interrupted was given to its agent again.
        given = town.given()
        assert sum(given.values()) - len(given) <= kills * len(TEAM)
