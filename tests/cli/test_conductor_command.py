"""`tt conductor` with a scripted CLI: it hands out work, is woken by the ends of it, and ends with its goal."""

from __future__ import annotations

import io
import re
import signal
import sys

import pytest
from living import wait_until
from person import Person

from tinytown.cli.main import main
from tinytown.ids import SUPERVISOR_ID

CLI = """\
import os, re, subprocess, sys

def tt(*words):
    subprocess.run(["tt", *words], check=True, stdout=subprocess.DEVNULL)

if sys.stdin.isatty():
    print("said:", sys.argv[1], flush=True)
    tt("spawn", "left", "--cli", "scripted")
    tt("send", "left", "--info", "hello")
    print("answered:", input(), flush=True)
    sys.exit(3)
prompt = sys.stdin.read()
if os.environ["TINYTOWN_AGENT"] != "conductor":
    print("did it")
    sys.exit()
round = int(os.environ["TINYTOWN_ROUND"])
goal = re.search(r"tt task complete (\\S+)", prompt)[1]
with open("rounds", "a") as file:
    file.write(f"{round}\\n")
if "wait for me" in prompt:
    sys.exit()
if round == 1:
    for name in ("left", "right"):
        tt("spawn", name, "--cli", "scripted")
    tt("assign", "left", "the left half")
    tt("send", "conductor", "half of it has begun\\x1b[2J\\nthe left one")
elif round == 2:
    assert "is completed: did it" in prompt, prompt
    tt("assign", "right", "the right half")
else:
    assert prompt.count("-> did it") == 2, prompt
    tt("task", "complete", goal, "--result", "both halves")
"""


@pytest.fixture
def scripted(town_dir: Person) -> Person:
    """A person whose conductor and workers are scripted."""
    script = town_dir.directory.parent / "conductor.py"
    script.write_text(CLI)
    config = town_dir.directory.parent / "home/.tt/config.toml"
    config.write_text(
        f'conductor_cli = "scripted"\n[agent_clis.scripted]\ncommand = "{sys.executable} {script}"\n'
        f'interactive = "{sys.executable} {script} {{prompt}}"\n'
    )
    return town_dir


def rounds(person: Person) -> list[str]:
    """The rounds that the conductor has had."""
    path = person.directory / "rounds"
    return path.read_text().split() if path.exists() else []


def test_a_goal_is_brought_about_by_workers_whose_ends_wake_the_conductor(scripted: Person) -> None:
    done = scripted.on_terminal("conductor", "build it")
    agents = {each["name"]: each for each in scripted.tt("list", "--json").json}
    (goal,) = (each for each in scripted.tt("task", "list", "--json").json if each["description"] == "build it")
    inbox = scripted.tt("inbox", "conductor").out

    assert done.code == 0
    # What it has for the person comes at once, and as harmless as anything else.
    assert re.search(
        r"; Ctrl-C ends it\.\n📬 [0-9a-f]{8} conductor: half of it has begun\\x1b\[2J\n      the left one\n✅", done.out
    )
    assert done.out.startswith("🚂 Starting conductor with scripted model...\n   Goal: build it (")
    assert done.out.endswith("✅ The goal is reached\n   both halves\n")
    assert rounds(scripted) == ["1", "2", "3"]
    assert {each["parent_agent_id"] for each in agents.values()} == {"00000000-0000-0000-0000-000000000001"}
    assert (set(agents), goal["state"]) == ({"left", "right"}, "completed")
    assert "half of it has begun" in inbox
    assert "The goal is completed: both halves" in inbox


def test_a_conductor_is_shown_wherever_agents_are(scripted: Person) -> None:
    first = scripted.begin("conductor", "wait for me")
    wait_until(
        lambda: scripted.tt("status", "--json").json.get("conductor", {}).get("state") == "idle" and rounds(scripted)
    )
    listed, said = scripted.tt("list").out, scripted.tt("status").out
    shown = scripted.tt("status", "--json").json

    assert listed == f"Agents:\n  conductor ({SUPERVISOR_ID}) - Idle\n"
    assert "🚂 Conductor (Idle) - " in said
    assert "   🎯 wait for me\n🤖 Agents: 0\n" in said
    assert (shown["agents"], shown["conductor"]["work"]) == ([], "wait for me")

    scripted.tt("kill", "conductor", "--now")
    first.communicate(timeout=60)
    assert f"  conductor ({SUPERVISOR_ID}) - Stopped\n" in scripted.tt("list").out
    (goal,) = scripted.tt("task", "list", "--json").json
    scripted.tt("task", "cancel", goal["id"])
    assert scripted.tt("list").out == "No agents. Run 'tt spawn <name>' to create one.\n"
    assert "Conductor" not in scripted.tt("status").out


def test_a_reset_leaves_no_conductor(scripted: Person) -> None:
    first = scripted.begin("conductor", "wait for me")
    wait_until(lambda: rounds(scripted))

    assert scripted.tt("reset", "--force").code == 0
    _, err = first.communicate(timeout=60)

    assert (first.returncode, err.decode().startswith("Error: Task not found: ")) == (1, True)
    assert scripted.tt("list").out == "No agents. Run 'tt spawn <name>' to create one.\n"
    assert "No conductor is at work" in scripted.tt("kill", "conductor").err
    assert scripted.tt("conductor", "another goal: wait for me", "--detach").code == 0
    wait_until(lambda: len(rounds(scripted)) == 2)
    assert [each["name"] for each in scripted.tt("list", "--json").json] == ["conductor"]


def test_there_is_one_conductor_and_its_goal_outlives_a_kill(scripted: Person) -> None:
    first = scripted.begin("conductor", "wait for me")
    wait_until(lambda: rounds(scripted))
    second = scripted.tt("conductor", "something else")
    killed = scripted.tt("kill", "conductor", "--now")
    out, _ = first.communicate(timeout=60)
    (goal,) = scripted.tt("task", "list", "--json").json
    idle = scripted.tt("kill", "conductor")

    assert second.code == 1
    assert second.err.startswith("Error: A conductor is at work already: wait for me\nHint: Speak to it with")
    assert (killed.code, first.returncode, goal["state"]) == (0, 1, "assigned")
    assert out.decode().endswith("   See why with 'tt why conductor', go on with 'tt conductor --detach'.\n")
    assert "No conductor is at work" in idle.err


def test_without_a_terminal_it_needs_a_goal(scripted: Person) -> None:
    said = scripted.tt("conductor")

    assert said.code == 2
    assert said.err == 'Error: The conductor needs a goal\nHint: Say what it shall bring about: tt conductor "goal"\n'


def test_ctrl_c_ends_the_conductor_that_is_waited_for(scripted: Person) -> None:
    waiting = scripted.begin("conductor", "wait for me")
    wait_until(lambda: rounds(scripted))
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=60)
    again = scripted.tt("conductor", "--detach")

    assert waiting.returncode == 130
    assert b"Its goal stays open" in err
    assert again.code == 0
    assert "It goes on where the last one ended." in again.out


def test_ctrl_c_ends_it_as_soon_as_that_is_said(scripted: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient(io.StringIO):
        """A terminal of somebody who presses Ctrl-C while he reads of it."""

        def write(self, text: str, /) -> int:
            written = super().write(text)
            if "Ctrl-C ends it" in text:
                raise KeyboardInterrupt
            return written

    monkeypatch.chdir(scripted.directory)
    for name, value in scripted.environ.items():
        monkeypatch.setenv(name, value)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Impatient())
        status = main(["conductor", "wait for me"])
    wait_until(lambda: scripted.tt("conductor", "--detach").code == 0)

    assert status == 130


def test_in_a_terminal_it_is_the_configured_cli_with_its_context_and_credential(scripted: Person) -> None:
    said = scripted.on_terminal("conductor", typed="build a bridge\n")
    context = (scripted.directory / ".tt/conductor_context.md").read_text()
    (left,) = scripted.tt("list", "--json").json
    (message,) = scripted.tt("inbox", "left", "--json").json["messages"]

    assert said.code == 3
    assert "🚂 Starting conductor with scripted model...\n   Context: .tt/conductor_context.md\n" in said.out
    assert f"said: Read the file {scripted.directory}/.tt/conductor_context.md" in said.out
    assert "answered: build a bridge" in said.out
    assert context.startswith('# Tinytown Conductor\n\nYou are the **conductor** of Tinytown "demo".')
    assert "## Current Town State\n\nNo agents yet: a fresh start." in context
    assert left["parent_agent_id"] == message["from"] == SUPERVISOR_ID
