"""A GitHub where people do what nobody expected, and texts that nobody should trust: the mission stays right."""

from __future__ import annotations

import pytest
from course import Course

from tinytown.lifecycle import WorkItemState


@pytest.mark.parametrize("said", ["#0", "node.js/x#7", "#9999999999"])
async def test_what_cannot_be_an_issue_stops_no_mission(course: Course, said: str) -> None:
    course.hub.issue("o/r#2", body=f"Depends on {said}.")
    await course.begin(1, 2, max_parallel_items=1)
    await course.on()
    course.hub.repo("o/r").issues[1].close()
    await course.on(passes=181)

    assert (await course.item(1)).state is WorkItemState.DONE
    assert (await course.item(2)).state is WorkItemState.ASSIGNED
