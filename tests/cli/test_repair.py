"""`tt recover`, `reclaim`, `prune`, `reset`, in the words of the book."""

from __future__ import annotations

import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from person import Person

from tinytown.lifecycle import AgentEvent
from tinytown.records import Agent, Task
from tinytown.runtime.opening import open_blocking
from tinytown.transport.blocking import run_sync
from tinytown.transport.placement import RuntimeCard, new_runtime_id


def ended(person: Person, name: str, *tasks: str) -> tuple[Agent, list[str]]:
    """A stopped agent with these tasks in its mailbox."""
    agent = person.agent(name)
    ids = [person.tt("assign", name, text, "--json").json["id"] for text in tasks]
    assert person.tt("kill", name).code == 0
    return agent, ids


def lost(person: Person, name: str, heartbeat: str) -> Agent:
    """An agent that works on a runtime that is gone."""
    agent = person.agent(name)
    with open_blocking(person.directory, environ=person.environ) as town:
        run_sync(town.placement.begin(RuntimeCard(new_runtime_id(), "elsewhere", 1, "x"), lease=0.001))
        card = RuntimeCard(new_runtime_id(), "elsewhere", 1, "x")
        run_sync(town.placement.place(card.id, [agent.id]))
        return run_sync(
            town.store.update_agent(
                agent.id,
                lambda found: replace(
                    found.after(AgentEvent.READY).after(AgentEvent.BEGIN),
                    last_heartbeat=heartbeat,  # type: ignore[arg-type]
                ),
            )
        )


# recover


def test_recover_says_what_the_book_says(town_dir: Person) -> None:
    assert town_dir.tt("recover").out == (
        "🔍 Scanning for orphaned agents...\n\n✨ No orphaned agents found (0 agents checked)\n"
    )
    lost(town_dir, "worker-1", "2001-01-01T00:00:00.000Z")
    town_dir.agent("worker-2")

    said = town_dir.tt("recover")

    age = r"\d+d"
    assert re.fullmatch(
        "🔍 Scanning for orphaned agents...\n"
        f"   🔄 Recovered 'worker-1' \\(Working\\) - last heartbeat {age} ago\n"
        "\n"
        "✨ Recovered 1 orphaned agent\\(s\\) \\(2 total checked\\)\n"
        "   Run 'tt prune' to remove them from Redis\n",
        said.out,
    )
    assert town_dir.tt("recover", "--json").json == {"agents": [], "checked": 2, "by_runtime": False, "messages": 0}


def test_after_a_runtime_was_killed_its_agent_is_recovered_with_its_work(town_dir: Person) -> None:
    config = town_dir.directory.parent / "home/.tt/config.toml"
    config.write_text(re.sub(r'fake_cli\.py .*"', 'fake_cli.py wait"', config.read_text()))
    assert town_dir.tt("spawn", "worker-1", "--cli", "fake").code == 0
    task = town_dir.tt("assign", "worker-1", "dig", "--json").json["id"]
    deadline = time.monotonic() + 30
    while town_dir.tt("task", "show", task, "--json").json["state"] != "running":
        assert time.monotonic() < deadline
    (runtime,) = town_dir.tt("status", "--json").json["runtimes"]
    os.kill(runtime["pid"], signal.SIGKILL)
    while Path(f"/proc/{runtime['pid']}").exists() and " Z " not in _stat(runtime["pid"]):
        assert time.monotonic() < deadline

    said = town_dir.tt("recover")

    assert "🔄 Recovered 'worker-1' (Working)" in said.out
    assert "   1 message(s) are back in their mailboxes\n" in said.out
    assert town_dir.tt("task", "show", task, "--json").json["state"] == "assigned"
    assert town_dir.tt("list", "--json").json[0]["state"] == "stopped"


def _stat(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return " Z "


# reclaim


def test_reclaim_shows_what_the_book_shows(town_dir: Person) -> None:
    town_dir.agent("worker-1")
    task = town_dir.tt("assign", "worker-1", "Fix it", "--json").json["id"]
    town_dir.tt("send", "worker-1", "Fix authentication bug in login endpoint")
    town_dir.tt("send", "worker-1", "--query", "Which port?")
    town_dir.tt("kill", "worker-1")

    said = town_dir.tt("reclaim")

    assert said.out == (
        "🔄 Reclaiming orphaned tasks...\n"
        "   worker-1 (Stopped): 3 message(s)\n"
        f"      task: {task}\n"
        "      task: Fix authentication bug in login endpoint\n"
        "      query: Which port?\n"
        "\n"
        "📋 Found 2 orphaned task(s) and 1 other message(s)\n"
        "   Use --to-backlog or --to <agent> to reclaim them\n"
    )
    assert town_dir.tt("reclaim").out == said.out


def test_reclaim_to_the_backlog_says_where_everything_went(town_dir: Person) -> None:
    town_dir.agent("worker-1")
    task = town_dir.tt("assign", "worker-1", "Fix it", "--json").json["id"]
    message = town_dir.tt("send", "worker-1", "Update database schema", "--json").json["id"]
    town_dir.tt("send", "worker-1", "--query", "Which port?")
    town_dir.tt("kill", "worker-1")

    said = town_dir.tt("reclaim", "--to-backlog")

    assert said.out == (
        "🔄 Reclaiming orphaned tasks...\n"
        "   worker-1 (Stopped): 3 message(s)\n"
        f"      → backlog: {task}\n"
        f"      → backlog: {message}\n"
        "      → conductor: query: Which port?\n"
        "\n"
        "✅ Moved 2 task(s) to backlog\n"
        "   1 other message(s) to the conductor's inbox\n"
    )
    assert town_dir.tt("reclaim").out == "🔄 Reclaiming orphaned tasks...\n\n✨ No orphaned tasks found\n"
    assert "conductor: Which port?" in town_dir.tt("inbox", "conductor").out


def test_reclaim_to_an_agent_says_what_the_book_says(town_dir: Person) -> None:
    ended(town_dir, "worker-0", "not this one")
    _, (one, two) = ended(town_dir, "worker-1", "one", "two")
    town_dir.tt("send", "worker-1", "Update database schema")
    town_dir.agent("worker-2")

    said = town_dir.tt("reclaim", "--from", "worker-1", "--to", "worker-2")

    assert said.out == (
        "🔄 Reclaiming orphaned tasks...\n"
        "   worker-1 (Stopped): 3 message(s)\n"
        f"      → worker-2: {one}\n"
        f"      → worker-2: {two}\n"
        "      → worker-2: Update database schema\n"
        "\n"
        "✅ Moved 3 task(s) to 'worker-2'\n"
    )
    assert "3 messages" in town_dir.tt("inbox", "worker-2").out
    assert "1 messages" in town_dir.tt("inbox", "worker-0").out


def test_reclaim_gives_programs_every_piece(town_dir: Person) -> None:
    _, (task,) = ended(town_dir, "worker-1", "one")

    preview = town_dir.tt("reclaim", "--json").json
    done = town_dir.tt("reclaim", "--to-backlog", "--json").json

    assert [message["task_id"] for message in preview["left"][0]["messages"]] == [task]
    assert [(piece["where"], piece["task"]["id"]) for piece in done["moved"][0]["pieces"]] == [("backlog", task)]


def test_orphan_tasks_are_listed_and_settled(town_dir: Person) -> None:
    _, (one,) = ended(town_dir, "worker-1", "one")
    with open_blocking(town_dir.directory, environ=town_dir.environ) as town:
        gone = Task("two").assign(new_runtime_id())  # type: ignore[arg-type]
        run_sync(town.store.commit(town.store.change().create_task(gone)))

    assert town_dir.tt("reclaim", "--orphan-tasks").out == (
        "🔄 Reclaiming orphaned tasks...\n"
        f"   📌 {one[:8]}-... - one [worker-1 has ended]\n"
        f"   📌 {gone.id[:8]}-... - two [its agent is gone]\n"
        "\n"
        "📋 Found 2 orphaned task(s)\n"
        "   Use --to-backlog, --cancel or --delete with --orphan-tasks to settle them\n"
    )
    assert town_dir.tt("reclaim", "--orphan-tasks", "--from", "worker-1", "--cancel").out.endswith(
        "\n\n✅ Cancelled 1 task(s)\n"
    )
    assert town_dir.tt("reclaim", "--orphan-tasks", "--to-backlog").out.endswith("\n\n✅ Moved 1 task(s) to backlog\n")
    assert town_dir.tt("reclaim", "--orphan-tasks", "--delete").out.endswith("✨ No orphaned tasks found\n")
    found = town_dir.tt("reclaim", "--orphan-tasks", "--json").json
    assert found == {"action": "list", "orphans": []}


@pytest.mark.parametrize(
    "options",
    [
        ["--cancel"],
        ["--delete"],
        ["--to-backlog", "--to", "worker-1"],
        ["--orphan-tasks", "--to", "worker-1"],
        ["--orphan-tasks", "--cancel", "--delete"],
        ["--orphan-tasks", "--to-backlog", "--delete"],
    ],
)
def test_reclaim_refuses_what_cannot_be_meant(town_dir: Person, options: list[str]) -> None:
    town_dir.agent("worker-1")
    said = town_dir.tt("reclaim", *options)

    assert (said.code, said.out) == (2, "")


# prune


def test_prune_says_what_the_book_says(town_dir: Person) -> None:
    assert town_dir.tt("prune").out == "✨ No agents to prune\n"
    one, _ = ended(town_dir, "worker-1")
    two, _ = ended(town_dir, "worker-2", "dig")
    town_dir.agent("worker-3")

    assert town_dir.tt("prune").out == (
        f"🗑️  Removed worker-1 ({one.id[:8]}...) - Stopped\n"
        f"🗑️  Removed worker-2 ({two.id[:8]}...) - Stopped\n"
        "   → backlog: 1 task(s)\n"
        "✨ Pruned 2 agent(s)\n"
    )
    assert [agent["name"] for agent in town_dir.tt("list", "--json").json] == ["worker-3"]
    assert "✨ Pruned 1 agent(s)\n" in town_dir.tt("prune", "--all").out
    assert town_dir.tt("prune", "--json").json == {"removed": [], "busy": []}


def test_a_task_of_an_agent_that_was_pruned_names_it_shortly(town_dir: Person) -> None:
    agent = town_dir.agent("bob")
    task = town_dir.tt("assign", "bob", "dig", "--json").json["id"]
    town_dir.tt("task", "complete", task)
    town_dir.tt("kill", "bob")
    assert "✨ Pruned 1 agent(s)" in town_dir.tt("prune").out

    gone = f"(gone) {agent.id[:8]}"
    assert town_dir.tt("task", "list").out.endswith(f" - dig [{gone}]\n")
    assert f"   Assigned to: {gone}\n" in town_dir.tt("task", "show", task).out
    assert town_dir.tt("task", "show", task, "--json").json["assigned_to"] == agent.id


def test_prune_leaves_an_agent_in_a_turn_unless_it_is_forced(town_dir: Person) -> None:
    config = town_dir.directory.parent / "home/.tt/config.toml"
    config.write_text(re.sub(r'fake_cli\.py .*"', 'fake_cli.py wait"', config.read_text()))
    assert town_dir.tt("spawn", "worker-1", "--cli", "fake").code == 0
    task = town_dir.tt("assign", "worker-1", "dig", "--json").json["id"]
    deadline = time.monotonic() + 30
    while town_dir.tt("task", "show", task, "--json").json["state"] != "running":
        assert time.monotonic() < deadline

    left = town_dir.tt("prune", "--all")
    assert (left.code, left.out) == (1, "✨ No agents to prune\n")
    assert "tt kill worker-1 --now" in left.err

    forced = town_dir.tt("prune", "--all", "--force")
    assert (forced.code, "✨ Pruned 1 agent(s)" in forced.out) == (0, True)
    assert [each["id"] for each in town_dir.tt("backlog", "list", "--json").json] == [task]
    while town_dir.tt("status", "--json").json["agents"]:
        assert time.monotonic() < deadline


# reset


def test_reset_shows_first_and_does_it_when_forced(town_dir: Person) -> None:
    ended(town_dir, "worker-1", "one", "two")
    town_dir.tt("backlog", "add", "three")
    heading = (
        "🗑️  Resetting town 'demo'\n   This will delete:\n   - 1 agent(s)\n   - 3 task(s)\n   - 1 backlog item(s)\n\n"
    )

    assert town_dir.tt("reset").out == (
        f"{heading}⚠️  This action cannot be undone!\n   Run with --force to confirm: tt reset --force\n"
    )
    assert len(town_dir.tt("task", "list", "--json").json) == 3
    assert re.fullmatch(
        re.escape(heading) + r"✅ Reset complete: deleted \d+ Redis keys\n"
        r"   Run 'tt spawn <name>' to create new agents\n",
        town_dir.tt("reset", "--force").out,
    )
    assert town_dir.tt("task", "list", "--json").json == []
    assert town_dir.tt("list", "--json").json == []


def test_reset_of_the_agents_keeps_tasks_and_backlog(town_dir: Person) -> None:
    _, (task,) = ended(town_dir, "worker-1", "one")
    waiting = town_dir.tt("backlog", "add", "two", "--json").json["id"]
    heading = (
        "🗑️  Resetting agents in town 'demo'\n"
        "   This will delete:\n"
        "   - 1 agent(s) and their inboxes\n"
        "   Tasks and backlog will be preserved.\n"
        "\n"
    )

    assert town_dir.tt("reset", "--agents-only").out == (
        f"{heading}⚠️  This action cannot be undone!\n   Run with --force to confirm: tt reset --agents-only --force\n"
    )
    said = town_dir.tt("reset", "--agents-only", "--force")
    assert re.fullmatch(
        re.escape(heading) + r"✅ Reset complete: deleted \d+ Redis keys \(agents only\)\n"
        r"   → backlog: 1 task\(s\)\n"
        r"   Run 'tt spawn <name>' to create new agents\n",
        said.out,
    )
    assert [each["id"] for each in town_dir.tt("backlog", "list", "--json").json] == [waiting, task]
    counts = {"agents": 0, "tasks": 2, "backlog": 2, "in_turn": 0, "to_backlog": 0, "to_conductor": 0}
    assert town_dir.tt("reset", "--json").json == {"town": "demo", **counts}
