"""`tt init`, `status`, `doctor`, `stop`, `events`, `trust`, as a person sees them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace

from cyclopts import App
from person import Person
from runtime_parts import move

from tinytown.cli.app import build
from tinytown.lifecycle import AgentEvent
from tinytown.runtime.opening import open_blocking
from tinytown.transport.blocking import run_sync
from tinytown.version import __version__


def test_init_says_what_the_book_says(person: Person) -> None:
    said = person.tt("init", "--name", "my-project")

    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "✨ Initialized town 'my-project' at .\n"
        "📡 Redis running with Unix socket for fast message passing\n"
        "🚀 Run 'tt spawn <name>' to create agents\n"
    )
    assert (person.directory / ".tt/redis.sock").exists()
    assert (person.directory / ".gitignore").read_text() == ".tt/*\n!.tt/redis.aof\n"


def test_init_takes_the_name_in_each_way(person: Person) -> None:
    assert person.tt("init", "by-place", "--json").json["name"] == "by-place"


def test_init_is_named_after_repository_and_branch(person: Person) -> None:
    subprocess.run(["git", "init", "-q", "-b", "feature-auth"], cwd=person.directory, check=True, env=person.environ)

    assert person.tt("init").out.startswith("✨ Initialized town 'town-feature-auth' at .\n")


def test_init_makes_a_town_in_another_directory(person: Person) -> None:
    said = person.tt("init", "--town", "projects/new", "--name", "new")
    there = Person(person.directory / "projects/new", person.environ)

    assert said.out.startswith("✨ Initialized town 'new' at projects/new\n")
    assert person.tt("status", "-t", "projects/new").out.startswith("🏘️  Town: new\n")
    assert there.tt("stop", "--redis").code == 0


def test_a_second_init_changes_nothing(town_dir: Person) -> None:
    before = (town_dir.directory / "tinytown.toml").read_bytes()

    said = town_dir.tt("init", "--name", "other")

    assert said.code == 1
    assert "tt start" in said.err or "calls this town 'demo'" in said.err
    assert (town_dir.directory / "tinytown.toml").read_bytes() == before


def test_of_two_inits_at_once_one_wins(person: Person) -> None:
    both = [person.begin("init", "--name", "demo") for _ in range(2)]
    ended = [process.communicate() and process.returncode for process in both]

    assert sorted(ended) == [0, 1]
    assert person.tt("status").code == 0


def test_status_shows_the_town_and_what_waits_for_its_agents(town_dir: Person) -> None:
    town_dir.agent("backend")
    town_dir.agent("frontend")
    town_dir.tt("assign", "frontend", "Build the form")
    town_dir.tt("send", "frontend", "--query", "Which colour?")

    said = town_dir.tt("status")

    assert said.code == 0
    assert said.out == (
        "🏘️  Town: demo\n"
        f"📂 Root: {town_dir.directory}\n"
        f"📡 Redis: unix://{town_dir.directory}/.tt/redis.sock\n"
        "💾 Durability: always (every write is on disk before it is answered)\n"
        "🤖 Agents: 2\n"
        "   backend (Starting) - 0 messages pending\n"
        "   frontend (Starting) - 2 messages pending (tasks: 1, queries: 1, informational: 0, confirmations: 0)\n"
    )
    assert said.err == "Note: No runtime is alive, so no agent works. Start one with: tt start\n"


def test_status_shows_tasks_by_state_and_agent(town_dir: Person) -> None:
    town_dir.agent("backend")
    first = town_dir.tt("assign", "backend", "Add rate limiting", "--json").json["id"]
    done = town_dir.tt("assign", "backend", "Create user model", "--json").json["id"]
    town_dir.tt("task", "complete", done)

    assert town_dir.tt("status", "--tasks").out.endswith(
        "📋 Tasks: 2 total (0 pending, 1 in-flight, 1 done)\n"
        "\n"
        "📊 Task Breakdown by State:\n"
        "   ⏳ Pending:   0\n"
        "   📌 Assigned:  1\n"
        "   🔄 Running:   0\n"
        "   ✅ Completed: 1\n"
        "   ❌ Failed:    0\n"
        "   🚫 Cancelled: 0\n"
        "   📋 Backlog:   0\n"
        "\n"
        "📋 Tasks by Agent:\n"
        "   backend (1 active, 1 done):\n"
        f"      📌 {first[:8]} Add rate limiting\n"
        f"      ✅ {done[:8]} Create user model\n"
    )


def test_deep_status_shows_rounds_and_uptime(town_dir: Person) -> None:
    town_dir.agent("backend")

    out = town_dir.tt("status", "--deep").out

    assert re.search(r"^   backend \(Starting\) - 0 pending, 0 rounds, uptime \d+s$", out, re.MULTILINE)
    assert out.endswith("\n\n📊 Stats: rounds completed, uptime since spawn\n")


def test_status_calls_no_turn_a_turn_that_died_with_its_runtime(town_dir: Person) -> None:
    backend = town_dir.agent("backend")
    with open_blocking(town_dir.directory, environ=town_dir.environ) as town:
        move(town, backend, AgentEvent.READY, AgentEvent.BEGIN)
        run_sync(town.store.update_agent(backend.id, lambda agent: replace(agent, in_round=True)))

    assert "   backend (Cut off: no runtime) - 0 messages pending\n" in town_dir.tt("status").out
    assert "   backend (Cut off: no runtime) - 0 pending, 0 rounds" in town_dir.tt("status", "--deep").out


def test_status_for_programs_holds_everything(town_dir: Person) -> None:
    agent = town_dir.agent("backend")
    town_dir.tt("assign", "backend", "work", "--tags", "a,b")

    found = town_dir.tt("status", "--tasks", "--json").json

    assert (found["name"], found["root"]) == ("demo", str(town_dir.directory))
    assert found["agents"][0]["id"] == agent.id
    assert found["agents"][0]["counts"]["tasks"] == 1
    assert found["tasks"][0]["tags"] == ["a", "b"]
    assert found["tasks"][0]["assigned_to_name"] == "backend"
    assert found["task_counts"]["assigned"] == 1


def test_a_town_is_found_from_inside_and_by_the_environment(town_dir: Person) -> None:
    inside = town_dir.directory / "src/deep"
    inside.mkdir(parents=True)
    elsewhere = Person(town_dir.directory.parent, town_dir.environ)

    assert Person(inside, town_dir.environ).tt("list").code == 0
    assert elsewhere.tt("list").code == 1
    assert elsewhere.tt("list", TINYTOWN_TOWN=str(town_dir.directory)).code == 0


def test_stop_counts_the_agents_it_asked(town_dir: Person) -> None:
    for name in ("a", "b", "c"):
        town_dir.agent(name)

    assert town_dir.tt("stop").out == (
        "🛑 Requested graceful stop for 3 agent(s) in town 'demo'\n"
        "   Agents will stop at the start of their next round.\n"
        "   Redis of this town goes on, with all that it holds. End it with: tt stop --redis\n"
    )
    assert "a (Stopped)" in town_dir.tt("status").out
    assert town_dir.tt("stop", "--json").json == {"count": 0, "agents": [], "missions": 0}


def test_stop_redis_ends_the_server_and_keeps_its_data(town_dir: Person) -> None:
    town_dir.agent("bob")

    assert town_dir.tt("stop", "--redis").out.endswith("   Redis of this town is stopped; its data stays.\n")
    assert not (town_dir.directory / ".tt/redis.sock").exists()
    assert "bob" in town_dir.tt("list").out


def test_doctor_finds_nothing_wrong_with_a_new_town(town_dir: Person) -> None:
    said = town_dir.tt("doctor")
    found = town_dir.tt("doctor", "--json").json

    assert said.code == 0, said.out
    assert "❌" not in said.out
    assert found["healthy"] is True
    assert {"name", "verdict", "finding"} <= set(found["checks"][0])


def test_events_tell_what_happened_newest_last(town_dir: Person) -> None:
    town_dir.agent("bob")
    town_dir.tt("assign", "bob", "work")

    lines = town_dir.tt("events").out.splitlines()

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ town\.initialized town 'demo'", lines[0])
    assert any(" task.assigned [bob] task " in line for line in lines)
    assert [event["type"] for event in town_dir.tt("events", "--count", "1", "--json").json] != []
    assert "0000-0000" not in "".join(lines)


def test_events_follow_what_happens(town_dir: Person) -> None:
    following = town_dir.begin("events", "--follow", "--count", "1", "--json")
    assert following.stdout is not None
    assert b"town.initialized" in following.stdout.readline()
    town_dir.tt("send", "conductor", "hello")

    assert b"message.sent" in following.stdout.readline()
    following.terminate()
    following.communicate()


def test_what_a_project_would_run_waits_for_trust(town_dir: Person) -> None:
    assert town_dir.tt("trust").out == "Nothing in tinytown.toml needs your trust.\n"
    with (town_dir.directory / "tinytown.toml").open("a") as config:
        config.write('\n[agent_clis.mine]\ncommand = "./mine.sh \\u001b[31m"\n')

    noted = town_dir.tt("list")
    shown = town_dir.tt("trust")

    assert "Note: Not applied from" in noted.err
    assert 'agent_clis.mine.command = "./mine.sh \\u001b[31m"' in shown.out
    assert "\x1b" not in shown.out
    digest = shown.out.split()[-1]
    assert town_dir.tt("trust", "accept", "0" * 12).code == 1
    assert town_dir.tt("trust", "accept", digest).code == 0
    assert town_dir.tt("list").err == ""
    assert town_dir.tt("trust", "--json").json["trusted"] is True
    assert town_dir.tt("trust", "revoke").out == "✅ 1 acceptance(s) taken back.\n"
    assert town_dir.tt("trust", "--json").json["trusted"] is False


def test_an_agent_decides_nothing_about_trust(town_dir: Person) -> None:
    agent = town_dir.agent("bob")

    said = town_dir.tt("trust", "accept", TINYTOWN_AGENT_ID=agent.id, TINYTOWN_AGENT_TOKEN="x")

    assert said.code == 1
    assert said.err.startswith("Error: An agent cannot decide what is trusted")


def test_version_and_help(person: Person) -> None:
    assert person.tt("--version").out == f"tt {__version__}\n"
    help_text = person.tt("--help").out
    assert help_text.startswith("Tinytown - Simple multi-agent orchestration using Redis\n")
    assert person.tt().out == help_text
    assert 'Example: tt assign worker-1 "Implement the login API"' in person.tt("assign", "--help").out
    assert "--town -t" in person.tt("task", "show", "-h").out


def test_every_command_has_a_help_with_an_example() -> None:
    def below(app: App) -> Iterator[App]:
        for name, command in app.resolved_commands().items():
            if not name.startswith("-"):
                yield from (command, *below(command))

    commands = list(below(build()))

    assert len(commands) >= 25
    for command in commands:
        assert re.search(r"\n\s*Example: tt ", command.help), command.name


def test_completion_is_installed_and_knows_the_agents(town_dir: Person) -> None:
    town_dir.agent("backend")
    said = town_dir.tt("--install-completion", "bash")

    assert said.code == 0, said.err
    script = town_dir.directory.parent / "home/.local/share/bash-completion/completions/tt"
    assert "tt" in script.read_text()
    assert "backend" in town_dir.tt("__complete", "send", "").out
    assert town_dir.tt("--install-completion").code == 2
    assert town_dir.tt("--install-completion", SHELL="/bin/zsh").code == 0
