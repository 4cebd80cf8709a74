"""The end of a runtime on this host: asked, waited for, and named when it does not come."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tinytown.errors import RuntimeFailed
from tinytown.runtime import halt
from tinytown.runtime.halt import end_runtime, runtime_pids, stop_server
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync
from tinytown.transport.files import try_lock
from tinytown.transport.placement import RuntimeCard, new_runtime_id

HOLDER = """
import signal, sys
from pathlib import Path
from tinytown.transport.files import try_lock
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = try_lock(Path(sys.argv[1]))
print("held", flush=True)
while True:
    signal.pause()
"""
"""What a runtime is to others: a process that holds the lock until it is asked to end."""


@contextmanager
def runtime(town: Town, *, host: str = "", deaf: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Such a process, on the town's list of runtimes."""
    command = [sys.executable, "-c", HOLDER, str(town.ground.state.runtime_lock), "deaf" if deaf else ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        card = RuntimeCard(new_runtime_id(), host or town.ground.host, process.pid, "2026-01-01T00:00:00.000Z")
        run_sync(town.placement.begin(card, lease=60))
        try:
            yield process
        finally:
            process.kill()


def test_without_a_runtime_there_is_nothing_to_wait_for(town: Town) -> None:
    end_runtime(town)
    assert runtime_pids(town) == []


def test_it_is_asked_to_end_and_waited_for(town: Town) -> None:
    with runtime(town) as process:
        assert runtime_pids(town) == [process.pid]
        end_runtime(town)
        assert process.wait() == -signal.SIGTERM
    lock = try_lock(town.ground.state.runtime_lock)
    assert lock is not None
    lock.release()


def test_one_that_does_not_end_is_named_and_lives(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halt, "_PATIENCE", 0.2 - town.settings.runtime.stop_grace)
    with runtime(town, deaf=True) as process:
        with pytest.raises(RuntimeFailed, match=f"does not end .pid {process.pid}.") as caught:
            end_runtime(town)
        assert "left running" in caught.value.hint
        assert process.poll() is None


def test_the_runtime_of_another_host_is_left_alone(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halt, "_PATIENCE", 0.2 - town.settings.runtime.stop_grace)
    with runtime(town, host="elsewhere") as process:
        assert runtime_pids(town) == []
        with pytest.raises(RuntimeFailed, match="pid unknown"):
            end_runtime(town)
        assert process.poll() is None


def test_a_server_that_is_not_ours_is_not_stopped(town: Town) -> None:
    assert town.ground.server is None
    assert not stop_server(town.ground)
