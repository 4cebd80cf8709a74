"""`tt` with a runtime beside it: what the fork server does looks in everything like what `tt` does itself."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from living import LONG, wait_until
from person import FAKE_CLI, TT, Person, Said
from warmth import COLD, children_of, commands_done, servers_of, stuck_pipe, wait_served

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is a fork server on Linux only")

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SHORT = re.compile(r"\b[0-9a-f]{8}\b")
TIME = re.compile(r"\d\d:\d\d:\d\d(\.\d+)?|\b\d+[smh]\b( ago)?|just now")


@dataclass
class Warm:
    """A person in a town whose runtime lives."""

    person: Person
    runtime: subprocess.Popen[bytes]
    state: Path

    @property
    def server(self) -> int:
        return wait_served(self.state)

    @contextmanager
    def served(self) -> Iterator[None]:
        """What is done in the block is done by the fork server, at least once."""
        server = self.server
        before = commands_done(server)
        yield
        wait_until(lambda: commands_done(server) > before, what="the fork server to have done something")

    def compare(self, *line: str | bytes, person: Person | None = None, **more: str) -> Said:
        """What a command says warm, which has to be what it says cold."""
        asked = person or self.person
        with self.served():
            warm = asked.tt(*line, **more)
        cold = asked.tt(*line, **more, **COLD)
        assert warm.code == cold.code, (line, warm, cold)
        assert plain(warm.out) == plain(cold.out), line
        assert plain(warm.err) == plain(cold.err), line
        return warm


def plain(text: str) -> str:
    """Without what is another one each time."""
    return TIME.sub("TIME", SHORT.sub("ID", UUID.sub("ID", text)))


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    """A town with a runtime, an idle agent and a fork server."""
    base = Path(os.path.realpath(tempfile.mkdtemp(prefix="tt")))
    for name in ("home/.tt", "state", "town"):
        (base / name).mkdir(parents=True)
    (base / "home/.tt/config.toml").write_text(f'[agent_clis.fake]\ncommand = "{sys.executable} {FAKE_CLI} say=done"\n')
    ours = ("TINYTOWN", "REDIS_URL", "PYTHONDONTWRITEBYTECODE", "NO_COLOR")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environ |= {"HOME": str(base / "home"), "XDG_STATE_HOME": str(base / "state")}
    person = Person(base / "town", environ)
    assert person.tt("init", "--name", "demo").code == 0
    (state,) = (base / "state" / "tinytown").glob("*-*-*")
    with (base / "log").open("wb") as log:
        runtime = subprocess.Popen([TT, "start"], cwd=person.directory, env=environ, stdout=log, stderr=log)
    try:
        # Before it serves, another runtime would be started for the agent.
        wait_served(state)
        assert person.tt("spawn", "bob", "--cli", "fake").code == 0
        wait_until(lambda: "idle" in person.tt("list", **COLD).out.lower(), what="the agent to be ready")
        yield Warm(person, runtime, state)
    finally:
        runtime.kill()
        runtime.wait()
        assert person.tt("stop", "--redis").code == 0
        wait_until(lambda: servers_of(state) == [])
        shutil.rmtree(base)


def test_every_hot_command_says_the_same(warm: Warm) -> None:
    task = warm.person.tt("assign", "supervisor", "look at it", "--json", **COLD).json["id"]
    for line in (
        "status", "status --deep --tasks", "status --json", "status -v", "list", "list --json", "inbox", "inbox bob",
        "inbox bob --json", "inbox --all", "inbox --all --json", "task list", "task list --state assigned --json",
        "send supervisor hi", "send supervisor --query hi --json", "send supervisor --info --urgent hi",
        "assign supervisor work --tags a,b", "assign supervisor work --json", f"task show {task}",
        f"task show {task} --json",
    ):  # fmt: skip
        assert warm.compare(*line.split()).code == 0, line


def test_so_does_every_refusal(warm: Warm) -> None:
    task = warm.person.tt("assign", "supervisor", "look at it", "--json", **COLD).json["id"]
    assert warm.person.tt("task", "complete", task, **COLD).code == 0
    for line, code in (
        (["assign", "nobody", "work"], 1),
        (["task", "show", "00000000"], 1),
        (["task", "complete", task, "--result", "again"], 1),
        (["task", "list", "--state", "lost"], 2),
        (["send", "bob", "--query", "--ack", "hi"], 2),
        (["inbox", "bob", "--all"], 2),
        (["send", "bob", b"caf\xe9"], 2),
        (["send", "nobody", "日本 \x1b[31m"], 1),
    ):
        assert warm.compare(*line).code == code, line


def test_the_environment_is_that_of_the_client(warm: Warm) -> None:
    elsewhere = replace(warm.person, directory=Path("/"))
    own = {"TINYTOWN_TOWN": str(warm.person.directory)}
    assert warm.compare("status", person=elsewhere, **own).code == 0
    assert warm.compare("status", "-t", own["TINYTOWN_TOWN"], person=elsewhere).code == 0

    forged = {"TINYTOWN_AGENT_ID": "00000000-0000-0000-0000-000000000002", "TINYTOWN_AGENT_TOKEN": "x"}
    said = warm.compare("send", "bob", "hi", **forged)
    assert (said.code, said.err.count("is not valid in this town")) == (1, 1)
    assert warm.compare("status", REDIS_URL="redis://127.0.0.1:1").code == 3
    assert "Traceback" not in warm.compare("task", "show", "00000000", TZ="Asia/Tokyo").err


@pytest.mark.parametrize("more", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}, {"COLUMNS": "40"}])
def test_a_terminal_is_one_for_the_fork_server_too(warm: Warm, more: Mapping[str, str]) -> None:
    person = replace(warm.person, environ={"TERM": "xterm", **warm.person.environ, **more})
    with warm.served():
        said = person.on_terminal("list")
    assert said == replace(person, environ=person.environ | COLD).on_terminal("list")
    assert said.code == 0


def run(warm: Warm, program: str, **more: str) -> tuple[int, bytes, bytes]:
    """What a shell says; `tt` is ours there."""
    done = subprocess.run(
        ["sh", "-c", program],
        cwd=warm.person.directory,
        env={**warm.person.environ, "PATH": f"{TT.parent}:{os.environ['PATH']}", **more},
        capture_output=True,
        timeout=LONG,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "program",
    [
        "tt status > /dev/full",
        "tt status 2> /dev/full > /dev/full",
        "(tt status; echo $? >&2) | true",
        "tt list >> joined; echo end >> joined; cat joined; rm joined",
        "mkdir gone; cd gone; rmdir ../gone; tt list --town ..; tt list --town $OLDPWD",
        "umask 077; tt list; ulimit -c 0; tt list 3>&1",
        "tt status nothing; tt status --help | head -1",
        "tt list < /dev/null 2>&1 | cat",
        "trap '' INT HUP; tt list",
        "printf x | tt send supervisor -",
        "PYTHONUNBUFFERED= tt list; PYTHONUNBUFFERED=1 tt list 2>&1 | head -1",
    ],
)
def test_shells_see_no_difference(warm: Warm, program: str) -> None:
    here = warm.server
    code, out, err = run(warm, program)
    cold = run(warm, program, **COLD)
    assert (code, plain(out.decode()), plain(err.decode())) == (
        cold[0],
        plain(cold[1].decode()),
        plain(cold[2].decode()),
    )
    assert warm.server == here


@pytest.mark.parametrize("program", ["tt list >&-", "tt list 2>&- ", "tt list <&-", "tt list <&- >&- 2>&-"])
def test_closed_streams_are_closed_for_the_command(warm: Warm, program: str) -> None:
    assert run(warm, program) == run(warm, program, **COLD)


class Stuck:
    """A `tt assign` that has stored its task and cannot say so, for nobody reads what it says."""

    def __init__(self, warm: Warm, text: str, writing: int) -> None:
        self.server = warm.server
        self._warm, self._text = warm, text
        self.client = warm.person.begin("assign", "supervisor", text, stdout=writing)
        wait_until(lambda: self.stored() == 1, what="the task to be stored")
        wait_until(lambda: children_of(self.server), what="the fork server to do it")

    def stored(self) -> int:
        listed = self._warm.person.tt("task", "list", "--json", **COLD).json
        return sum(task["description"] == self._text for task in listed)

    def end(self) -> tuple[int, str]:
        """Wait for the end of the client; its exit status and what it had to say. Nothing was done twice."""
        _, err = self.client.communicate(timeout=LONG)
        assert self.stored() == 1
        return self.client.returncode, err.decode()


@pytest.fixture
def stuck(warm: Warm, request: pytest.FixtureRequest) -> Iterator[Stuck]:
    with stuck_pipe() as writing:
        yield Stuck(warm, request.node.name, writing)


def test_ctrl_c_ends_a_command_as_ever(warm: Warm, stuck: Stuck) -> None:
    stuck.client.send_signal(signal.SIGINT)

    assert stuck.end() == (130, "")
    assert warm.server == stuck.server


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_what_ends_the_client_ends_the_command(warm: Warm, stuck: Stuck, number: int) -> None:
    stuck.client.send_signal(number)

    assert stuck.end() == (-number, "")
    wait_until(lambda: children_of(stuck.server) == [], what="the command to end")
    assert warm.server == stuck.server


def test_a_command_whose_process_is_killed_is_told_of_and_not_done_again(warm: Warm, stuck: Stuck) -> None:
    (child,) = children_of(stuck.server)
    os.kill(child, signal.SIGKILL)

    code, err = stuck.end()
    assert code == 1
    assert err.startswith("Error: The process that did this command was killed")
    assert "\nHint: Look before you repeat it" in err


def test_so_it_is_when_the_fork_server_is_killed_and_the_runtime_starts_another_one(warm: Warm, stuck: Stuck) -> None:
    (child,) = children_of(stuck.server)
    os.kill(stuck.server, signal.SIGKILL)

    code, err = stuck.end()
    assert (code, err.count("was killed")) == (1, 1)
    wait_until(lambda: not Path(f"/proc/{child}").exists(), what="the runtime to reap the command")
    assert warm.server != stuck.server
    assert warm.compare("status").code == 0


def test_a_runtime_that_is_killed_takes_it_along_and_commands_go_on(warm: Warm) -> None:
    assert servers_of(warm.state) == [warm.server]
    warm.runtime.kill()
    warm.runtime.wait()

    wait_until(lambda: servers_of(warm.state) == [], what="the fork server to end")
    said = warm.person.tt("status")
    assert said.code == 0
    assert "Town: demo" in said.out
