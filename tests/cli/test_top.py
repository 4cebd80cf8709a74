"""`tt top`: what is on the screen, and that the terminal is given back however it ends."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from person import LONG, TT, Person
from rich.console import Console

from tinytown import times
from tinytown.cli.render.top import Rows, frame, share
from tinytown.ids import SUPERVISOR_ID
from tinytown.lifecycle import AgentState, TaskState
from tinytown.records import Agent, Event, Task
from tinytown.runtime.operations.overview import AgentLine, Mail, Picture
from tinytown.runtime.operations.task_views import TaskView
from tinytown.transport.placement import RuntimeCard, new_runtime_id

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"


@dataclass
class Terminal:
    """`tt top` on a terminal of its own, and all that it has written there."""

    master: int
    slave: int
    process: subprocess.Popen[bytes]
    written: bytes = b""
    before: list[Any] = field(default_factory=list)

    def read(self, within: float = LONG) -> bool:
        """Take what comes next; says whether something came."""
        if not select.select([self.master], [], [], within)[0]:
            return False
        try:
            self.written += os.read(self.master, 65536)
        except OSError:
            return False
        return True

    def until(self, text: str, *, since: int = 0) -> None:
        """Return when this stands among what was written."""
        deadline = time.monotonic() + LONG
        while text.encode() not in self.written[since:]:
            assert time.monotonic() < deadline, self.written.decode()
            assert self.read() or self.process.poll() is None, self.written.decode()

    def settle(self) -> None:
        """Return when it has written nothing for longer than it looks after a change."""
        while self.read(within=1.0):
            pass

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def end(self) -> int:
        """Wait for its end; gives the exit status."""
        status = self.process.wait(LONG)
        while self.read(within=0):
            pass
        return status


@contextmanager
def watching(person: Person, *, columns: int = 80, rows: int = 24) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    resize(slave, columns, rows)
    # What a shell may have exported does not count: the window may change.
    environ = {**person.environ, "TERM": "xterm-256color", "COLUMNS": "132", "LINES": "50"}
    before = termios.tcgetattr(slave)
    process = subprocess.Popen(
        [TT, "top"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=person.directory,
        env=environ,
        start_new_session=True,
        # Ctrl-C reaches whoever has the terminal as theirs.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,
    )
    terminal = Terminal(master, slave, process, before=before)
    try:
        yield terminal
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(master)
        os.close(slave)


def resize(descriptor: int, columns: int, rows: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def assert_given_back(terminal: Terminal) -> None:
    """The screen, the cursor and the keys are as they were."""
    assert terminal.written.count(ENTER) == terminal.written.count(LEAVE) == 1
    assert terminal.written.rindex(LEAVE) > terminal.written.rindex(ENTER)
    assert terminal.written.rindex(SHOW) > terminal.written.rindex(HIDE)
    assert termios.tcgetattr(terminal.slave) == terminal.before
    assert b"Traceback" not in terminal.written


def test_it_shows_the_town_follows_what_happens_and_quits_with_q(town_dir: Person) -> None:
    town_dir.agent("bob")
    with watching(town_dir) as terminal:
        terminal.until("q quits")
        terminal.until("bob")
        since = len(terminal.written)
        town_dir.tt("assign", "bob", "dig a [bold]hole[/bold] :smile: \x1b[2J")
        terminal.until("dig a [bold]hole[/bold] :smile: \\x1b[2J", since=since)
        terminal.type(b"\x1b[A\x1bOq")
        terminal.type(b"x")
        terminal.settle()
        assert terminal.process.poll() is None
        terminal.type(b"q")
        assert terminal.end() == 0
        assert_given_back(terminal)
    assert b"\x1b[2J" not in terminal.written.replace(b"\x1b[2J\x1b[H", b"")


def test_nothing_is_written_while_nothing_happens(town_dir: Person) -> None:
    with watching(town_dir) as terminal:
        terminal.until("q quits")
        terminal.settle()
        assert not terminal.read(within=1.2)
        terminal.type(b"q")
        assert terminal.end() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_the_terminal_is_given_back(town_dir: Person, number: int) -> None:
    with watching(town_dir) as terminal:
        terminal.until("q quits")
        terminal.process.send_signal(number)
        assert terminal.end() == 130
        assert_given_back(terminal)


def test_ctrl_c_ends_it_and_ctrl_z_does_nothing(town_dir: Person) -> None:
    with watching(town_dir) as terminal:
        terminal.until("q quits")
        terminal.type(b"\x1a")
        terminal.settle()
        assert terminal.process.poll() is None
        terminal.type(b"\x03")
        assert terminal.end() == 130
        assert_given_back(terminal)


def test_a_window_of_another_size_is_filled_anew(town_dir: Person) -> None:
    with watching(town_dir) as terminal:
        terminal.until("q quits")
        terminal.settle()
        since = len(terminal.written)
        resize(terminal.slave, 40, 12)
        terminal.process.send_signal(signal.SIGWINCH)
        terminal.until("q quits", since=since)
        terminal.settle()
        shown = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", terminal.written[since:]).decode()
        assert len(shown) == 40 * 12
        terminal.type(b"q")
        assert terminal.end() == 0
        assert_given_back(terminal)


def test_a_server_that_goes_away_is_told_and_its_return_as_well(town_dir: Person) -> None:
    town_dir.agent("bob")
    with watching(town_dir) as terminal:
        terminal.until("q quits")
        town_dir.tt("stop", "--redis")
        terminal.until("Redis")
        since = len(terminal.written)
        town_dir.tt("spawn", "ann", "--cli", "fake")
        terminal.until("ann", since=since)
        terminal.type(b"q")
        assert terminal.end() == 0
        assert_given_back(terminal)


def test_without_a_terminal_it_is_refused_with_what_to_do(town_dir: Person) -> None:
    said = town_dir.tt("top")

    assert (said.code, said.out) == (2, "")
    assert said.err == (
        "Error: 'tt top' needs a terminal\nHint: Without one use 'tt status --deep', or 'tt events --follow'.\n"
    )


def test_what_is_wrong_with_the_town_is_said_on_the_screen_that_was_there(person: Person) -> None:
    with watching(person) as terminal:
        assert terminal.end() == 1
        assert b"Error: Town not initialized" in terminal.written
        assert ENTER not in terminal.written


# The picture.

NOW = times.now()


def picture(*, agents: int = 3, tasks: int = 5, events: int = 30, **more: Any) -> Picture:
    lines = [
        AgentLine(
            Agent(
                name=f"agent-{number}",
                cli="any",
                state=AgentState.WORKING if number == agents - 1 else AgentState.IDLE,
                in_round=number == agents - 1,
            ),
            Mail(3, 1, 2),
            "dig a hole",
        )
        for number in range(agents)
    ]
    views = [TaskView(Task(f"task {number}", state=TaskState.ASSIGNED), "agent-0") for number in range(tasks)]
    told = [
        Event("task.assigned", agent=lines[0].agent.id if lines else None, detail=f"event {number}")
        for number in range(events)
    ]
    made = Picture(
        name="demo",
        agents=tuple(lines),
        agent_counts=Counter(line.agent.state for line in lines),
        at_work=sum(line.agent.in_round for line in lines),
        conductor=Mail(),
        runtimes=(RuntimeCard(new_runtime_id(), "here", 42, NOW),),
        tasks=tuple(views),
        task_counts={TaskState.ASSIGNED: tasks},
        backlog=0,
        put_aside=0,
        events=tuple(told),
        names={line.agent.id: line.agent.name for line in lines},
        position="0",
    )
    return replace(made, **more)


def lines_of(shown: Picture, *, width: int = 80, height: int = 24, trouble: str = "") -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, markup=False, emoji=False, highlight=False)
    console.print(frame(shown, trouble, height=height), end="")
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().split("\n")
    return lines[:-1] if lines[-1] == "" else lines


@pytest.mark.parametrize("height", [5, 8, 10, 12, 24, 60])
@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("many", [0, 3, 100])
def test_the_picture_fills_the_screen_and_no_more(width: int, height: int, many: int) -> None:
    lines = lines_of(picture(agents=many, tasks=many, events=many), width=width, height=height)

    assert len(lines) == height
    assert max(map(len, lines)) <= width
    assert "q quits" in lines[-1]


def test_80_by_24_shows_agents_tasks_and_events() -> None:
    lines = lines_of(picture())

    assert lines[0].startswith(" demo   3 agents, 3 alive, 1 at work  runtime: pid 42 since ")
    assert lines[1].rstrip() == " tasks: 5 assigned"
    assert lines[2].split() == ["AGENT", "STATE", "ROUND", "MAIL", "SINCE", "DOING"]
    assert lines[5].split()[:5] == ["agent-2", "working", "0/10", "3!", "+2"]
    assert lines[5].rstrip().endswith("dig a hole")
    assert lines[6].split() == ["TASK", "STATE", "AGENT", "DESCRIPTION"]
    assert "task 0" in lines[7]
    assert lines[12].split() == ["TIME", "EVENT", "AGENT", "DETAIL"]
    assert lines[-2].split()[1:] == ["task.assigned", "agent-0", "event", "29"]


def test_where_not_all_agents_fit_those_at_work_come_first() -> None:
    lines = lines_of(picture(agents=50))

    assert lines[3].startswith("agent-49")
    assert any("... and " in line and " more agents" in line for line in lines)


def test_a_conductor_stands_above_the_agents_with_its_goal() -> None:
    conductor = Agent(name="conductor", cli="any", id=SUPERVISOR_ID, state=AgentState.IDLE)
    lines = lines_of(picture(agents=30, conducting=AgentLine(conductor, Mail(waiting=1), "build it all")))

    assert re.match(r" *conductor +idle .* 1 .* build it all", lines[3])
    assert "agent" in lines[4]
    assert len(lines) == 24


def test_it_says_what_a_person_has_to_look_at() -> None:
    agent = Agent(name="bob", cli="any", state=AgentState.ERROR, reason="no such CLI")
    waiting = Agent(name="ann", cli="any", state=AgentState.IDLE, backoff_until=NOW, reason="exit status 3")
    shown = picture(
        agents=0,
        runtimes=(),
        backlog=2,
        put_aside=3,
        conductor=Mail(waiting=4),
        agent_counts=Counter((agent.state, waiting.state)),
    )
    shown = replace(shown, agents=(AgentLine(agent, Mail()), AgentLine(waiting, Mail())))

    lines = lines_of(shown, width=120, trouble="Redis does not answer")

    assert "no runtime: tt start" in lines[0]
    assert lines[1].rstrip() == " tasks: 5 assigned  backlog: 2  for you: 4  dead letters: 3"
    assert "no such CLI" in lines[3]
    assert re.search(r"waits until \d\d:\d\d:\d\d: exit status 3", lines[4])
    assert lines[-1].startswith(" Redis does not answer  q quits")


def test_what_agents_say_is_text_and_stays_on_its_line() -> None:
    evil = "\x1b[2J [red]x[/red]\n:smile:"
    line = AgentLine(Agent(name=evil, cli="any", in_round=True), Mail(), evil)
    task = TaskView(Task(evil), evil)
    event = Event(evil, agent=None, detail=evil)
    shown = replace(picture(), name=evil, agents=(line,), tasks=(task,), events=(event,))

    lines = lines_of(shown, width=200)

    assert len(lines) == 24
    assert not any("\x1b" in line for line in lines)
    assert any("[red]x[/red] :smile:" in line for line in lines)


def test_an_empty_town_says_what_to_do_first() -> None:
    text = "\n".join(lines_of(picture(agents=0, tasks=0, events=0)))

    for hint in ("No agents. tt spawn NAME", "No tasks. tt assign AGENT TASK", "Nothing has happened yet"):
        assert hint in text


def test_no_second_passes_in_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = picture()
    first = lines_of(shown)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 30)

    assert lines_of(shown) == first


def test_the_room_is_shared() -> None:
    assert share(24, 3, 2) == Rows(3, 2, 13)
    assert share(24, 100, 100) == Rows(9, 4, 5)
    assert share(9, 3, 3) == Rows(5, 0, 0)
    assert share(3, 3, 3) == Rows(0, 0, 0)
