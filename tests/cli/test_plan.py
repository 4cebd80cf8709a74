"""`tt plan` and `tt sync`, and what comes of a plan when agents work on it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from person import FAKE_CLI, Person

from tinytown.plan import DEFAULT_PLAN

PIPELINE = """\
[meta]
description = "Auth API Pipeline"

[[tasks]]
id = "design"
description = "Design a REST API"
agent = "architect"
status = "pending"

[[tasks]]
id = "implement"   # by hand
description = "Implement the API"
agent = "developer"
status = "pending"
depends_on = ["design"]
"""


def plan_of(person: Person, text: str) -> Path:
    path = person.directory / "tasks.toml"
    path.write_text(text)
    return path


# plan


def test_init_makes_the_example_and_plan_shows_it(person: Person) -> None:
    assert person.tt("plan", "--init").out == "📝 Created ./tasks.toml\n"
    assert (person.directory / "tasks.toml").read_text() == DEFAULT_PLAN
    assert person.tt("plan").out == (
        "📋 Tasks in plan (./tasks.toml):\n  ⏳ [unassigned] example-1 - Example task - replace with your own\n"
    )


def test_init_overwrites_nothing(person: Person) -> None:
    plan_of(person, "# mine\n")
    said = person.tt("plan", "-i")

    assert (said.code, said.err) == (1, "Error: tasks.toml is there already\nHint: See what is in it with: tt plan\n")
    assert person.tt("plan").out == "No tasks in plan (./tasks.toml). Add one under [[tasks]].\n"


def test_without_a_plan_it_is_said_how_to_get_one(person: Person) -> None:
    said = person.tt("plan")

    assert (said.code, said.out) == (1, "")
    assert said.err == "Error: There is no tasks.toml here\nHint: Make one with: tt plan --init\n"


def test_a_plan_needs_no_town_and_is_found_from_elsewhere(person: Person) -> None:
    plan_of(person, PIPELINE)
    elsewhere = Person(person.directory.parent, person.environ)
    said = elsewhere.tt("plan", "--town", str(person.directory))

    assert said.out.splitlines() == [
        f"📋 Tasks in plan ({person.directory}/tasks.toml):",
        "  ⏳ [architect] design - Design a REST API",
        "  ⏳ [developer] implement - Implement the API",
    ]


def test_the_order_is_drawn(person: Person) -> None:
    plan_of(person, PIPELINE)

    assert person.tt("plan", "--graph").out == (
        "📋 Order of the plan (./tasks.toml):\n"
        "  1. ⏳ [architect] design\n"
        "  2. ⏳ [developer] implement ← design\n"
        "\n"
        "```mermaid\n"
        "flowchart TD\n"
        '    n0["design: Design a REST API [architect]"]\n'
        '    n1["implement: Implement the API [developer]"]\n'
        "    n0 --> n1\n"
        "```\n"
    )
    found = person.tt("plan", "--graph", "--json").json
    assert found["stages"] == [["design"], ["implement"]]
    assert found["tasks"][1]["depends_on"] == ["design"]


def test_a_wrong_plan_is_explained(person: Person) -> None:
    plan_of(person, PIPELINE.replace('"design"]', '"implement"]'))
    said = person.tt("plan")

    assert said.code == 1
    assert said.err.startswith("Error: tasks.toml: line 10: depends_on: a cycle: implement → implement\n")


@pytest.mark.parametrize("line", ["plan --init --graph", "sync push --all", "sync pull --allow-verify", "sync both"])
def test_options_that_do_not_go_together_are_refused(person: Person, line: str) -> None:
    assert person.tt(*line.split()).code == 2


# sync


def test_sync_says_what_the_book_says(town_dir: Person) -> None:
    path = plan_of(town_dir, PIPELINE)
    town_dir.agent("architect")
    pushed = town_dir.tt("sync", "push")
    assert (pushed.code, pushed.out) == (0, "⬆️  Pushed 2 tasks from tasks.toml to Redis\n")
    assert pushed.err == (
        "Note: Task 'implement' waits in the backlog: no agent is called 'developer' yet\n"
        "Note: No runtime is alive: it will begin after 'tt start'\n"
    )
    assert town_dir.tt("sync", "--json").json["created"] == 0

    said = town_dir.tt("sync", "pull")
    assert said.out == "⬇️  Pulled 2 tasks from Redis to tasks.toml\n"
    assert path.read_text() == PIPELINE.replace('status = "pending"', 'status = "assigned"', 1)


def test_a_pull_without_a_file_makes_one(town_dir: Person) -> None:
    path = plan_of(town_dir, PIPELINE)
    town_dir.tt("sync", "push")
    path.unlink()
    assert town_dir.tt("sync", "push").code == 1

    assert town_dir.tt("sync", "pull", "--json").json == {"pulled": 2, "added": 2, "missing": []}
    assert 'id = "implement"' in path.read_text()


def test_commands_of_a_plan_are_shown_before_they_may_run(town_dir: Person) -> None:
    plan_of(town_dir, PIPELINE + 'verify = ["make \\u001b[2J test"]\n')
    said = town_dir.tt("sync", "push")

    assert said.code == 1
    assert "  implement: make \\x1b[2J test\n" in said.err
    assert "tt sync push --allow-verify" in said.err
    assert town_dir.tt("sync", "push", "--allow-verify").code == 0


# assign, and what comes of it


def test_assign_takes_conditions_and_show_shows_them(town_dir: Person) -> None:
    town_dir.agent("bob")
    first = town_dir.tt("assign", "bob", "dig", "--json").json["id"]
    said = town_dir.tt(
        "assign", "bob", "fill", "--after", first[:8], "--review", "rex", "--verify", "make test", "--verify",
        "make lint", "--json",
    )  # fmt: skip

    assert said.err == f"Note: It will begin when completed: {first[:8]}\n"
    task = said.json
    assert (task["depends_on"], task["review"], task["verify"]) == ([first], "rex", ["make test", "make lint"])
    shown = town_dir.tt("task", "show", task["id"]).out
    assert "   State: Pending\n" in shown
    assert f"   Depends on: {first}\n   Review by: rex\n   Verify: make test\n      make lint\n" in shown


def agents(person: Person, **clis: str) -> None:
    """Agents whose CLI does what is said here."""
    lines = [f'[agent_clis.{name}]\ncommand = "{sys.executable} {FAKE_CLI} {does}"\n' for name, does in clis.items()]
    config = Path(person.environ["HOME"]) / ".tt" / "config.toml"
    config.write_text(config.read_text() + "".join(lines))
    for name in clis:
        assert person.tt("spawn", name, "--cli", name).code == 0


def test_a_plan_is_worked_off_in_its_order(town_dir: Person) -> None:
    path = plan_of(town_dir, PIPELINE)
    agents(town_dir, architect="say=drawn", developer="say=built")
    tasks = town_dir.tt("sync", "push", "--json").json["tasks"]

    assert town_dir.tt("wait", "--task", tasks[1]["id"], "--timeout", "30").code == 0
    town_dir.tt("sync", "pull")
    text = path.read_text()
    assert 'status = "completed"\nresult = "drawn"\n' in text
    assert 'result = "built"' in text
    assert 'id = "implement"   # by hand' in text
    one, two = (town_dir.tt("task", "show", task["id"], "--json").json for task in tasks)
    assert one["completed_at"] <= two["started_at"]


def test_work_is_verified_and_reviewed_before_it_counts(town_dir: Person) -> None:
    agents(town_dir, worker="say=done", rex="say=APPROVED")
    verify = "sh -c 'echo checked; test -e passed || { touch passed; exit 3; }'"
    task = town_dir.tt("assign", "worker", "dig", "--verify", verify, "--review", "rex", "--json").json["id"]

    assert town_dir.tt("wait", "--task", task, "--timeout", "30").code == 0
    found = town_dir.tt("task", "show", task, "--json").json
    assert (found["state"], found["result"], found["attempts"]) == ("completed", "done", 2)
    shown = town_dir.tt("task", "show", task).out
    assert f"   Review by: rex, in task {found['review_task']}\n" in shown
    assert "   ✅ Check sh -c 'echo checked;" in shown
    log = (town_dir.directory / ".tt" / "logs" / "worker_round_1.log").read_text()
    assert "checked" in log
    kinds = [event["type"] for event in town_dir.tt("events", "--task", task, "--json").json]
    assert [kind for kind in kinds if kind.startswith("task.")] == [
        "task.assigned", "task.started", "task.sent_back", "task.started", "task.claimed", "task.in_review",
        "task.completed",
    ]  # fmt: skip


def test_a_failed_check_is_shown_with_its_output(town_dir: Person) -> None:
    agents(town_dir, worker="say=done")
    assert town_dir.tt("kill", "worker").code == 0
    assert town_dir.tt("spawn", "worker", "--cli", "worker", "--max-rounds", "1").code == 0
    verify = "sh -c 'echo went wrong; exit 3'"
    task = town_dir.tt("assign", "worker", "dig", "--verify", verify, "--json").json["id"]

    assert town_dir.tt("wait", "worker", "--timeout", "30").code == 0
    shown = town_dir.tt("task", "show", task).out
    assert "   State: Assigned\n" in shown
    assert "   ❌ Check sh -c 'echo went wrong; exit 3': exit status 3\n      went wrong\n" in shown


def test_an_agent_that_completes_a_task_with_a_reviewer_is_told_what_that_means(town_dir: Person) -> None:
    from runtime_parts import credential_of

    from tinytown.runtime.opening import open_blocking

    bob = town_dir.agent("bob")
    task = town_dir.tt("assign", "bob", "dig", "--review", "rex", "--json").json["id"]
    with open_blocking(town_dir.directory, environ=town_dir.environ) as town:
        environ = credential_of(town, bob.id)
    mine = {name: environ[name] for name in environ if name.startswith("TINYTOWN_AGENT")}
    said = town_dir.tt("task", "complete", task, "--result", "dug", **mine)

    assert said.out == (
        f"📝 Task {task}: your result is kept\n   Description: dig\n   Claimed: dug\n"
        "   It counts as completed when your round has ended and 'rex' approves.\n"
    )
    assert "   Claimed: dug\n" in town_dir.tt("task", "show", task).out
