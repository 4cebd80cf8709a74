"""The chapters *Tutorial: …* of the manual: their commands as written, and what the manual says will happen.

The coding CLIs are scripts under their real names. Where this project decided otherwise than the manual says, the
test says so.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from person import Person
from sessions import Session

from tinytown import Task, Town
from tinytown.lifecycle import AgentState, TaskState
from tinytown.runtime.operations.waiting import Wait, wait

PIPELINE = """\
[meta]
description = "Auth API Pipeline"

[[tasks]]
id = "design"
description = "Design a REST API for user authentication with JWT tokens"
agent = "architect"
status = "pending"

[[tasks]]
id = "implement"
description = "Implement the auth API from the architect's design"
agent = "developer"
status = "pending"
parent = "design"

[[tasks]]
id = "test"
description = "Write comprehensive tests for the auth API"
agent = "tester"
status = "pending"
parent = "implement"
"""

EPIC = """\
[meta]
description = "User Profile Feature Pipeline"

# Epic (parent task)
[[tasks]]
id = "profile-epic"
description = "Implement user profile feature"
status = "pending"
tags = ["epic", "q1-2024"]

# Subtasks under the epic
[[tasks]]
id = "design"
description = "Design profile API schema"
agent = "architect"
status = "pending"
parent = "profile-epic"
tags = ["design"]

[[tasks]]
id = "implement"
description = "Implement profile endpoints"
agent = "developer"
status = "pending"
parent = "profile-epic"
tags = ["backend"]
"""


@pytest.fixture
def session(home: Person) -> Session:
    return Session(home)


def ok(session: Session, *commands: str) -> str:
    """Run these commands; each succeeds. Gives what they print."""
    said = ""
    for command in commands:
        said += session.run(command)
        assert session.status == 0, f"{command}\n{said}"
    return said


def completed(session: Session) -> list[str]:
    """Wait until every task has ended, and give the descriptions of those that were completed."""
    for task in tasks(session):
        if task["state"] != "pending":
            ok(session, f"tt wait --task {task['id']} --timeout 60")
    return [task["description"] for task in tasks(session) if task["state"] == "completed"]


def tasks(session: Session) -> list[dict[str, str]]:
    shown = json.loads(session.raw("tt task list --json"))
    found: list[dict[str, str]] = shown["tasks"] if isinstance(shown, dict) else shown
    return found


async def test_the_workflow_of_a_single_agent(session: Session) -> None:
    ok(session, "tt init --name demo")

    async with Town.connect(".") as town:
        agent = await town.spawn_agent("coder", "claude")
        task_id = await agent.assign(Task("Create a Rust function that calculates fibonacci numbers recursively"))
        # The manual looks every five seconds whether it is idle, which it is before it has begun, too. What is
        # meant is the end of the task.
        await wait(town, Wait(task=task_id))
        task = await town.channel.get_task(task_id)

    assert task is not None
    assert (task.state, task.result) == (TaskState.COMPLETED, "It is done.")


def test_several_agents_work_together(session: Session) -> None:
    ok(session, "tt init --name multi-demo")
    team = {"architect": "claude", "developer": "auggie", "tester": "codex", "reviewer": "claude"}
    ok(session, *(f"tt spawn {name} --model {cli}" for name, cli in team.items()))
    assert all(name in ok(session, "tt list") for name in team)
    Path("tasks.toml").write_text(PIPELINE)

    assert ok(session, "tt sync push") == "⬆️  Pushed 3 tasks from tasks.toml to Redis\n"
    # `parent` groups and makes no order, so all of them may begin at once.
    assert len(completed(session)) == 3

    ok(session, *(f"tt spawn {name} --model {cli}" for name, cli in (("frontend", "claude"), ("docs", "codex"))))
    ok(session, 'tt assign frontend "Build the login UI"', 'tt assign docs "Write API documentation"')
    assert {"Build the login UI", "Write API documentation"} <= set(completed(session))
    assert "🤖 Agents: 6" in ok(session, "tt status")

    sent = 'tt send reviewer "Auth API implementation complete. Ready for review."'
    assert ok(session, sent).endswith("Sent task message to 'reviewer'\n")
    urgent = ok(session, 'tt send reviewer --urgent "Critical bug found in module A!"')
    assert urgent == "🚨 Sent URGENT task message to 'reviewer'\n"


def test_a_pipeline_of_tasks(session: Session) -> None:
    ok(session, "tt init", "tt plan --init")
    Path("tasks.toml").write_text(EPIC)
    ok(session, "tt spawn architect --model claude", "tt spawn developer --model auggie")

    ok(session, "tt sync push")

    assert completed(session) == ["Design profile API schema", "Implement profile endpoints"]
    # Without `agent` and `default_agent` the epic belongs to nobody.
    assert [task["description"] for task in tasks(session) if task["state"] == "pending"] == [
        "Implement user profile feature"
    ]
    ok(session, "tt sync pull")
    assert Path("tasks.toml").read_text().count('status = "completed"') == 2
    assert "# Epic (parent task)" in Path("tasks.toml").read_text()

    for stage in ('architect "Design the feature architecture"', 'developer "Implement the feature"'):
        ok(session, f"tt assign {stage}")
        completed(session)
    assert len(completed(session)) == 4


def test_errors_and_recovery(session: Session) -> None:
    ok(session, "tt init", "tt spawn worker-1 --model claude")
    session.until("worker-1", AgentState.IDLE)

    assert "worker-1 (Idle)" in ok(session, "tt status")
    assert "- Idle" in ok(session, "tt list")
    assert "tt inbox --all" in ok(session, "tt tasks")
    assert ok(session, "tt inbox worker-1").startswith("📬 Inbox for 'worker-1'")

    ok(session, "tt kill worker-1", "tt wait worker-1 --timeout 60")
    assert "- Stopped" in ok(session, "tt list")
    # The manual gives an agent of the same name a new id; here the stopped one begins its next life.
    before = session.raw("tt list --json")
    ok(session, "tt spawn worker-1 --model claude")
    assert json.loads(before)[0]["id"] in session.raw("tt list --json")

    ok(session, "tt kill worker-1", "tt wait worker-1 --timeout 60", "tt prune")
    assert ok(session, "tt list").startswith("No agents.")
    ok(session, "tt spawn worker-1 --model claude", 'tt assign worker-1 "Try again"')
    assert completed(session) == ["Try again"]
    ok(session, "tt save", "tt stop", "tt wait worker-1 --timeout 60")
    assert Path(".tt/redis.aof").exists()
    # Redis goes on without agents, and its socket stands in .tt, not in the project itself.
    assert Path(".tt/redis.sock").is_socket()
    assert Path(".tt/logs/worker-1.log").exists()
