"""Runs of real processes: how they end, and that nothing of them is left."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import stat
import sys
import textwrap
import time
from pathlib import Path

import pytest
import trio
import trio.testing
from child_runs import Output, Runs, children, open_descriptors, runtime

from tinytown.actors.child import ChildStarted, Ladder, run_child
from tinytown.actors.child_exit import ChildExit
from tinytown.actors.processes import look_at
from tinytown.errors import RuntimeFailed

SHAPES = ("group", "deaf", "setsid", "daemon", "holder")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and a sub-reaper")


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


async def test_the_exit_status_and_the_answer_come_back(runs: Runs) -> None:
    ended = await run_child(runs.spec("say=hello", "err=trouble", "exit=3"))
    assert (ended.code, ended.signal, ended.failure, ended.succeeded) == (3, None, None, False)
    assert ended.answer == b"hello\n"
    assert ended.describe() == "exit status 3"
    assert sorted(runs.log.read_text().splitlines()) == ["hello", "trouble"]
    assert ended.log_bytes == len("hello\ntrouble\n")
    assert ended.dropped_bytes == 0


async def test_a_run_that_says_nothing_and_ends_with_0_has_succeeded(runs: Runs) -> None:
    ended = await run_child(runs.spec())
    assert ended.succeeded
    assert ended.answer == b""


async def test_a_killed_child_is_told_from_one_that_exits(runs: Runs) -> None:
    ended = await run_child(runs.spec("die=SIGKILL"))
    assert (ended.code, ended.signal) == (None, signal.SIGKILL)
    assert ended.describe() == "killed by SIGKILL, likely out of memory"


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (ChildExit(signal=signal.SIGSEGV), "killed by SIGSEGV"),
        (ChildExit(signal=63), "killed by signal 63"),
        (ChildExit(code=137), "exit status 137 (killed by SIGKILL, likely out of memory)"),
        (ChildExit(code=1), "exit status 1"),
        (ChildExit(code=255), "exit status 255"),
        (ChildExit(code=127, failure="no such program: foo"), "no such program: foo"),
    ],
)
def test_an_exit_can_be_put_into_words(ended: ChildExit, words: str) -> None:
    assert ended.describe() == words


async def test_what_cannot_be_started_is_named(runs: Runs) -> None:
    broken = runs.path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    plain = runs.path / "plain"
    plain.write_text("echo hi\n")
    shut = runs.path / "shut"
    shut.write_text("#!/bin/sh\n")
    plain.chmod(0o755)
    seen = {}
    for argv in (("no-such-cli-xyz",), (str(broken),), ("./plain",), (str(shut),)):
        ended = await run_child(runs.spec(argv=argv))
        assert not ended.succeeded
        seen[argv[0]] = (ended.code, ended.describe())
    assert seen == {
        "no-such-cli-xyz": (127, "no such program: no-such-cli-xyz"),
        str(broken): (126, f"not executable: {broken} (the program its first line names is missing)"),
        "./plain": (126, "not executable: ./plain (neither a program nor a script with a #! line)"),
        str(shut): (126, f"not executable: {shut}"),
    }
    gone = await run_child(runs.spec(cwd=runs.path / "gone"))
    assert gone.describe() == f"cannot work in {runs.path / 'gone'}: No such file or directory"
    long = await run_child(runs.spec("x" * 200_000))
    assert "too long" in long.describe()


async def test_names_with_quotes_and_spaces_go_through_unchanged(tmp_path: Path) -> None:
    odd = tmp_path / 'it\'s a "dir" $(touch no) ; é'
    odd.mkdir()
    runs = Runs(odd)
    arguments = ("argv", "a b", "'", '"', "$HOME", "; touch no", "*", "", "\n", "é\udcff")
    ended = await run_child(runs.spec(*arguments))
    assert json.loads(ended.answer) == list(arguments)
    assert sorted(path.name for path in odd.iterdir()) == ["pids", "round.log"]


async def test_the_environment_is_exactly_the_given_one_and_a_mark(runs: Runs) -> None:
    ended = await run_child(runs.spec("env", env={"PATH": "/bin", "ONLY": "this"}))
    env = json.loads(ended.answer)
    assert len(env.pop("TINYTOWN_CHILD")) == 32
    env.pop("LC_CTYPE", None)  # Python's own, in the fake CLI, for a C locale
    assert env == {"PATH": "/bin", "ONLY": "this"}


async def test_a_long_prompt_arrives_on_standard_input(runs: Runs) -> None:
    prompt = runs.path / "prompt"
    prompt.write_text("0123456789abcdef\n" * 18_000)
    ended = await run_child(runs.spec("echo", stdin_path=prompt))
    assert ended.log_bytes == prompt.stat().st_size > 300_000
    assert runs.log.read_bytes() == prompt.read_bytes()
    assert ended.answer == prompt.read_bytes()[-(256 << 10) :]


async def test_without_input_a_reader_sees_the_end_at_once(runs: Runs) -> None:
    ended = await run_child(runs.spec("echo", "say=read"))
    assert ended.answer == b"read\n"


async def test_the_child_leads_its_own_group_without_a_terminal_and_yields_to_others(runs: Runs) -> None:
    script = (
        "import os,resource;print(os.getpgrp()==os.getpid(), os.getsid(0)==os.getppid(), os.nice(0),"
        "resource.getrlimit(resource.RLIMIT_CORE)[0], open('/proc/self/oom_score_adj').read().strip(),"
        "sorted(map(int,os.listdir('/proc/self/fd')))[:4])"
    )
    ended = await run_child(runs.spec(argv=(sys.executable, "-I", "-S", "-c", script)))
    before = os.nice(0)
    assert ended.answer.split()[:4] == [b"True", b"True", str(min(19, before + 5)).encode(), b"0"]
    assert int(ended.answer.split()[4]) >= 500
    # 3 is the directory being listed: nothing of the shim or the runtime is inherited.
    assert ended.answer.decode().strip().endswith("[0, 1, 2, 3]")


async def test_started_names_the_process_while_it_runs(runs: Runs) -> None:
    output = Output()
    async with trio.open_nursery() as nursery:
        started = await nursery.start(run_child, runs.spec("pause", on_output=output))
        await output.wait_for("ready")
        assert isinstance(started, ChildStarted)
        found = look_at(started.pid)
        assert found is not None
        assert found.start_time == started.start_time
        nursery.cancel_scope.cancel()
    assert runs.survivors() == []


@linux_only
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("leader", ["ends", "is cancelled", "is cancelled and deaf"])
async def test_no_process_survives_a_run(runs: Runs, shape: str, leader: str) -> None:
    output = Output()
    actions = (*(["deaf"] if "deaf" in leader else []), f"spawn={shape}", "say=ready")
    ladder = Ladder(interrupt_s=0.05, terminate_s=0.05)
    if leader == "ends":
        started = trio.current_time()
        await run_child(runs.spec(*actions, on_output=output))
        assert trio.current_time() - started < 2  # nobody waits for the one who holds the output
    else:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_child, runs.spec(*actions, "wait", on_output=output, ladder=ladder))
            await output.wait_for("ready")
            nursery.cancel_scope.cancel()
    assert len(runs.pids) >= 2
    assert runs.survivors() == []


async def test_an_interrupt_comes_first_so_that_a_cli_can_save_its_session(runs: Runs) -> None:
    output = Output()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_child, runs.spec("pause", on_output=output))
        await output.wait_for("ready")
        nursery.cancel_scope.cancel()
    assert "interrupted" in runs.log.read_text()
    assert "interrupted" in output.text


async def test_a_hurried_ladder_kills_at_once_even_while_it_is_climbed(runs: Runs) -> None:
    output = Output()
    ladder = Ladder(interrupt_s=600, terminate_s=600)
    begun = time.monotonic()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_hurry_when_cancelled, scope, ladder)
            spec = runs.spec("deaf", "say=ready", "wait", on_output=output, ladder=ladder)
            nursery.start_soon(run_child, spec)
            await output.wait_for("ready")
            scope.cancel()
    assert time.monotonic() - begun < 5
    assert runs.survivors() == []


async def _hurry_when_cancelled(scope: trio.CancelScope, ladder: Ladder) -> None:
    try:
        await trio.sleep_forever()
    except trio.Cancelled:
        with trio.CancelScope(shield=True):
            await trio.testing.wait_all_tasks_blocked()
        ladder.hurry()
        raise


async def test_a_stopped_child_is_ended_too(runs: Runs) -> None:
    output = Output()
    async with trio.open_nursery() as nursery:
        started = await nursery.start(run_child, runs.spec("say=ready", "wait", on_output=output))
        await output.wait_for("ready")
        os.kill(started.pid, signal.SIGSTOP)
        nursery.cancel_scope.cancel()
    assert runs.survivors() == []


async def test_a_silent_child_is_left_alone(runs: Runs, mock_clock: trio.testing.MockClock) -> None:
    output = Output()
    async with trio.open_nursery() as nursery:
        started = await nursery.start(run_child, runs.spec("say=ready", "wait", on_output=output))
        await output.wait_for("ready")
        mock_clock.jump(59 * 60)
        await trio.testing.wait_all_tasks_blocked()
        found = look_at(started.pid)
        assert found is not None
        assert not found.zombie
        nursery.cancel_scope.cancel()
    assert runs.survivors() == []


@linux_only
async def test_when_the_shim_is_killed_the_tree_is_killed_from_here(runs: Runs) -> None:
    output = Output()
    results: list[ChildExit] = []

    async def run(task_status: trio.TaskStatus[ChildStarted]) -> None:
        spec = runs.spec(*(f"spawn={shape}" for shape in SHAPES[:4]), "say=ready", "wait", on_output=output)
        results.append(await run_child(spec, task_status=task_status))

    async with trio.open_nursery() as nursery:
        started = await nursery.start(run)
        await output.wait_for("ready")
        shim = look_at(started.pid)
        assert shim is not None
        os.kill(shim.parent, signal.SIGKILL)
    assert results[0].failure == "the process that watched it was killed"
    assert not results[0].succeeded
    assert len(runs.pids) == 5
    assert runs.survivors() == []


@linux_only
def test_when_the_runtime_is_killed_no_child_lives_longer_than_two_seconds(runs: Runs) -> None:
    actions = ["deaf", *(f"spawn={shape}" for shape in SHAPES), "say=ready", "wait"]
    process = runtime(runs, f"trio.run(run_child, runs.spec(*{actions!r}, on_output=show))")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    shim = look_at(runs.pids[0])
    assert shim is not None
    handles = [os.pidfd_open(pid) for pid in (*runs.pids, shim.parent)]
    assert len(handles) == 7
    process.kill()
    deadline = time.monotonic() + 2
    for handle in handles:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        assert poll.poll(max(0, deadline - time.monotonic()) * 1000), "a process is alive after 2 s"
        os.close(handle)
    process.wait()
    process.stdout.close()


@linux_only
def test_a_runtime_that_lost_a_shim_has_no_zombies(runs: Runs) -> None:
    body = textwrap.dedent("""
    def show(text):
        os.kill(next(p.parent for p in all_processes() if p.pid == runs.pids[0]), 9)
    ended = trio.run(run_child, runs.spec("spawn=daemon", "spawn=group", "say=ready", "wait", on_output=show))
    print(ended.failure, [p for p in all_processes() if p.parent == os.getpid()])
    """)
    process = runtime(runs, body)
    out, _ = process.communicate()
    assert out == "the process that watched it was killed []\n"
    assert runs.survivors() == []


@linux_only
async def test_fifty_rounds_leave_no_zombie_and_no_descriptor(runs: Runs) -> None:
    await run_child(runs.spec())
    before, others = open_descriptors(), children()
    limit = trio.CapacityLimiter(4)

    async def one() -> None:
        async with limit:
            assert (await run_child(runs.spec(argv=("/bin/true",)))).succeeded

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(one)
    assert open_descriptors() == before
    assert children() <= others


@linux_only
async def test_a_cancel_at_any_moment_leaves_nothing(runs: Runs) -> None:
    chance = random.Random(20261)
    await run_child(runs.spec())
    before, others = open_descriptors(), children()
    for _ in range(30):
        with trio.move_on_after(chance.uniform(0, 0.12)):
            await run_child(runs.spec("spawn=daemon", "spawn=group", "wait", ladder=Ladder(interrupt_s=0.2)))
    assert runs.survivors() == []
    assert open_descriptors() == before
    assert children() <= others


async def test_a_listener_that_fails_ends_the_run(runs: Runs) -> None:
    def fail(_: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run_child(runs.spec("say=ready", "wait", on_output=fail))
    assert runs.survivors() == []


async def test_a_flood_is_cut_to_its_first_and_last_part_and_blocks_nobody(runs: Runs) -> None:
    cap = 1 << 20
    most = 0

    def watch(_: str) -> None:
        nonlocal most
        most = max(most, runs.log.stat().st_size)

    begun = time.monotonic()
    spec = runs.spec("say=first", "flood=64", "say=last", log_cap_bytes=cap, on_output=watch)
    ended = await run_child(spec)
    assert ended.succeeded
    assert time.monotonic() - begun < 10
    log = runs.log.read_bytes()
    assert log.startswith(b"first\n0000000 a line")
    assert log.endswith(b"last\n")
    assert ended.log_bytes + ended.dropped_bytes == (64 << 20) + len("first\nlast\n")
    gap = b"\n[%d bytes left out here]\n" % ended.dropped_bytes
    assert log.count(b"left out here") == 1
    assert log[cap // 8 :].startswith(gap)
    assert len(log) == ended.log_bytes + len(gap) == cap // 4 + len(gap)
    assert most <= cap + (1 << 16)
    assert ended.answer.endswith(b"last\n")
    assert len(ended.answer) == 256 << 10


async def test_a_second_run_appends_to_the_log_and_cuts_only_its_own_part(runs: Runs) -> None:
    runs.log.write_text("from before\n")
    await run_child(runs.spec("flood=2", log_cap_bytes=1 << 16))
    assert runs.log.read_text().startswith("from before\n0000000 a line")


async def test_the_log_is_for_its_user_only(runs: Runs) -> None:
    await run_child(runs.spec("say=x"))
    assert stat.S_IMODE(runs.log.stat().st_mode) == 0o600


async def test_a_log_that_is_a_link_or_a_pipe_is_refused(runs: Runs) -> None:
    victim = runs.path / "victim"
    victim.write_text("precious")
    runs.log.symlink_to(victim)
    with pytest.raises(RuntimeFailed, match="it is a symbolic link"):
        await run_child(runs.spec("say=x"))
    assert victim.read_text() == "precious"
    runs.log.unlink()
    os.mkfifo(runs.log)
    with pytest.raises(RuntimeFailed, match=r"No such device or address|it is not a file"):
        await run_child(runs.spec("say=x"))
    assert runs.pids == []


async def test_an_input_that_is_not_there_is_an_error(runs: Runs) -> None:
    with pytest.raises(RuntimeFailed, match="Cannot read"):
        await run_child(runs.spec("echo", stdin_path=runs.path / "gone"))


async def test_live_output_comes_in_whole_lines_without_escape_sequences(runs: Runs) -> None:
    output = Output()
    evil = "\x1b]0;title\x07\x1b[31mred\x1b[0m \x1b[2J\u202egnp\x9b1m end"
    await run_child(runs.spec(f"say={evil}", "say=second", on_output=output))
    assert output.text == "red \\u202egnp end\nsecond\n"
    assert "\x1b" in runs.log.read_text()


async def test_a_listener_too_slow_for_a_flood_misses_part_of_it_but_not_the_end(runs: Runs) -> None:
    heard = 0

    def count(text: str) -> None:
        nonlocal heard
        heard += len(text)

    ended = await run_child(runs.spec("flood=8", on_output=count, log_cap_bytes=1 << 30))
    assert ended.log_bytes == 8 << 20
    assert 0 < heard <= 8 << 20
