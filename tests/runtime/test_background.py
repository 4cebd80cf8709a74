"""A runtime is started when none is alive on this host, once, and its failure is told with its own words."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from runtime_parts import configure, credential_of

from tinytown.errors import RuntimeFailed
from tinytown.ids import SUPERVISOR_ID
from tinytown.runtime import background
from tinytown.runtime.background import ensure_runtime
from tinytown.runtime.opening import open_async, open_blocking
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync

RUNTIME = """
import os, signal, sys
from pathlib import Path
from tinytown.runtime.ground import survey
from tinytown.runtime.town import Town
from tinytown.transport.blocking import BlockingConnection, run_sync
from tinytown.transport.placement import Placement, RuntimeCard, new_runtime_id
ground = survey(Path.cwd(), environ=os.environ)
with ground.state.hold_runtime(), BlockingConnection(ground.address) as connection:
    placement = Placement(connection, ground.keys, ground.settings.limits)
    card = RuntimeCard(new_runtime_id(), ground.host, os.getpid(), "2026-01-01T00:00:00.000Z")
    run_sync(placement.begin(card, lease=600))
    print("served by", os.getpid(), sorted(name for name in os.environ if name.startswith("TINYTOWN_")), flush=True)
    os.write(int(sys.argv[-1]), b"1")
    os.close(int(sys.argv[-1]))
    signal.pause()
"""
"""Says that it is a runtime of this host, and is nothing else."""

STAND_IN = [sys.executable, "-c", RUNTIME]


def runtimes(town: Town) -> list[int]:
    return [card.pid for card in run_sync(town.placement.runtimes())]


@pytest.fixture
def served(town: Town) -> Iterator[Town]:
    """A town whose runtimes are ended after the test."""
    yield town
    for pid in runtimes(town):
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue


def log(town: Town) -> str:
    return (town.files.logs / background.LOG_NAME).read_text()


def test_where_the_configuration_forbids_it_only_who_says_how_starts_one(served: Town) -> None:
    configure(served, runtime=replace(served.settings.runtime, autostart=False))

    assert run_sync(ensure_runtime(served)) == (False, "No runtime is alive: it will begin after 'tt start'")
    assert run_sync(ensure_runtime(served, command=STAND_IN)) == (True, None)
    assert run_sync(ensure_runtime(served)) == (False, None)


def test_one_is_started_and_then_found(served: Town) -> None:
    assert run_sync(ensure_runtime(served, command=STAND_IN)).started
    assert not run_sync(ensure_runtime(served, command=STAND_IN)).started
    (pid,) = runtimes(served)
    assert f"served by {pid}" in log(served)
    assert (served.files.logs / background.LOG_NAME).stat().st_mode & 0o777 == 0o600
    assert os.getsid(pid) == pid


def test_one_that_died_is_replaced_though_its_lease_goes_on(served: Town) -> None:
    run_sync(ensure_runtime(served, command=STAND_IN))
    (first,) = runtimes(served)
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert run_sync(ensure_runtime(served, command=STAND_IN)).started
    assert len(set(runtimes(served)) - {first}) == 1


def test_no_module_of_the_project_is_imported(served: Town) -> None:
    planted = served.root / "json.py"
    planted.write_text("import os; os._exit(3)")

    assert run_sync(ensure_runtime(served)).started
    assert len(runtimes(served)) == 1


async def test_many_at_once_start_one(made: Path) -> None:
    import trio

    started = []
    async with open_async(made, environ=os.environ) as town:

        async def ensure() -> None:
            started.append((await ensure_runtime(town, command=STAND_IN)).started)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ensure)
        (card,) = await town.placement.runtimes()
    os.kill(card.pid, signal.SIGKILL)
    os.waitpid(card.pid, 0)
    assert sorted(started) == [False] * 4 + [True]


def test_the_runtime_is_no_child_of_the_agent_that_asked_for_it(served: Town, made: Path) -> None:
    environ = credential_of(served, SUPERVISOR_ID)
    with open_blocking(made, environ={**environ, "TINYTOWN_RUNTIME_ID": "x", "TINYTOWN_DEBUG": "1"}) as town:
        run_sync(ensure_runtime(town, command=STAND_IN))
    assert "['TINYTOWN_DEBUG']" in log(served)


def test_one_that_ends_at_once_is_told_with_the_end_of_its_log(served: Town) -> None:
    code = "import sys; print('no \\x1b[31msuch thing'); sys.exit(3)"
    with pytest.raises(RuntimeFailed, match="ended at once") as caught:
        run_sync(ensure_runtime(served, command=[sys.executable, "-c", code]))
    assert caught.value.message.endswith("no \\x1b[31msuch thing")
    assert "tt start" in caught.value.hint


def test_one_that_says_nothing_is_ended(served: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "READY_WITHIN", 0.3)
    monkeypatch.setattr(background, "_END_WITHIN", 0.3)
    code = "import os, signal; signal.signal(15, signal.SIG_IGN); print(os.getpid(), flush=True); signal.pause()"
    with pytest.raises(RuntimeFailed, match="did not become ready"):
        run_sync(ensure_runtime(served, command=[sys.executable, "-c", code]))
    with pytest.raises(ProcessLookupError):
        os.kill(int(log(served)), 0)


def test_a_program_that_is_not_there_is_told(served: Town) -> None:
    with pytest.raises(RuntimeFailed, match="could not be started"):
        run_sync(ensure_runtime(served, command=["/nowhere/tt"]))


def test_a_long_log_is_begun_anew(served: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_LOG_LIMIT", 10)
    (served.files.logs / background.LOG_NAME).write_text("what was before\n")
    run_sync(ensure_runtime(served, command=STAND_IN))
    assert "before" not in log(served)
    assert (served.files.logs / "runtime.log.1").read_text() == "what was before\n"
