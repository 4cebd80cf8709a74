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

[[tasks]]
id = "test"
description = "Write profile API tests"
agent = "tester"
status = "pending"
parent = "profile-epic"
tags = ["testing"]

[[tasks]]
id = "review"
description = "Review profile implementation"
agent = "reviewer"
status = "pending"
parent = "profile-epic"
tags = ["review"]
"""

STAGES = """\
[meta]
description = "Code Review Pipeline"
default_agent = "developer"

[[tasks]]
id = "lint"
description = "Run linting on src/"
agent = "linter"
status = "pending"

[[tasks]]
id = "build"
description = "Build the project"
agent = "builder"
status = "pending"
parent = "lint"

[[tasks]]
id = "test"
description = "Run test suite"
agent = "tester"
status = "pending"
parent = "build"

[[tasks]]
id = "review"
description = "Code review"
agent = "reviewer"
status = "pending"
parent = "test"

[[tasks]]
id = "deploy"
description = "Deploy to staging"
agent = "deployer"
status = "pending"
parent = "review"
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


def conduct(session: Session, *team: str) -> None:
    """`tt conductor` in a terminal of its own, where agents are there already: it is told of them, and looks."""
    said = session.person.on_terminal("conductor")
    context = (session.person.directory / ".tt/conductor_context.md").read_text()

    assert said.code == 0, said.out
    # The manual keeps the file beside the project's own.
    assert said.out.startswith("🚂 Starting conductor with claude model...\n   Context: .tt/conductor_context.md\n")
    assert "conductor was told: Read the file " in said.out
    assert f"🤖 Agents: {len(team)}" in said.out
    assert context.startswith("# Tinytown Conductor\n")
    assert "Agents are there already." in context
    for name in team:
        assert f"\n- {name} (" in context
    assert all(task["description"] in context for task in tasks(session))


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
    conduct(session, *team)
    # `parent` groups and makes no order, so all of them may begin at once.
    assert len(completed(session)) == 3

    spawned = {"frontend": "claude", "backend": "auggie", "docs": "codex"}
    ok(session, *(f"tt spawn {name} --model {cli}" for name, cli in spawned.items()))
    given = {"frontend": "Build the login UI", "backend": "Build the auth API", "docs": "Write API documentation"}
    ok(session, *(f'tt assign {name} "{what}"' for name, what in given.items()))
    assert "🤖 Agents: 7" in ok(session, "tt status")
    assert set(given.values()) <= set(completed(session))

    sent = 'tt send reviewer "Auth API implementation complete. Ready for review."'
    assert ok(session, sent).endswith("Sent task message to 'reviewer'\n")
    urgent = ok(session, 'tt send reviewer --urgent "Critical bug found in module A!"')
    assert urgent == "🚨 Sent URGENT task message to 'reviewer'\n"


def test_work_fans_out_and_comes_together(session: Session) -> None:
    # In a town of its own: the manual spawns `reviewer` twice, and one that is alive is not spawned again.
    ok(session, "tt init --name multi-demo")
    ok(session, *(f"tt spawn {name} --model claude" for name in ("worker-1", "worker-2", "worker-3", "reviewer")))
    modules = [f"Implement module {each}" for each in "ABC"]
    ok(session, *(f'tt assign worker-{number} "{what}"' for number, what in enumerate(modules, start=1)))
    assert "🤖 Agents: 4" in ok(session, "tt status")
    # The manual looks at the status until all are complete.
    assert sorted(completed(session)) == modules

    ok(session, 'tt assign reviewer "Review modules A, B, and C for consistency"')

    assert completed(session)[3:] == ["Review modules A, B, and C for consistency"]


def test_a_pipeline_of_tasks(session: Session) -> None:
    ok(session, "tt init", "tt plan --init")
    Path("tasks.toml").write_text(EPIC)
    team = {"architect": "claude", "developer": "auggie", "tester": "codex", "reviewer": "claude"}
    ok(session, *(f"tt spawn {name} --model {cli}" for name, cli in team.items()))

    ok(session, "tt sync push")
    conduct(session, *team)

    assert set(completed(session)) == {
        "Design profile API schema",
        "Implement profile endpoints",
        "Write profile API tests",
        "Review profile implementation",
    }
    # Without `agent` and `default_agent` the epic belongs to nobody.
    (epic,) = (task for task in tasks(session) if task["state"] == "pending")
    assert epic["description"] == "Implement user profile feature"
    assert [task.get("parent_id") for task in tasks(session)].count(epic["id"]) == 4
    ok(session, "tt sync pull")
    assert Path("tasks.toml").read_text().count('status = "completed"') == 4
    assert "# Epic (parent task)" in Path("tasks.toml").read_text()


def test_a_pipeline_stage_by_stage(session: Session) -> None:
    ok(session, "tt init")
    team = {"architect": "claude", "developer": "auggie", "tester": "codex", "reviewer": "claude"}
    ok(session, *(f"tt spawn {name} --model {cli}" for name, cli in team.items()))
    stages = {
        "architect": "Design the feature architecture",
        "developer": "Implement the feature",
        "tester": "Write tests for the feature",
        "reviewer": "Review the implementation",
    }

    for number, (agent, what) in enumerate(stages.items(), start=1):
        ok(session, f'tt assign {agent} "{what}"')
        assert completed(session) == list(stages.values())[:number]
        assert f"{agent} (" in ok(session, "tt status")


def test_a_pipeline_from_the_linter_to_the_deployer(session: Session) -> None:
    ok(session, "tt init")
    Path("tasks.toml").write_text(STAGES)
    # The manual does not start this team; the default agent has no task of its own, since each names another.
    team = ("linter", "builder", "tester", "reviewer", "deployer")
    ok(session, *(f"tt spawn {name} --model claude" for name in team))

    assert ok(session, "tt sync push") == "⬆️  Pushed 5 tasks from tasks.toml to Redis\n"

    # `parent` groups and makes no order, so all of them may begin at once.
    assert len(completed(session)) == 5
    shown = {task["id"]: task for task in tasks(session)}
    above = {task["description"]: shown.get(task.get("parent_id", ""), {}) for task in shown.values()}
    assert {what: task.get("description") for what, task in above.items()} == {
        "Run linting on src/": None,
        "Build the project": "Run linting on src/",
        "Run test suite": "Build the project",
        "Code review": "Run test suite",
        "Deploy to staging": "Code review",
    }
    ok(session, "tt sync pull")
    assert Path("tasks.toml").read_text().count('status = "completed"') == 5


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
