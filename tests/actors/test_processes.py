"""Strays of an earlier life are found by their mark and nobody else is touched."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tinytown.actors.processes import (
    RUNTIME_MARK,
    TOWN_MARK,
    all_processes,
    harden_process,
    look_at,
    marks_of,
    sweep_marked,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@pytest.fixture
def town() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def sleepers() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def sleeper(stack: ExitStack, **marks: str) -> subprocess.Popen[bytes]:
    """A process with these variables; it has become another program when this returns."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", "import signal; print(flush=True); signal.pause()"],
        env=marks,
        stdout=subprocess.PIPE,
    )
    stack.enter_context(process)
    stack.callback(process.kill)
    assert process.stdout is not None
    process.stdout.readline()
    return process


async def test_only_children_of_dead_runtimes_of_this_town_are_swept(sleepers: ExitStack, town: str) -> None:
    left = sleeper(sleepers, **{TOWN_MARK: town, RUNTIME_MARK: "dead"})
    kept = [
        sleeper(sleepers, **{TOWN_MARK: town, RUNTIME_MARK: "alive"}),
        sleeper(sleepers, **{TOWN_MARK: town + "2", RUNTIME_MARK: "dead"}),
        sleeper(sleepers, **{TOWN_MARK: town}),
        sleeper(sleepers, OTHER=f"{TOWN_MARK}={town}", **{RUNTIME_MARK: "dead"}),
    ]
    assert await sweep_marked(town, live_runtimes={"alive"}) == (left.pid,)
    assert look_at(left.pid) is None
    assert [process.poll() for process in kept] == [None] * 4


async def test_a_second_sweep_finds_nothing(sleepers: ExitStack, town: str) -> None:
    sleeper(sleepers, **{TOWN_MARK: town, RUNTIME_MARK: "dead"})
    await sweep_marked(town, live_runtimes=())
    assert await sweep_marked(town, live_runtimes=()) == ()


def test_a_runtime_started_by_an_agent_of_a_dead_one_spares_itself_and_its_parents(town: str) -> None:
    script = (
        "import trio, sys; from tinytown.actors.processes import sweep_marked;"
        "print(trio.run(lambda: sweep_marked(sys.argv[1], live_runtimes=())))"
    )
    shell = ["/bin/sh", "-c", '"$0" -c "$1" "$2"; echo shell lives', sys.executable, script, town]
    env = {**os.environ, TOWN_MARK: town, RUNTIME_MARK: "dead"}
    assert subprocess.run(shell, env=env, capture_output=True, text=True, check=True).stdout == "()\nshell lives\n"


def test_a_process_is_described_as_the_kernel_sees_it() -> None:
    me = look_at(os.getpid())
    assert me is not None
    assert (me.parent, me.group, me.session, me.zombie) == (os.getppid(), os.getpgrp(), os.getsid(0), False)
    assert me.pid in [process.pid for process in all_processes()]


def test_there_is_nothing_to_say_of_a_process_that_is_gone() -> None:
    process = subprocess.Popen(["/bin/true"])
    process.wait()
    assert look_at(process.pid) is None
    assert marks_of(process.pid) == {}


def test_a_hardened_process_cannot_be_read_by_its_neighbours() -> None:
    pid = os.fork()
    if pid == 0:
        harden_process()
        os._exit(10 + ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))  # PR_GET_DUMPABLE
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 10
