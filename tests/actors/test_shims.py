"""The shim that stands ready: it serves like a cold one, and nothing is lost with it."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import textwrap
from pathlib import Path

import pytest
import trio
import trio.testing
from child_runs import Output, Runs, children, open_descriptors, runtime

from tinytown.actors.child import Ladder, run_child
from tinytown.actors.child_exit import ChildExit
from tinytown.actors.processes import RUNTIME_MARK, TOWN_MARK, look_at, marks_of
from tinytown.actors.shims import ShimProcess, Shims
from tinytown.errors import RuntimeFailed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

SITUATION = """
import json, os, resource, sys
fds = sorted(map(int, os.listdir("/proc/self/fd")))
env = {name: value for name, value in os.environ.items() if name not in ("TINYTOWN_CHILD", "LC_CTYPE")}
print(json.dumps([
    fds, env, os.getcwd(), sys.stdin.read(), os.nice(0), resource.getrlimit(resource.RLIMIT_CORE),
    os.getpgrp() == os.getpid(), os.getsid(0) == os.getppid(), open("/proc/self/oom_score_adj").read(),
    [os.readlink(f"/proc/self/fd/{fd}").partition(":")[0] for fd in (0, 1, 2)],
]))
"""
PARENT = (sys.executable, "-I", "-S", "-c", "import os; print(os.getppid())")


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


@pytest.fixture
async def shims(nursery: trio.Nursery, runs: Runs) -> Shims:
    """Shims after a first run: with a spare."""
    shims = Shims(nursery)
    await run_child(runs.spec(argv=("/bin/true",)), shims)
    await standing(shims)
    return shims


async def standing(shims: Shims) -> ShimProcess:
    """The spare, when it stands ready."""
    while shims.spare is None:
        await trio.lowlevel.checkpoint()
    return shims.spare


def parent_of(ended: ChildExit) -> int:
    return int(ended.answer)


async def test_a_run_takes_the_spare_and_another_one_is_made(runs: Runs, shims: Shims) -> None:
    first = await standing(shims)
    assert parent_of(await run_child(runs.spec(argv=PARENT), shims)) == first.process.pid
    second = await standing(shims)
    assert second.process.pid != first.process.pid
    assert parent_of(await run_child(runs.spec(argv=PARENT), shims)) == second.process.pid


async def test_there_is_no_spare_before_a_cli_has_started(runs: Runs, nursery: trio.Nursery) -> None:
    shims, before = Shims(nursery), children()
    broken = runs.path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    assert not (await run_child(runs.spec(argv=(str(broken),)), shims)).succeeded
    await trio.testing.wait_all_tasks_blocked()
    assert nursery.child_tasks == set()
    assert children() <= before


async def test_a_cli_is_in_the_same_situation_under_a_spare_and_under_a_cold_shim(runs: Runs, shims: Shims) -> None:
    prompt = runs.path / "prompt"
    prompt.write_text("a prompt")
    env = {"PATH": "/bin", "ONLY": "this", TOWN_MARK: "a town", RUNTIME_MARK: "a runtime", "TINYTOWN_AGENT_TOKEN": "t"}
    spec = runs.spec(argv=(sys.executable, "-I", "-S", "-c", SITUATION), env=env, stdin_path=prompt)
    cold = await run_child(spec, shims)
    spare = shims.spare
    assert spare is not None
    assert spare.marks == {}  # not for a run with other marks
    assert shims.take({}) is spare
    await spare.dismiss()
    shims.restock({TOWN_MARK: "a town", RUNTIME_MARK: "a runtime"})
    pid = (await standing(shims)).process.pid

    assert marks_of(pid) == {TOWN_MARK: "a town", RUNTIME_MARK: "a runtime"}
    warm = await run_child(spec, shims)

    assert json.loads(warm.answer) == json.loads(cold.answer)
    fds, seen, cwd, said, *_ = json.loads(warm.answer)
    assert (fds, seen, cwd, said) == ([0, 1, 2, 3], env, str(runs.path), "a prompt")  # 3 is the listed directory
    assert runs.log.read_bytes() == cold.answer + warm.answer
    assert look_at(pid) is None  # it was used


async def test_an_order_larger_than_the_socket_takes_arrives_whole(runs: Runs, shims: Shims) -> None:
    arguments = ["x" * 100_000] * 10
    ended = await run_child(
        runs.spec(argv=(*PARENT[:-1], "import sys; print(len(''.join(sys.argv)))", *arguments)), shims
    )
    assert int(ended.answer) == 1_000_000 + len("-c")


async def test_two_runs_at_once_share_no_spare(runs: Runs, shims: Shims) -> None:
    spare = await standing(shims)
    parents = set()

    async def one() -> None:
        parents.add(parent_of(await run_child(runs.spec(argv=PARENT), shims)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one)
        nursery.start_soon(one)
    assert len(parents) == 2
    assert spare.process.pid in parents


async def test_a_spare_that_was_killed_is_reaped_and_the_next_run_starts_cold(runs: Runs, shims: Shims) -> None:
    spare = await standing(shims)
    os.kill(spare.process.pid, signal.SIGKILL)
    while shims.spare is not None:
        await trio.lowlevel.checkpoint()
    assert look_at(spare.process.pid) is None
    assert (await run_child(runs.spec("say=hello"), shims)).answer == b"hello\n"
    assert len(runs.pids) == 1
    await standing(shims)


async def test_a_run_that_takes_a_dead_spare_goes_well(runs: Runs, shims: Shims) -> None:
    os.kill((await standing(shims)).process.pid, signal.SIGKILL)
    ended = await run_child(runs.spec("say=hello"), shims)
    assert ended.answer == b"hello\n"
    assert len(runs.pids) == 1


async def test_a_spare_that_dies_with_an_unread_order_has_started_nothing(runs: Runs, shims: Shims) -> None:
    pid = (await standing(shims)).process.pid
    os.kill(pid, signal.SIGSTOP)
    results = []

    async def run() -> None:
        results.append(await run_child(runs.spec("echo", "say=hello", stdin_path=runs.path / "prompt"), shims))

    (runs.path / "prompt").write_text("a prompt\n")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        os.kill(pid, signal.SIGKILL)
    assert results[0].answer == b"a prompt\nhello\n"
    assert runs.log.read_bytes() == b"a prompt\nhello\n"
    assert len(runs.pids) == 1


async def test_a_spare_that_is_killed_at_work_is_not_replaced(runs: Runs, shims: Shims) -> None:
    pid = (await standing(shims)).process.pid
    output = Output()
    results = []

    async def run() -> None:
        results.append(await run_child(runs.spec("spawn=daemon", "say=ready", "wait", on_output=output), shims))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await output.wait_for("ready")
        os.kill(pid, signal.SIGKILL)
    assert results[0].failure == "the process that watched it was killed"
    assert len(runs.pids) == 2
    assert runs.survivors() == []


async def test_a_log_that_is_a_link_is_refused_under_a_spare_too(runs: Runs, shims: Shims) -> None:
    runs.log.unlink()
    runs.log.symlink_to(runs.path / "victim")
    with pytest.raises(RuntimeFailed, match="it is a symbolic link"):
        await run_child(runs.spec("say=x"), shims)
    assert runs.pids == []
    assert not (runs.path / "victim").exists()


async def test_a_cancel_at_any_moment_of_taking_a_spare_leaves_nothing(runs: Runs) -> None:
    chance = random.Random(20261)
    await run_child(runs.spec())
    before, others = open_descriptors(), children()
    async with trio.open_nursery() as nursery:
        shims = Shims(nursery)
        for _ in range(30):
            shims.restock({})
            await standing(shims)
            with trio.move_on_after(chance.choice((0, chance.uniform(0, 0.02)))):
                await run_child(runs.spec("spawn=daemon", "spawn=group", "wait", ladder=Ladder(interrupt_s=0.2)), shims)
            assert runs.survivors() == []
        nursery.cancel_scope.cancel()
    assert open_descriptors() == before
    assert children() <= others


@pytest.mark.parametrize("stands", [True, False])
async def test_a_spare_ends_with_its_nursery(stands: bool) -> None:
    before, others = open_descriptors(), children()
    async with trio.open_nursery() as nursery:
        shims = Shims(nursery)
        shims.restock({})
        if stands:
            await standing(shims)
        else:
            await trio.lowlevel.checkpoint()  # it is being started
        nursery.cancel_scope.cancel()
    assert shims.spare is None
    assert open_descriptors() == before
    assert children() <= others


def test_a_spare_dies_with_a_runtime_that_is_killed(runs: Runs) -> None:
    body = textwrap.dedent("""
    from tinytown.actors.shims import Shims
    async def main():
        async with trio.open_nursery() as nursery:
            shims = Shims(nursery)
            await run_child(runs.spec(), shims)
            while shims.spare is None:
                await trio.lowlevel.checkpoint()
            print(shims.spare.process.pid, flush=True)
            await trio.sleep_forever()
    trio.run(main)
    """)
    process = runtime(runs, body)
    assert process.stdout is not None
    handle = os.pidfd_open(int(process.stdout.readline()))
    process.kill()
    process.wait()
    assert select.select([handle], [], [], 2)[0], "the spare is alive after 2 s"
    os.close(handle)
    process.stdout.close()
