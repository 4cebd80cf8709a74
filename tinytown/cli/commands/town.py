"""`tt init`, `start`, `stop`, `status`, `doctor`, `demo`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tinytown.cli import terminal
from tinytown.cli.session import ask, named_as_typed, opened
from tinytown.cli.terminal import flush, note, say
from tinytown.errors import RuntimeRunning
from tinytown.text import term_safe

if TYPE_CHECKING:
    from tinytown.cli.asked import Demo, Init, Start, Stop
    from tinytown.cli.invocation import Common
    from tinytown.runtime.operations.initialize import Initialized
    from tinytown.runtime.operations.status import Status
    from tinytown.runtime.serve import Beside
    from tinytown.runtime.town import Town


def init(request: Init, common: Common) -> int:
    """Make a town."""
    from tinytown.runtime.operations.initialize import InitRequest, initialize

    # An agent's environment names its own town; a new one is made where its CLI stands.
    where = common.town or "."
    asked = InitRequest(Path(where), request.name, request.join, request.fresh)
    made = initialize(asked, environ=os.environ)
    for line in made.notices:
        note(f"Note: {line}")
    if made.kept_config:
        note("Note: tinytown.toml was there and is kept.")
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(made))
        return 0
    say(*_initialized(made, where))
    return 0


def _initialized(made: Initialized, where: str) -> list[str]:
    how = "Joined" if made.joined else "Initialized"
    redis = "Redis running with Unix socket for fast message passing" if made.socket else "Connected to external Redis"
    return [
        f"✨ {how} town '{made.name}' at {term_safe(where, lines=False)}",
        f"📡 {redis}",
        "🚀 Run 'tt spawn <name>' to create agents",
    ]


def start(request: Start, common: Common) -> int:
    """Be the runtime of this host, or start one in the background."""
    if request.detach:
        return _detach(common, townhall=request.townhall)
    from tinytown.cli.forkclient import server_command
    from tinytown.runtime.serve import run

    with named_as_typed(common):
        return run(
            Path(common.start),
            ready_fd=request.ready_fd,
            announce=_announce,
            beside=_townhall() if request.townhall else None,
            companion=server_command(),
        )


def _townhall() -> Beside:
    """What serves the town over HTTP. By its name: this face and that one do not know each other."""
    home = __import__("tinytown.web.beside", fromlist=["beside"])
    return cast("Beside", home.beside)


def _announce(line: str) -> None:
    """What a runtime says; it repeats what agents and servers have said."""
    _print(term_safe(line))


def _print(line: str) -> None:

    say(line)
    flush()


def _detach(common: Common, *, townhall: bool) -> int:
    from tinytown.runtime.background import LOG_NAME, ensure_runtime, runtime_command
    from tinytown.transport.blocking import run_sync

    with opened(common) as town:
        command = [*runtime_command(town), *(["--townhall"] if townhall else [])]
        started = run_sync(ensure_runtime(town, command=command)).started
        if townhall and not started:
            raise RuntimeRunning(
                "A runtime of this town is alive already, and cannot be given a townhall",
                hint="Run one beside it: townhall",
            )
        if started:
            say(
                "🚀 Town running in background",
                f"   Log: {term_safe(str(town.files.logs / LOG_NAME), lines=False)}",
                "   Stop it with: tt stop --redis"
                if townhall
                else "   It ends when no agent is left. Stop the agents with 'tt stop'",
            )
        else:
            say("🚀 Town running in background already")
    return 0


def stop(request: Stop, common: Common) -> int:
    """Ask all agents to end; with `--redis` end what works for the town, too."""
    from tinytown.cli.render import agents
    from tinytown.runtime.operations.ending import StopTown, stop_town
    from tinytown.transport.blocking import run_sync

    with opened(common) as town:
        result = run_sync(stop_town(town, StopTown(now=request.now)))
        if common.json:
            from tinytown.cli.render.encode import dump

            say(dump(result))
        else:
            say(*agents.stopped(result, town.name, now=request.now))
        if request.redis:
            ended = _halt(town)
            if not common.json:
                say("   Redis of this town is stopped; its data stays." if ended else "   No Redis of our own runs.")
        elif not common.json:
            own = town.ground.server is not None and not town.settings.redis.central
            # The book's line is true of a server that several towns share; a town has one of its own by default.
            say(
                "   Redis of this town goes on, with all that it holds. End it with: tt stop --redis"
                if own
                else "   Central Redis remains available to other towns."
            )
    return 0


def _halt(town: Town) -> bool:
    """End this host's runtime of the town, then the server; says if there was one."""
    from tinytown.runtime.halt import end_runtime, stop_server

    end_runtime(town)
    if town.ground.server is not None and town.settings.redis.central:
        note("Note: the central Redis serves other towns, too, and goes on.")
    return stop_server(town.ground)


def status(request: Status, common: Common) -> int:
    """Show the state of the town."""
    from tinytown.cli.render import status as render
    from tinytown.runtime.operations.status import status as operation

    found = ask(common, operation, request)
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(render.encode(found)))
    else:
        say(*render.overview(found, deep=request.deep, tasks=request.tasks))
        for line in render.warnings(found):
            note(f"Note: {term_safe(line, lines=False)}")
    return 0


def doctor(_request: None, common: Common) -> int:
    """Look for what is wrong; fails when something is."""
    from tinytown.runtime.operations.doctor import checkup

    found = checkup(Path(common.start), environ=os.environ)
    if common.json:
        from tinytown.cli.render.encode import dump, fields_of

        say(dump(fields_of(found, healthy=found.healthy)))
        return 0 if found.healthy else 1
    icons = {"ok": "✅", "warn": "⚠️ ", "fail": "❌"}
    for check in found.checks:
        say(f"{icons[check.verdict]} {check.name}: {term_safe(check.finding, lines=False)}")
        say(*(f"   {line}" for line in term_safe(check.advice).splitlines()))
    return 0 if found.healthy else 1


def demo(request: Demo, common: Common) -> int:
    """Show agents at work."""
    from tinytown.runtime.demo import run

    directory = request.directory or common.town
    # Its lines are safe already, and hold the colours that were asked for.
    return run(
        directory=None if directory is None else Path(directory),
        announce=_print,
        colour=terminal.colours(),
        mission=request.mission,
    )
