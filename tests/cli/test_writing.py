"""Terminals, deadlines, growing logs: the parts under the commands."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinytown.cli import terminal
from tinytown.cli.deadline import deadline
from tinytown.cli.failures import conclude
from tinytown.cli.tail import LogTail
from tinytown.errors import RedisNotInstalled, Timeout
from tinytown.transport.files import TownFiles


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 40 columns."""
    monkeypatch.setattr(terminal, "columns", lambda: 40)


def test_into_a_pipe_texts_are_of_one_length() -> None:
    assert terminal.fit("x" * 300) == "x" * 97 + "..."
    assert terminal.fit("short\ntext") == "short text"


@pytest.mark.usefixtures("narrow")
def test_on_a_narrow_terminal_texts_leave_room_for_what_is_beside_them() -> None:
    assert terminal.fit("x" * 300, 10) == "x" * 27 + "..."
    assert terminal.fit("x" * 300, 1000) == "x" * 13 + "..."


@pytest.mark.usefixtures("narrow")
def test_wide_characters_take_two_columns() -> None:
    assert terminal.cells("日本") == 4
    assert terminal.cells(terminal.fit("日本" * 50)) <= 40


def test_colour_needs_a_terminal_and_is_switched_off_by_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not terminal.colours()
    monkeypatch.setattr(terminal, "columns", lambda: 80)
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.colours()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not terminal.colours()


def test_a_deadline_cuts_what_blocks_and_leaves_no_timer_behind() -> None:
    reading, writing = os.pipe()
    with pytest.raises(Timeout, match="too late"), deadline(0.02, "too late"):
        os.read(reading, 1)
    os.close(reading)
    os.close(writing)

    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_without_a_limit_there_is_no_timer() -> None:
    with deadline(None, "never"):
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_errors_of_several_lines_stand_as_in_the_book(capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude(RedisNotInstalled()) == 3
    assert capsys.readouterr().err == (
        "Error: Redis not found. Please install Redis 8.0+ and ensure 'redis-server' is on your PATH.\n"
        "See: https://redis.io/downloads/\n"
    )


def test_a_fault_of_ours_is_called_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude(ValueError("\x1b[2J")) == 1
    err = capsys.readouterr().err
    assert err.startswith("Error: This should not have happened: ValueError: \\x1b[2J\nHint: It is a fault of tt.")


@pytest.fixture
def files(tmp_path: Path) -> Iterator[TownFiles]:
    """A town's files with the logs of an earlier life."""
    found = TownFiles(tmp_path)
    found.logs.mkdir(parents=True)
    found.agent_log("bob").write_text("old\n")
    found.round_log("bob", 1).write_text("an old round\n")
    return found


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_only_what_is_new_in_the_logs_of_this_agent_is_read(files: TownFiles) -> None:
    tail = LogTail(files, "bob")
    append(files.agent_log("bob"), "new\n")
    append(files.agent_log("bobby"), "another agent\n")
    append(files.round_log("bob", 2), "a new round\nhalf a li")

    assert tail.lines() == ["new", "a new round"]
    append(files.round_log("bob", 2), "ne\n")
    assert tail.lines() == ["half a line"]
    assert tail.lines() == []


def test_a_round_that_begins_anew_is_read_from_its_beginning(files: TownFiles) -> None:
    tail = LogTail(files, "bob")
    # Longer than the old one: size alone would not tell.
    files.round_log("bob", 1).write_text("this round is a new one with the number of an old one\n")
    os.utime(files.round_log("bob", 1), (1, 1))

    assert tail.lines() == ["this round is a new one with the number of an old one"]


def test_what_an_agent_prints_never_reaches_the_terminal_raw(files: TownFiles) -> None:
    tail = LogTail(files, "bob")
    with files.round_log("bob", 3).open("wb") as file:
        file.write(b"\x1b]0;owned\x07\xff\x07\r\nno end")

    assert tail.lines() == ["\ufffd\\x07"]
    assert tail.rest() == ["no end"]
