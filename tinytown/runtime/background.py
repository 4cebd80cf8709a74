"""Make sure that a runtime of this host is alive, and start one in the background where none is."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, NamedTuple

from tinytown.errors import Forbidden, RuntimeFailed
from tinytown.runtime.living import NONE_LIVES, being_stopped, living
from tinytown.text import term_safe
from tinytown.transport.files import locked

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from pathlib import Path

    from tinytown.runtime.town import Town

LOG_NAME = "runtime.log"

_HINT = "What was asked for is stored, and is done as soon as a runtime runs: tt start"

READY_WITHIN = 20.0
"""Seconds from the start to the word that agents are served; usual are 0.3. Starting the server counts in it."""

_TAIL_BYTES = 2000
_LOG_LIMIT = 4 << 20
"""Bytes of the log of the runtimes above which it is begun anew, the old one being kept once."""

_END_WITHIN = 5.0
"""Seconds for a runtime that did not become ready to end, when asked to."""

_KEPT_VARIABLES = frozenset({"TINYTOWN_REDIS_PASSWORD", "TINYTOWN_DEBUG"})

_started: set[int] = set()
"""The runtimes that this process started and that may live; mostly they outlive it."""


class Served(NamedTuple):
    """Whether a runtime was started, and why what was asked for will not begin yet."""

    started: bool = False
    note: str | None = None

    def beside(self, said: str | None) -> str | None:
        """The note with what else a person should know."""
        return "\n".join(filter(None, (said, self.note))) or None


async def ensure_runtime(town: Town, *, command: Sequence[str] | None = None) -> Served:
    """Return when a runtime of this host serves the town, or none may be started for it.

    `command` starts it, whatever the configuration says; without it `tt start` does, where `[runtime] autostart` lets
    it. To it is added the number of the descriptor that gets the word. Raises `RuntimeFailed`, with the end of its
    log, when it does not come up.
    """
    if await _one_lives(town):
        return Served(note=being_stopped(town))
    if command is None and not town.settings.runtime.autostart:
        return Served(note=None if await living(town) else NONE_LIVES)
    # Ten `tt spawn` at once: one starts it, nine wait here and find it.
    with ExitStack() as stack:
        lock = town.ground.state.directory / "start.lock"
        await town.aside(lambda: stack.enter_context(locked(lock)))
        if await _one_lives(town):
            return Served()
        await town.aside(lambda: _start(town, command or runtime_command(town)))
    return Served(started=True)


async def _one_lives(town: Town) -> bool:
    host = town.ground.host
    return any(card.host == host for card in await living(town))


def runtime_command(town: Town) -> list[str]:
    """The command line of a runtime of this town."""
    # -P: it starts in the project, which may have come from anywhere, and whose modules are not ours.
    return [sys.executable, "-P", "-m", "tinytown.cli.main", "start", "--town", str(town.root)]


def _start(town: Town, command: Sequence[str]) -> None:
    import subprocess

    _collect_ended()
    log_path = town.files.logs / LOG_NAME
    _rotate(log_path)
    ready, tell = os.pipe()
    try:
        with town.files.open_log(log_path) as log:
            since = log_path.stat().st_size
            child = subprocess.Popen(
                [*command, "--ready-fd", str(tell)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=town.root,
                env=_environment(town),
                pass_fds=[tell],
                start_new_session=True,
            )
    except (OSError, Forbidden) as error:
        os.close(ready)
        raise RuntimeFailed(f"The runtime could not be started: {error}", hint=_HINT) from error
    finally:
        os.close(tell)
    try:
        what = _failure(ready)
    finally:
        os.close(ready)
    if what:
        _end(child)
        raise RuntimeFailed(f"The runtime {what}. Its log ends with:\n{_tail(log_path, since)}", hint=_HINT)
    _started.add(child.pid)
    # So that the object, when it is collected, does not complain of a child that lives on.
    child.returncode = 0


def _collect_ended() -> None:
    """A child that has ended stays in the table of processes until somebody asks for its end."""
    for pid in list(_started):
        with suppress(ChildProcessError):
            if not os.waitpid(pid, os.WNOHANG)[0]:
                continue
        _started.discard(pid)


def _environment(town: Town) -> dict[str, str]:
    """Ours, without what makes a process part of an agent: the runtime is nobody's child."""
    return {
        name: value
        for name, value in town.environ.items()
        if not name.startswith("TINYTOWN_") or name in _KEPT_VARIABLES
    }


def _failure(ready: int) -> str:
    """Waits for the word of the runtime: what went wrong, or nothing."""
    import select

    if not select.select([ready], [], [], READY_WITHIN)[0]:
        return f"did not become ready within {READY_WITHIN:.0f} s"
    return "" if os.read(ready, 1) == b"1" else "ended at once"


def _end(child: subprocess.Popen[bytes]) -> None:
    import subprocess

    child.terminate()
    try:
        child.wait(_END_WITHIN)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _tail(log_path: Path, since: int) -> str:
    with log_path.open("rb") as log:
        log.seek(max(since, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
        return term_safe(log.read().decode("utf-8", "replace").strip()) or "(nothing)"


def _rotate(log_path: Path) -> None:
    try:
        if log_path.stat().st_size > _LOG_LIMIT:
            log_path.replace(log_path.with_suffix(".log.1"))
    except OSError:
        return
