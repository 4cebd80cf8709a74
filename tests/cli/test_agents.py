"""`tt spawn`, `restart`, `list`, `kill`, `wait`, with and without a runtime."""

from __future__ import annotations

import re
import signal
import subprocess
import time

from person import Person


def configure(person: Person, *actions: str) -> None:
    """What the scripted CLI of the agents does from now on."""
    config = person.directory.parent / "home/.tt/config.toml"
    config.write_text(re.sub(r"fake_cli\.py .*\"", f'fake_cli.py {" ".join(actions)}"', config.read_text()))


def read_until(process: subprocess.Popen[bytes], text: str) -> None:
    """Read its output up to the line that holds the text."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line.decode():
            return
    raise AssertionError(f"it ended without saying {text!r}")


def test_list_shows_agents_with_their_ids(town_dir: Person) -> None:
    assert town_dir.tt("list").out == "No agents. Run 'tt spawn <name>' to create one.\n"
    one, two = town_dir.agent("backend"), town_dir.agent("frontend")

    assert town_dir.tt("list").out == (f"Agents:\n  backend ({one.id}) - Starting\n  frontend ({two.id}) - Starting\n")
    assert [agent["name"] for agent in town_dir.tt("list", "--json").json] == ["backend", "frontend"]


def test_kill_of_an_agent_without_a_turn_is_immediate_and_not_repeated(town_dir: Person) -> None:
    agent = town_dir.agent("backend")

    said = town_dir.tt("kill", agent.id[:8])
    again = town_dir.tt("kill", "backend")

    assert said.out == "🛑 Requested stop for agent 'backend'\n   Agent has stopped.\n"
    assert again.code == 1
    assert "stopped" in again.err


def test_an_agent_that_is_alive_cannot_be_restarted(town_dir: Person) -> None:
    town_dir.agent("worker-1")

    said = town_dir.tt("restart", "worker-1")

    assert (said.code, said.out) == (1, "")
    assert said.err == ("❌ Agent 'worker-1' is still active (Starting)\n   Use 'tt kill worker-1' to stop it first\n")


def test_an_agent_that_is_not_there_cannot_be_restarted(town_dir: Person) -> None:
    said = town_dir.tt("restart", "nonexistent")

    assert (said.code, said.out, said.err) == (1, "", "❌ Agent 'nonexistent' not found\n")


def test_an_unknown_cli_is_refused_with_those_that_are_known(town_dir: Person) -> None:
    said = town_dir.tt("spawn", "bob", "--model", "nope")

    assert said.code == 1
    assert said.err.startswith("Error: Unknown agent CLI 'nope'\nHint: Known are: ")


def test_a_name_that_is_alive_is_not_spawned_again(town_dir: Person) -> None:
    town_dir.agent("bob")

    said = town_dir.tt("spawn", "bob")

    assert said.code == 1
    assert said.err.startswith("Error: Agent 'bob' is there already")


def test_wait_ends_with_4_when_the_time_is_over(town_dir: Person) -> None:
    town_dir.agent("bob")
    began = time.monotonic()

    said = town_dir.tt("wait", "bob", "--timeout", "0.3")

    assert (said.code, said.out) == (4, "")
    assert said.err == (
        "Note: No runtime is alive: it will begin after 'tt start'\n"
        "Error: The end of agent 'bob' did not come within 0.3 s\n"
    )
    assert time.monotonic() - began < 5


def test_wait_returns_when_the_task_has_ended(town_dir: Person) -> None:
    town_dir.agent("bob")
    good, bad = (town_dir.tt("assign", "bob", "work", "--json").json["id"] for _ in range(2))
    waiting = town_dir.begin("wait", "--task", good)
    town_dir.tt("task", "complete", good, "--result", "42")
    town_dir.tt("task", "fail", bad, "--error", "no")

    out, _ = waiting.communicate()

    assert (waiting.returncode, out.decode()) == (0, f"✅ Task {good} completed\n   Result: 42\n")
    failed = town_dir.tt("wait", "--task", bad, "--timeout", "9")
    assert (failed.code, failed.out) == (1, f"❌ Task {bad} failed\n   Error: no\n")


def test_wait_ends_when_nothing_will_start_the_task(town_dir: Person) -> None:
    town_dir.agent("bob")
    task = town_dir.tt("assign", "bob", "work", "--json").json["id"]
    town_dir.tt("kill", "bob")

    said = town_dir.tt("wait", "--task", task)

    assert (said.code, said.out) == (1, "")
    assert said.err == f"Error: Task {task[:8]} does not go on: agent 'bob' has stopped\nHint: tt restart bob\n"


def test_wait_goes_on_when_the_server_is_replaced(town_dir: Person) -> None:
    town_dir.agent("bob")
    waiting = town_dir.begin("wait", "bob", "--verbose")
    assert waiting.stderr is not None
    waiting.stderr.readline()
    town_dir.tt("stop", "--redis")

    out, _ = waiting.communicate()

    assert (waiting.returncode, out.decode()) == (0, "🛑 Agent 'bob' stopped - completed 0/10 rounds\n")


def test_a_life_from_spawn_to_restart(town_dir: Person) -> None:
    spawned = town_dir.tt("spawn", "backend", "--cli", "fake", "--max-rounds", "1")

    assert spawned.code == 0, spawned.err
    assert re.fullmatch(
        r"🤖 Spawned agent 'backend' using model 'fake'\n"
        r"   ID: [0-9a-f-]{36}\n"
        r"🔄 Starting agent loop in background \(max 1 rounds\)\.\.\.\n"
        r"   Logs: \.tt/logs/backend\.log\n"
        r"   Agent running in background\. Check status with 'tt status'\n",
        spawned.out,
    )
    task = town_dir.tt("assign", "backend", "work", "--json").json["id"]
    assert town_dir.tt("wait", "--task", task, "--timeout", "20").out.startswith(f"✅ Task {task} completed\n")
    assert town_dir.tt("wait", "backend", "--timeout", "20").out == (
        "🛑 Agent 'backend' stopped - completed 1/1 rounds\n"
    )
    assert "   backend (Stopped) - completed 1/1 rounds\n" in town_dir.tt("status").out
    assert "      └─ Round 1: ✅ completed\n" in town_dir.tt("status", "--deep").out
    assert town_dir.tt("restart", "backend", "--rounds", "20").out == (
        "🔄 Restarting agent 'backend'...\n"
        "   Rounds: 20\n"
        "   Log: .tt/logs/backend.log\n"
        "\n"
        "✅ Agent 'backend' restarted\n"
    )
    assert town_dir.tt("start", "--detach").out == "🚀 Town running in background already\n"


def test_in_the_foreground_the_output_is_shown_until_the_agent_ends(town_dir: Person) -> None:
    configure(town_dir, "say=hello", "say=\\\\u001b[2Jbye")
    running = town_dir.begin("spawn", "bob", "-m", "fake", "--foreground", "--max-rounds", "1")
    assert running.stdout is not None
    first = running.stdout.readline().decode()
    town_dir.tt("assign", "bob", "work")

    out, err = running.communicate()

    assert (running.returncode, err) == (0, b"")
    assert first == "🤖 Spawned agent 'bob' using model 'fake'\n"
    assert "\nhello\n" in out.decode()
    assert out.decode().endswith("🛑 Agent 'bob' stopped - completed 1/1 rounds\n")


def test_ctrl_c_in_the_foreground_stops_the_agent(town_dir: Person) -> None:
    configure(town_dir, "say=working", "wait")
    running = town_dir.begin("spawn", "bob", "--model", "fake", "--foreground")
    assert running.stdout is not None
    running.stdout.readline()
    town_dir.tt("assign", "bob", "work")
    read_until(running, "working")
    running.send_signal(signal.SIGINT)

    _, err = running.communicate()

    assert (running.returncode, err.decode()) == (130, "🛑 Requested stop for agent 'bob'\n")
    assert town_dir.tt("wait", "bob", "--timeout", "20").code == 0


def test_start_keeps_the_town_open_until_ctrl_c(town_dir: Person) -> None:
    running = town_dir.begin("start")
    assert running.stdout is not None
    assert running.stdout.readline().decode() == "🚀 Town connection open\n"
    second = town_dir.tt("start")
    running.send_signal(signal.SIGINT)

    out, err = running.communicate()

    assert (running.returncode, out.decode(), err) == (0, "👋 Closing town connection...\n", b"")
    assert second.code == 1
    assert second.err.startswith("Error: A runtime of this town is running on this host already")
