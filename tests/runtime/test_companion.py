"""A companion lives as long as its runtime, is started again when it dies, and hurts nobody."""

from __future__ import annotations

import os
from pathlib import Path

import trio
from trio.testing import MockClock

from tinytown.runtime.companion import accompany


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


async def until(path: Path, count: int) -> list[str]:
    """Wait until it has written so many lines. A process of its own rings no bell here."""
    with trio.fail_after(60):
        while len(found := lines(path)) < count:
            await trio.sleep(0.005)
    return found


async def test_it_ends_with_its_input_and_with_the_caller(tmp_path: Path) -> None:
    told, said = tmp_path / "told", list[str]()
    script = f"echo $$ >> {told}; cat > /dev/null; echo end >> {told}"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: accompany(["sh", "-c", script], environ=os.environ, report=said.append))
        (pid,) = await until(told, 1)
        assert os.getsid(int(pid)) == int(pid)
        nursery.cancel_scope.cancel()

    assert lines(told) == [pid, "end"]
    assert said == []


async def test_one_that_crashes_is_started_again_until_it_crashed_too_often(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    told, said = tmp_path / "told", list[str]()
    command = ["sh", "-c", f"echo $$ >> {told}; kill -9 $$"]

    await accompany(command, environ=os.environ, report=said.append)

    assert len(lines(told)) == 6
    assert len(said) == 1
    assert said[0].endswith("ended 6 times by a crash; it is not started again")
    assert trio.current_time() >= 3.0  # a pause before each


async def test_an_end_of_its_own_will_is_no_crash(autojump_clock: MockClock, tmp_path: Path) -> None:
    told, said = tmp_path / "told", list[str]()
    command = ["sh", "-c", f"echo $$ >> {told}; test $(wc -l < {told}) -le 8"]

    await accompany(command, environ=os.environ, report=said.append)

    assert len(lines(told)) == 8 + 6
    assert len(said) == 1


async def test_a_program_that_is_not_there_is_told_of(autojump_clock: MockClock) -> None:
    said = list[str]()

    await accompany(["/nowhere/at-all", "x"], environ=os.environ, report=said.append)

    assert len(said) == 1
    assert said[0].startswith("The companion '/nowhere/at-all x' could not be started: ")


async def test_no_secret_is_in_its_environment(tmp_path: Path) -> None:
    told = tmp_path / "told"
    environ = {"HOME": "/h", "LC_ALL": "C", "PYTHONPATH": "/p", "TINYTOWN_REDIS_PASSWORD": "s", "GITHUB_TOKEN": "s"}
    async with trio.open_nursery() as nursery:
        command = ["/bin/sh", "-c", f"/usr/bin/env > {told}.all; echo end > {told}; cat"]
        nursery.start_soon(lambda: accompany(command, environ=environ, report=print))
        await until(told, 1)
        nursery.cancel_scope.cancel()

    names = {line.partition("=")[0] for line in lines(tmp_path / "told.all")}
    assert names & set(environ) == {"HOME", "LC_ALL", "PYTHONPATH"}
