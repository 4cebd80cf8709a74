"""The chapter *Tutorial: Mission Mode* of the manual: its commands as written, and what it says will happen.

GitHub is on loopback, and the coding CLIs are scripts under their real names.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from living import wait_until
from mission_world import HOME, MissionTown, mission_town

from tinytown.ids import MissionId
from tinytown.mission_records import WorkItem

BODIES = {
    "Design auth API": """\
Design the authentication API schema.

- Define login/logout endpoints
- Document token format
- Specify error responses
""",
    "Implement auth endpoints": """\
Implement the authentication endpoints.

Depends on #1.

- Implement login endpoint
- Implement logout endpoint
- Add token validation
""",
    "Write auth tests": """\
Write comprehensive tests for auth API.

After #2.

- Unit tests for token validation
- Integration tests for login flow
- Error case coverage
""",
}


@pytest.fixture
def town(user: Path) -> Iterator[MissionTown]:
    """Step 1: the issues, and a runtime."""
    with mission_town(user) as town:
        for number, (title, body) in enumerate(BODIES.items(), 1):
            town.world.forge.repo(HOME).issue(number, title, body)
        town.begin()
        yield town


def item(town: MissionTown, mission: str, number: int) -> WorkItem:
    """The work item for an issue."""
    return next(item for item in town.seen(MissionId(mission)).items if item.number == number)


def pull_to_merge(town: MissionTown, mission: str, number: int) -> str:
    """The pull request of an issue, as soon as only its merge is left."""
    wait_until(lambda: item(town, mission, number).waits_for == "merge", what=f"#{number} to be reviewed")
    return (item(town, mission, number).pull or "").partition("#")[2]


def merge(town: MissionTown, pull: str) -> None:
    """A person merges it."""
    town.hub.ask("PUT", f"/repos/{HOME}/pulls/{pull}/merge", {})


def test_a_mission_from_its_issues_to_completed(town: MissionTown) -> None:
    # Step 2: spawn your team.
    for command in ("spawn designer --model claude", "spawn backend --model auggie", "spawn tester --model codex"):
        town.tt(*command.split())

    # Step 3: start the mission.
    said = town.tt(*["mission", "start", "--issue", "1", "--issue", "2", "--issue", "3"])
    first, *rest = said.splitlines()
    assert first.startswith("🚀 Mission started: ")
    mission = first.removeprefix("🚀 Mission started: ")
    assert rest[:5] == [
        "📋 Objectives: 3 issues",
        "📦 Work items: 3",
        "   ⏳ Issue #1: Design auth API",
        "   ⏳ Issue #2: Implement auth endpoints",
        "   ⏳ Issue #3: Write auth tests",
    ]

    # Step 4: monitor progress.
    pull = pull_to_merge(town, mission, 1)
    assert f"🎯 Mission Status\n   ID: {mission}\n" in town.tt("mission", "status")
    shown = town.tt(*["mission", "status", "--work", "--watch"])
    assert "📦 Work Items: 3" in shown
    assert "Issue #1: Design auth API (→ designer)" in shown
    assert "   ⏳ pending  Issue #2: Implement auth endpoints\n" in shown
    assert "PR #4" in shown

    # Step 7: stop and resume. What is merged meanwhile begins nothing.
    town.tt("mission", "stop", mission[:6])
    merge(town, pull)
    assert item(town, mission, 2).state == "pending"
    town.tt("mission", "resume", mission[:6])

    # Step 5: each begins when what it waits for is merged.
    merge(town, pull_to_merge(town, mission, 2))
    assert set(town.world.forge.repo(HOME).pulls) == {4, 5}
    merge(town, pull_to_merge(town, mission, 3))
    town.wait_over(MissionId(mission))
    assert "✅ completed" in town.tt("mission", "list", "--all")
    assert town.tt("mission", "list").startswith("No active missions.")
    owners = [town.name_of(item.assigned_to) for item in town.seen(MissionId(mission)).items]
    assert owners == ["designer", "backend", "tester"]
    assert sorted(town.given().values()) == [1] * 6
