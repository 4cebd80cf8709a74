"""`tt send` and `tt inbox`."""

from __future__ import annotations

import pytest
from person import Person


@pytest.mark.parametrize(
    ("options", "expected", "letter"),
    [
        ([], "📀 Sent task message to 'backend'", "[T]"),
        (["--query"], "📀 Sent query message to 'backend'", "[Q]"),
        (["--info"], "📀 Sent info message to 'backend'", "[I]"),
        (["--ack"], "📀 Sent ack message to 'backend'", "[C]"),
        (["--urgent"], "🚨 Sent URGENT task message to 'backend'", "🚨 [T]"),
        (["--urgent", "--query"], "🚨 Sent URGENT query message to 'backend'", "🚨 [Q]"),
    ],
)
def test_send_says_what_was_sent(town_dir: Person, options: list[str], expected: str, letter: str) -> None:
    town_dir.agent("backend")

    said = town_dir.tt("send", "backend", *options, "The spec is ready")

    # Whoever is only told something waits for nothing.
    told = "" if letter in "[I][C]" else "Note: No runtime is alive: it will begin after 'tt start'\n"
    assert (said.code, said.out, said.err) == (0, f"{expected}\n", told)
    lines = town_dir.tt("inbox", "backend").out.splitlines()
    assert lines[0] == "📬 Inbox for 'backend': 1 messages"
    assert lines[1].startswith(f"   {letter} ")
    assert "The spec is ready" in lines[1]


def test_all_inboxes_are_shown_by_kind_with_the_tasks(town_dir: Person) -> None:
    assert town_dir.tt("inbox", "--all").out == "No pending messages.\n"
    for name in ("backend", "reviewer", "idle"):
        town_dir.agent(name)
    town_dir.tt("assign", "backend", "Fix authentication bug")
    town_dir.tt("send", "backend", "--query", "Which one?")
    town_dir.tt("send", "backend", "--info", "CI is green")
    town_dir.tt("send", "reviewer", "--ack", "Thanks")

    expected = (
        "📋 Pending Messages by Agent:\n"
        "\n"
        "  backend (Starting):\n"
        "    [T] 1 tasks requiring action\n"
        "    [Q] 1 queries awaiting response\n"
        "    [I] 1 informational\n"
        "    [C] 0 confirmations\n"
        "    • Fix authentication bug\n"
        "\n"
        "  reviewer (Starting):\n"
        "    [T] 0 tasks requiring action\n"
        "    [Q] 0 queries awaiting response\n"
        "    [I] 0 informational\n"
        "    [C] 1 confirmations\n"
        "\n"
        "Total: 2 actionable message(s)\n"
    )
    assert town_dir.tt("inbox", "--all").out == expected
    old = town_dir.tt("tasks")
    assert (old.out, old.err) == (expected, "Note: 'tt tasks' is now 'tt inbox --all'.\n")


def test_a_person_may_speak_as_an_agent(town_dir: Person) -> None:
    bob, eve = town_dir.agent("bob"), town_dir.agent("eve")

    sent = town_dir.tt("send", "bob", "hi", "--from", "eve", "--json").json

    assert (sent["from"], sent["to"], sent["to_name"]) == (eve.id, bob.id, "bob")
    seen = town_dir.tt("inbox", "bob", "--json").json
    assert seen["messages"][0]["id"] == sent["id"]
    assert (seen["messages"][0]["from_name"], seen["messages"][0]["text"]) == ("eve", "hi")


def test_the_conductor_is_reached_by_its_names(town_dir: Person) -> None:
    town_dir.tt("send", "conductor", "--ack", "Received")
    town_dir.tt("send", "supervisor", "--info", "Done")

    assert town_dir.tt("inbox").out.startswith("📬 Inbox for 'supervisor': 2 messages\n")


def test_the_text_may_come_from_standard_input(town_dir: Person) -> None:
    town_dir.agent("bob")

    sent = town_dir.tt("send", "bob", "-", "--json", text="- one\n- two\n").json

    assert sent["description"] == "- one\n- two"


def test_an_agent_with_a_false_credential_is_refused(town_dir: Person) -> None:
    agent = town_dir.agent("bob")

    said = town_dir.tt("send", "conductor", "hi", TINYTOWN_AGENT_ID=agent.id, TINYTOWN_AGENT_TOKEN="made up")

    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("Error: The credential of agent")
