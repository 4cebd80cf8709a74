"""`tt interrupt`, `resume`, `close`, `why`, `history`, `logs`, `dlq`: what a person reads."""

from __future__ import annotations

import json
import re
import signal

import pytest
from person import Person

from tinytown.cli.main import main
from tinytown.cli.render.agents import interrupted
from tinytown.lifecycle import AgentState
from tinytown.records import Agent
from tinytown.runtime.opening import open_blocking
from tinytown.runtime.operations.pausing import Interrupted
from tinytown.transport.blocking import run_sync
from tinytown.transport.delivery import DeadLetter, Quarantine
from tinytown.transport.placement import RuntimeCard, new_runtime_id


def bury(person: Person, agent: Agent) -> None:
    """Let what waits for the agent become dead letters, as a runtime on another host would."""
    with open_blocking(person.directory, environ=person.environ) as town:
        card = RuntimeCard(new_runtime_id(), "elsewhere", 1, "2026-01-01T00:00:00.000Z")
        run_sync(town.placement.begin(card, lease=60))
        (placed,) = run_sync(town.placement.place(card.id, [agent.id]))
        assert placed.fence is not None
        claim = run_sync(town.mailbox.claim(placed.fence, count=50, size=1 << 20, lease=60))
        outcomes = [
            (each, DeadLetter("exit status 3 \x1b[2J") if each.message is not None else Quarantine(each.fault))
            for each in claim.deliveries
        ]
        run_sync(town.mailbox.settle(placed.fence, outcomes))
        run_sync(town.placement.unplace(placed.fence, wanted=True))
        run_sync(town.placement.end(card.id))


def write_logs(person: Person, name: str, **texts: str) -> None:
    """The agent's log, and the outputs of its rounds: `round_1="…"`."""
    logs = person.directory / ".tt/logs"
    for part, text in texts.items():
        (logs / (f"{name}.log" if part == "log" else f"{name}_{part}.log")).write_text(text)


# Pausing.


def test_an_agent_is_interrupted_resumed_and_closed(town_dir: Person) -> None:
    town_dir.agent("bob")

    assert town_dir.tt("interrupt", "bob").out == (
        "⏸️  Interrupted agent 'bob'\n   It takes no turn until 'tt resume bob'.\n"
    )
    assert town_dir.tt("why", "bob").out == (
        "Agent 'bob' is paused and takes no turn until it is resumed.\n   💡 tt resume bob\n"
    )
    resumed = town_dir.tt("resume", "bob")
    assert resumed.out == "▶️  Resumed agent 'bob'\n"
    assert resumed.err == "Note: No runtime is alive: it will begin after 'tt start'\n"
    assert town_dir.tt("interrupt", "bob", "--now", "--json").json["state"] == "paused"
    assert town_dir.tt("resume", "bob", "--json").json["state"] == "idle"
    assert town_dir.tt("close", "bob").out == "🚪 Closed agent 'bob'\n   Agent has stopped.\n"
    again = town_dir.tt("close", "bob", "--json")
    assert (again.code, again.out) == (1, "")
    assert again.err.startswith("Error: Agent 'bob' is stopped: 'close' is not possible now\nHint: ")


@pytest.mark.parametrize(
    ("in_turn", "now", "expected"),
    [
        (True, False, "   Its turn goes on to its end, and it takes no other until 'tt resume bob'."),
        (True, True, "   Its turn is cut, the unfinished work stays in its mailbox, and it takes no other until"),
        (False, True, "   It takes no turn until 'tt resume bob'."),
    ],
)
def test_an_interrupt_says_what_becomes_of_the_turn(in_turn: bool, now: bool, expected: str) -> None:
    agent = Agent(name="bob", cli="any", state=AgentState.PAUSED)

    assert interrupted(Interrupted(agent, in_turn), now=now)[1].startswith(expected)


def test_a_running_agent_is_paused_cut_and_goes_on(town_dir: Person) -> None:
    config = town_dir.directory.parent / "home/.tt/config.toml"
    config.write_text(re.sub(r"fake_cli\.py .*\"", 'fake_cli.py say=working pause"', config.read_text()))
    town_dir.tt("spawn", "bob", "--cli", "fake")
    following = town_dir.begin("events", "--follow", "--agent", "bob", "--type", "round")
    assert following.stdout is not None
    task = town_dir.tt("assign", "bob", "dig", "--json").json["id"]
    following.stdout.readline()

    assert "which works on it since" in town_dir.tt("why", task).out
    cut = town_dir.tt("interrupt", "bob", "--now")
    assert b"round.cut" in following.stdout.readline()
    waiting = town_dir.tt("why", task)
    town_dir.tt("resume", "bob")
    assert b"round.started" in following.stdout.readline()
    following.kill()
    following.communicate()

    assert "Its turn is cut" in cut.out
    assert "waits for agent 'bob', which is paused" in waiting.out
    history = town_dir.tt("history", "bob").out
    assert "Round 1: ✂️  cut" in history
    assert "Round 1: 🔄 running" in history


def test_a_task_that_is_cancelled_costs_nothing_more(town_dir: Person) -> None:
    config = town_dir.directory.parent / "home/.tt/config.toml"
    config.write_text(re.sub(r"fake_cli\.py .*\"", 'fake_cli.py say=working pause"', config.read_text()))
    town_dir.tt("spawn", "bob", "--cli", "fake")
    following = town_dir.begin("events", "--follow", "--agent", "bob", "--type", "round")
    assert following.stdout is not None
    task = town_dir.tt("assign", "bob", "dig", "--json").json["id"]
    following.stdout.readline()

    cancelled = town_dir.tt("task", "cancel", task, "--reason", "no hole")
    assert b"cut by the cancel of its task by supervisor" in following.stdout.readline()
    following.kill()
    following.communicate()

    assert cancelled.code == 0
    assert town_dir.tt("list", "--json").json[0]["state"] == "idle"
    assert town_dir.tt("task", "show", task, "--json").json["state"] == "cancelled"


# Why and history.


def test_why_is_one_sentence_and_json_for_programs(town_dir: Person) -> None:
    agent = town_dir.agent("bob")
    task = town_dir.tt("assign", "bob", "dig\x1b[2J", "--json").json["id"]

    said = town_dir.tt("why", task[:8])

    assert said.out == (
        f"Task {task[:8]} 'dig\\x1b[2J' waits for agent 'bob', which has no runtime: none is alive in this town.\n"
        "   💡 tt start --detach\n"
    )
    found = town_dir.tt("why", "bob", "--json").json
    assert (found["kind"], found["id"], found["fact"]) == ("agent", agent.id, "no_runtime")
    assert town_dir.tt("why", "nobody").err.startswith("Error: No agent and no task is called nobody\nHint: ")


def test_history_shows_what_was_done(town_dir: Person) -> None:
    assert town_dir.tt("history").out == "Nothing has been done yet.\n"
    town_dir.agent("bob")
    task = town_dir.tt("assign", "bob", "dig a hole", "--json").json["id"]
    town_dir.tt("task", "complete", task)
    town_dir.tt("kill", "bob")

    said = town_dir.tt("history", "bob").out

    lines = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "T", said).splitlines()
    assert lines == [
        "📜 History (4):",
        "   T [bob] ✨ spawned (claude)",
        "   T [bob]",
        f"      ✅ {task[:8]} dig a hole",
        "   T [bob] 🛑 asked to stop - after its turn, by supervisor",
        "   T [bob] 🛑 stopped - completed 0/10 rounds",
    ]
    last = town_dir.tt("history", "-n", "2", "--json").json
    assert [entry["what"] for entry in last] == ["agent.killed", "agent.stopped"]
    older = town_dir.tt("history", "-n", "1", "--before", last[0]["id"]).out
    assert f"✅ {task[:8]} dig a hole" in older
    assert "asked to stop" not in older


# Dead letters.


def test_dead_letters_are_listed_shown_retried_and_dropped(town_dir: Person) -> None:
    assert town_dir.tt("dlq").out == "No dead letters, and nothing in quarantine.\n"
    bob = town_dir.agent("bob")
    task = town_dir.tt("assign", "bob", "dig\na hole", "--json").json["id"]
    bury(town_dir, bob)
    (letter,) = town_dir.tt("dlq", "list", "--json").json
    handle = letter["id"][:8]

    listed = town_dir.tt("dlq", "list").out.splitlines()
    shown = town_dir.tt("dlq", "show", handle).out

    assert listed[0] == "📪 Dead letters (1):"
    assert listed[1] == f"   {handle} [bob] dig a hole"
    assert listed[2].endswith("Z, 0 failed turns: exit status 3 \\x1b[2J")
    assert f"📪 Message: {letter['id']}\n   In: the dead letters\n   For: bob\n   From: conductor\n" in shown
    assert "   Text: dig\n      a hole\n" in shown
    assert "among the dead letters" in town_dir.tt("why", task).out
    assert "📪" in town_dir.tt("dlq", "bob").out

    assert town_dir.tt("dlq", "retry", handle).out == f"📬 {handle} is back in the mailbox of 'bob'\n"
    assert town_dir.tt("inbox", "bob").out.startswith("📬 Inbox for 'bob': 1 messages\n")
    bury(town_dir, bob)
    dropped = town_dir.tt("dlq", "drop", "--all")
    assert dropped.out == f"🗑️  Dropped {handle} of 'bob'\n"
    assert dropped.err.startswith(f"Note: Task {task[:8]} is still open")
    assert town_dir.tt("dlq", "drop", "--all").out == "No dead letters, and nothing in quarantine.\n"


def test_bytes_in_quarantine_are_shown_harmlessly(town_dir: Person) -> None:
    bob = town_dir.agent("bob")
    with open_blocking(town_dir.directory, environ=town_dir.environ) as town:
        run_sync(town.connection.execute("RPUSH", town.keys("inbox", bob.id), b"\x1b[2J\xff"))
    bury(town_dir, bob)
    (letter,) = town_dir.tt("dlq", "--json").json

    listed = town_dir.tt("dlq").out
    shown = town_dir.tt("dlq", "show", letter["id"]).out

    assert listed.startswith(f"☣️  Quarantine (1):\n   {letter['id'][:13]} [bob] (no message)\n")
    assert "   Bytes: b'\\x1b[2J\\xff'\n" in shown
    assert letter["raw"] == "\x1b[2J\\xff"


def test_what_cannot_go_back_stays_and_is_a_failure(town_dir: Person) -> None:
    bob = town_dir.agent("bob")
    town_dir.tt("send", "bob", "dig")
    bury(town_dir, bob)
    with open_blocking(town_dir.directory, environ=town_dir.environ) as town:
        run_sync(town.connection.execute("DEL", town.keys("agent", bob.id)))

    said = town_dir.tt("dlq", "retry", "--all")

    assert (said.code, said.out) == (1, "")
    assert re.match(r"❌ [0-9a-f]{8} stays where it is: Agent not found: ", said.err)
    refused = town_dir.tt("dlq", "retry", "--all", "--json").json["refused"]
    assert len(refused) == 1


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("dlq retry", 2),
        ("dlq drop abcd --all", 2),
        ("dlq show ffffffff", 1),
        ("dlq list --count 0", 2),
        ("history --count 0", 2),
        ("history --before yesterday", 2),
        ("events --follow --before 1-0", 2),
        ("logs bob --lines -1", 2),
        ("logs bob --round 0", 2),
        ("why", 2),
        ("interrupt", 2),
    ],
)
def test_wrong_usage_is_explained(
    town_dir: Person, line: str, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    town_dir.agent("bob")
    capsys.readouterr()
    monkeypatch.chdir(town_dir.directory)

    status = main(line.split())

    out, err = capsys.readouterr()
    assert (status, out) == (code, ""), err
    assert err.startswith("Error: ")


# Logs.


def test_logs_show_the_log_and_the_latest_round_under_their_names(town_dir: Person) -> None:
    town_dir.agent("bob")
    assert town_dir.tt("logs", "bob").err == "Note: Agent 'bob' has done nothing yet.\n"
    write_logs(
        town_dir, "bob", log="begins\n", round_1="old\n", round_2="\x1b[31mred\x1b[0m \x1b]0;own\x07\x08\nno end"
    )

    assert town_dir.tt("logs", "bob").out == (
        "==> .tt/logs/bob.log\nbegins\n\n==> .tt/logs/bob_round_2.log\nred \\x08\nno end\n"
    )
    assert town_dir.tt("logs", "bob", "--round", "1").out == "old\n"
    assert town_dir.tt("logs", "bob", "-r", "2", "-n", "1").out == "no end\n"
    lines = town_dir.tt("logs", "bob", "--json").out.splitlines()
    assert json.loads(lines[0]) == {"file": ".tt/logs/bob.log", "line": "begins"}
    missing = town_dir.tt("logs", "bob", "--round", "7")
    assert (missing.code, missing.out) == (1, "")
    assert missing.err.startswith("Error: Agent 'bob' has left no output of round 7\nHint: ")


def test_a_long_log_is_shown_from_its_last_lines_and_one_round_whole(town_dir: Person) -> None:
    town_dir.agent("bob")
    text = "".join(f"line {number}\n" for number in range(500))
    write_logs(town_dir, "bob", log="begins\n", round_1=text)

    assert "line 399\n" not in town_dir.tt("logs", "bob").out
    assert "line 400\n" in town_dir.tt("logs", "bob").out
    assert town_dir.tt("logs", "bob", "--round", "1").out == text


def test_logs_are_followed_over_new_rounds_and_a_log_that_is_cut(town_dir: Person) -> None:
    town_dir.agent("bob")
    lines = [f"{number:03d}\n" for number in range(100)]
    write_logs(town_dir, "bob", log="begins\n", round_1="".join(lines))
    following = town_dir.begin("logs", "bob", "--follow", "--lines", "1")
    assert following.stdout is not None
    read = following.stdout.readline
    assert [read() for _ in range(5)] == [
        b"==> .tt/logs/bob.log\n", b"begins\n", b"\n", b"==> .tt/logs/bob_round_1.log\n", b"099\n",
    ]  # fmt: skip
    round_1 = town_dir.directory / ".tt/logs/bob_round_1.log"

    round_1.write_text("000\n\n[100 bytes left out here]\n" + "".join(lines[-70:]) + "100\n")
    assert read() == b"100\n"
    write_logs(town_dir, "bob", round_2="three\n")
    assert [read() for _ in range(3)] == [b"\n", b"==> .tt/logs/bob_round_2.log\n", b"three\n"]
    following.send_signal(signal.SIGINT)
    _, err = following.communicate()

    assert (following.returncode, err) == (130, b"")


def test_a_link_in_place_of_a_log_is_refused(town_dir: Person) -> None:
    town_dir.agent("bob")
    (town_dir.directory / ".tt/logs/bob.log").symlink_to("/etc/passwd")

    said = town_dir.tt("logs", "bob")

    assert said.code == 1
    assert "root:" not in said.out


# The demonstration.


def test_the_colours_of_the_demonstration_reach_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tinytown.cli import terminal
    from tinytown.runtime import demo

    def play(*, directory: object, announce: object, colour: bool, mission: bool) -> int:
        assert callable(announce)
        assert not mission
        announce(f"\x1b[32m{directory} {colour}\x1b[0m")
        return 0

    monkeypatch.setattr(demo, "run", play)
    monkeypatch.setattr(terminal, "colours", lambda: True)

    assert main(["demo"]) == 0
    assert capsys.readouterr().out == "\x1b[32mNone True\x1b[0m\n"
