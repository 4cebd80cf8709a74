"""What goes wrong: one clear sentence, what to do, the documented exit status, and never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
from living import LONG, wait_until
from person import TT, Person
from warmth import stuck_pipe

from tinytown.cli.main import main


def test_without_a_town_every_command_says_to_make_one(person: Person) -> None:
    for line in ("status", "send bob hi", "task list", "spawn bob", "start", "events", "wait bob", "trust"):
        said = person.tt(*line.split())

        assert (said.code, said.out) == (1, ""), line
        assert said.err.startswith("Error: Town not initialized at . Run 'tt init' first."), line


def test_the_directory_that_has_no_town_is_named_as_it_was_typed(person: Person) -> None:
    said = person.tt("status", "--town", "../town")

    assert said.err.startswith("Error: Town not initialized at ../town. Run 'tt init' first.")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sned bob hi", 'Error: Unknown command "sned". Did you mean "send"?\nHint: See: tt --help\n'),
        (
            "send bob hi --qery",
            "Error: Unknown option: --qery. Did you mean --query?\nHint: See: tt send --help\n",
        ),
        ("spawn bob --frob", "Error: Unknown option: --frob\nHint: See: tt spawn --help\n"),
        ("stalls", 'Error: Unknown command "stalls"\nHint: See: tt --help\n'),
        ("task shw", 'Error: Unknown command "shw". Did you mean "show"?\nHint: See: tt task --help\n'),
        ("send bob", 'Error: Command "send" parameter MESSAGE requires an argument\nHint: See: tt send --help\n'),
        (
            "kill bob more",
            "Error: Too many arguments for 'tt kill': more\nHint: Put a text into quotes. See: tt kill --help\n",
        ),
        ("task", "Error: 'tt task' needs a command\nHint: See: tt task --help\n"),
        (
            "spawn bob --max-rounds many",
            'Error: Invalid value for --max-rounds: "many" is no whole number\nHint: See: tt spawn --help\n',
        ),
        (
            "wait bob --timeout 5m",
            'Error: Invalid value for --timeout: "5m" is no number\nHint: See: tt wait --help\n',
        ),
        ("send bob hi --query --ack", None),
        ("inbox bob --all", None),
        ("task list --state lost", None),
        ("wait", None),
        ("wait bob --timeout -1", None),
        ("init a --name b", None),
    ],
)
def test_wrong_usage_is_explained_and_ends_with_2(
    line: str, expected: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(line.split())

    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith("Error: ")
    assert "\nHint: " in err
    if expected is not None:
        assert err == expected


def test_arguments_that_are_no_utf_8_are_refused(person: Person) -> None:
    said = person.tt("send", "bob", b"caf\xe9")

    assert said.code == 2
    assert "Argument 3 is not valid UTF-8: b'caf\\xe9'" in said.err


def test_standard_input_that_is_no_utf_8_is_refused(town_dir: Person) -> None:
    town_dir.agent("bob")

    said = town_dir.tt("send", "bob", "-", text=b"caf\xe9")

    assert said.code == 2
    assert "not valid UTF-8" in said.err
    assert town_dir.tt("inbox", "bob").out == "📬 Inbox for 'bob': 0 messages\n"


def test_ten_megabytes_are_refused_with_the_limit(town_dir: Person) -> None:
    town_dir.agent("bob")

    for line in (["send", "bob", "-"], ["assign", "bob", "-"]):
        said = town_dir.tt(*line, text="x" * 10_000_000)

        assert (said.code, said.out) == (1, ""), line
        assert "262,144" in said.err or "256" in said.err, said.err
    assert town_dir.tt("inbox", "bob").out == "📬 Inbox for 'bob': 0 messages\n"


def test_an_unknown_agent_is_named_with_what_to_do(town_dir: Person) -> None:
    said = town_dir.tt("assign", "nonexistent", "work")

    assert said.code == 1
    assert said.err == "Error: Agent not found: nonexistent\nHint: See who is there with: tt list\n"


def test_the_agent_that_was_probably_meant_is_named(town_dir: Person) -> None:
    town_dir.agent("worker-1")

    for line in (["assign", "wokrer-1", "work"], ["wait", "wokrer-1"], ["kill", "wokrer-1"]):
        said = town_dir.tt(*line)
        assert said.code == 1
        assert said.err == (
            "Error: Agent not found: wokrer-1\nHint: Did you mean 'worker-1'? See who is there with: tt list\n"
        )


def test_a_name_that_no_agent_can_have_is_refused(town_dir: Person) -> None:
    for name in ("a/b", "..", "it's", "two words", "x" * 200, "-x", ""):
        said = town_dir.tt("spawn", "--", name)

        assert said.code == 2
        assert said.err.startswith("Error: Agent name '")
    assert town_dir.tt("list").out == "No agents. Run 'tt spawn <name>' to create one.\n"


def test_an_unreachable_server_is_exit_3(person: Person) -> None:
    said = person.tt("init", REDIS_URL="redis://127.0.0.1:1")

    assert said.code == 3
    assert said.err.startswith("Error: ")
    assert not (person.directory / "tinytown.toml").exists()


def test_a_broken_configuration_is_named_with_file_and_key(town_dir: Person) -> None:
    config = town_dir.directory / "tinytown.toml"
    config.write_text('name = "demo"\nmax_agents = "many"\n')

    said = town_dir.tt("status")

    assert said.code == 1
    assert str(config) in said.err
    assert "max_agents" in said.err
    config.write_text('name = "demo"\n')


def test_a_reader_that_goes_away_is_no_failure(town_dir: Person) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [TT, "status"],
        stdout=writing,
        stderr=subprocess.PIPE,
        cwd=town_dir.directory,
        env=town_dir.environ,
        check=False,
    )
    os.close(writing)

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_full_disk_under_the_output_is_an_error(town_dir: Person) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(
            [TT, "status"],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=town_dir.directory,
            env=town_dir.environ,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr == b"Error: No space left on device\n"


def test_a_closed_standard_output_is_no_traceback(town_dir: Person) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"'{TT}' list >&-"],
        stderr=subprocess.PIPE,
        cwd=town_dir.directory,
        env=town_dir.environ,
        check=False,
    )

    assert b"Traceback" not in done.stderr


def test_ctrl_c_ends_quietly_with_130(town_dir: Person) -> None:
    waiting = town_dir.begin("events", "--follow")
    assert waiting.stdout is not None
    # The first event is there, so it follows.
    assert b"town.initialized" in waiting.stdout.readline()
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate()

    assert (waiting.returncode, out, err) == (130, b"", b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_ctrl_c_ends_a_command_whose_output_nobody_reads(town_dir: Person, unbuffered: str) -> None:
    environ = {**town_dir.environ, "PYTHONUNBUFFERED": unbuffered}
    with stuck_pipe() as writing:
        stuck = subprocess.Popen(
            [TT, "assign", "supervisor", "to be stored"],
            stdout=writing,
            stderr=subprocess.PIPE,
            cwd=town_dir.directory,
            env=environ,
        )
        wait_until(lambda: "to be stored" in town_dir.tt("task", "list").out, what="the task to be stored")
        # It may not have come to writing yet, and is interrupted all the same.
        stuck.send_signal(signal.SIGINT)
        _, err = stuck.communicate(timeout=LONG)

    assert (stuck.returncode, err) == (130, b"")


def test_a_locale_without_emoji_still_works(town_dir: Person) -> None:
    said = town_dir.tt("status", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0", PYTHONIOENCODING="ascii")

    assert said.code == 0
    assert "Town: demo" in said.out


def test_whoever_asks_for_it_sees_the_traceback(person: Person) -> None:
    done = subprocess.run(
        [TT, "status"],
        capture_output=True,
        cwd=person.directory,
        env={**person.environ, "TINYTOWN_DEBUG": "1"},
        check=False,
    )

    assert b"Traceback" in done.stderr
    assert done.returncode == 1
