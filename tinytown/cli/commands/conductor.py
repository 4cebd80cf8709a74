"""`tt conductor`."""

from __future__ import annotations

import signal
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from tinytown.cli.commands.waiting import persist
from tinytown.cli.failures import INTERRUPTED
from tinytown.cli.render import conductor as render
from tinytown.cli.session import ask, opened, place, text_or_input
from tinytown.cli.terminal import flush, note, remark, say
from tinytown.errors import Invalid, TownError
from tinytown.lifecycle import TaskState
from tinytown.text import term_safe

if TYPE_CHECKING:
    from tinytown.cli.asked import ConductorAsked
    from tinytown.cli.invocation import Common
    from tinytown.messages import Message
    from tinytown.runtime.operations.conducting import Conducted


def conductor(request: ConductorAsked, common: Common) -> int:
    """Start the conductor, and wait for the end of its goal unless it shall be left alone."""
    from dataclasses import replace

    from tinytown.runtime.operations.conducting import conduct
    from tinytown.transport.blocking import run_sync

    asked = request.request
    if asked.goal is None and not (request.detach or common.json) and _on_terminal():
        return _attend(asked.cli, common)
    if asked.goal is not None:
        asked = replace(asked, goal=text_or_input(asked.goal))
    with opened(common) as town:
        result = run_sync(conduct(town, asked))
        log = place(town, town.files.agent_log(result.agent.name))
    if result.warning:
        note(f"Warning: {term_safe(result.warning)}")
    if not request.detach:
        return _stay(result, log, common)
    if common.json:
        _dump(result)
    else:
        say(*render.started(result, log, detached=True))
    return 0


def _on_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def _attend(cli: str | None, common: Common) -> int:
    """Run the conductor's CLI in this terminal, and give its exit status."""
    from tinytown.runtime.caller import TOKEN_VARIABLE
    from tinytown.runtime.operations.conducting import Attend, Leave, attend, leave
    from tinytown.transport.blocking import run_sync

    with opened(common) as town:
        found = run_sync(attend(town, Attend(cli)))
        if found.warning:
            note(f"Warning: {term_safe(found.warning)}")
        say(*render.attended(found, place(town, found.context)))
        root = town.root
    flush()
    # Ctrl-C is for the program that has the terminal.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        status = subprocess.run(
            found.command,
            cwd=root,
            env=dict(found.environ),
            check=False,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ).returncode
    except OSError as error:
        raise Invalid(f"The conductor's CLI cannot be run: {error.strerror}: {found.command[0]}") from None
    finally:
        signal.signal(signal.SIGINT, before)
        ask(common, leave, Leave(found.environ[TOKEN_VARIABLE]))
    return status if status >= 0 else 128 - status


def _stay(result: Conducted, log: str, common: Common) -> int:
    """Wait for the end of the goal. From the line on that says so, Ctrl-C ends the conductor."""
    try:
        if not common.json:
            say(*render.started(result, log, detached=False))
            flush()
        from tinytown.runtime.operations.conducting import AwaitGoal, await_goal

        asked = AwaitGoal(result.task.id, result.agent.last_heartbeat)
        tell = _keep_quiet if common.json else _tell
        task = persist(lambda: ask(common, partial(await_goal, tell=tell), asked))
    except KeyboardInterrupt:
        return _stop(common)
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(task))
    else:
        say(*render.ended(task))
    return 0 if task.state is TaskState.COMPLETED else 1


def _tell(message: Message) -> None:
    say(*render.told(message))
    flush()


def _keep_quiet(_: Message) -> None:
    """A program gets the one result it asked for."""


def _stop(common: Common) -> int:
    from tinytown.runtime.operations.ending import Kill, kill

    try:
        ask(common, kill, Kill("conductor", now=True))
    except TownError as error:
        remark(error.message)
    else:
        note("Note: The conductor ends. Its goal stays open; go on with: tt conductor --detach")
    return INTERRUPTED


def _dump(result: Conducted) -> None:
    from tinytown.cli.render.encode import dump, fields_of

    say(dump(fields_of(result.task, cli=result.agent.cli, runtime_started=result.runtime_started)))
