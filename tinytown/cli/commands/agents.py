"""`tt spawn`, `restart`, `list`, `kill`, `interrupt`, `resume`, `close`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.cli.render import agents as render
from tinytown.cli.session import ask, opened, place
from tinytown.cli.terminal import note, remark, say
from tinytown.errors import AgentNotFound, Conflict
from tinytown.text import term_safe

if TYPE_CHECKING:
    from pathlib import Path

    from tinytown.cli.asked import Foreground
    from tinytown.cli.invocation import Common
    from tinytown.runtime.operations.agents import ListAgents, Restart, Spawn, Spawned
    from tinytown.runtime.operations.ending import Close, Kill
    from tinytown.runtime.operations.pausing import Interrupt, Resume
    from tinytown.runtime.town import Town


def spawn(request: Spawn | Foreground[Spawn], common: Common) -> int:
    """Create and start an agent."""
    from tinytown.cli.asked import Foreground
    from tinytown.runtime.operations import agents
    from tinytown.transport.blocking import run_sync

    with opened(common) as town:
        if isinstance(request, Foreground):
            from tinytown.cli.commands.foreground import run_spawn

            return run_spawn(town, request.request)
        result = run_sync(agents.spawn(town, request))
        beside(result)
        if result.restarted:
            note(f"Note: Agent '{result.agent.name}' was there and stopped; it goes on under the same id.")
        if common.json:
            _dump(result)
        else:
            say(*render.spawned(result, place(town, log_of(town, result)), background=True))
    return 0


def restart(request: Restart | Foreground[Restart], common: Common) -> int:
    """Start a stopped agent again."""
    from tinytown.cli.asked import Foreground
    from tinytown.cli.failures import refuse
    from tinytown.runtime.operations import agents
    from tinytown.transport.blocking import run_sync

    with opened(common) as town:
        try:
            if isinstance(request, Foreground):
                from tinytown.cli.commands.foreground import run_restart

                return run_restart(town, request.request)
            result = run_sync(agents.restart(town, request))
        except AgentNotFound as error:
            raise refuse(Conflict(f"Agent '{error.name}' not found", hint="")) from error
        except Conflict as error:
            raise refuse(error) from error
        beside(result)
        if common.json:
            _dump(result)
        else:
            say(*render.restarted(result, place(town, log_of(town, result))))
    return 0


def list_agents(request: ListAgents, common: Common) -> int:
    """List the agents."""
    from tinytown.runtime.operations.agents import list_agents as operation
    from tinytown.runtime.operations.worktrees import checkout_of
    from tinytown.transport.blocking import run_sync

    with opened(common) as town:
        listed = run_sync(operation(town, request))
        found = listed.agents if listed.conductor is None else (listed.conductor, *listed.agents)
        seen = {agent.id: checkout for agent in found if (checkout := checkout_of(town.root, agent)) is not None}
    if common.json:
        from tinytown.cli.render.encode import dump, fields_of

        say(dump([fields_of(agent, checkout=seen.get(agent.id)) for agent in found]))
    else:
        say(*render.listing(found, seen))
    return 0


def kill(request: Kill, common: Common) -> int:
    """Ask an agent to end."""
    from tinytown.runtime.operations.ending import kill as operation

    result = ask(common, operation, request)
    if common.json:
        from tinytown.cli.render.encode import dump, fields_of

        say(dump(fields_of(result.agent, immediate=result.immediate)))
    else:
        say(*render.killed(result, now=request.now))
    return 0


def close(request: Close, common: Common) -> int:
    """Let an agent finish its turn and end."""
    from tinytown.runtime.operations.ending import close as operation

    result = ask(common, operation, request)
    if common.json:
        from tinytown.cli.render.encode import dump, fields_of

        say(dump(fields_of(result.agent, immediate=result.immediate)))
    else:
        say(*render.closed(result))
    return 0


def interrupt(request: Interrupt, common: Common) -> int:
    """Pause an agent."""
    from tinytown.runtime.operations.pausing import interrupt as operation

    result = ask(common, operation, request)
    if common.json:
        from tinytown.cli.render.encode import dump, fields_of

        say(dump(fields_of(result.agent, in_turn=result.in_turn)))
    else:
        say(*render.interrupted(result, now=request.now))
    return 0


def resume(request: Resume, common: Common) -> int:
    """Let a paused agent go on."""
    from tinytown.runtime.operations.pausing import resume as operation

    result = ask(common, operation, request)
    remark(result.note)
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(result.agent))
    else:
        say(f"▶️  Resumed agent '{render.safe_name(result.agent)}'")
    return 0


def log_of(town: Town, result: Spawned) -> Path:
    """Where the agent writes what it does."""
    return town.files.agent_log(result.agent.name)


def beside(result: Spawned) -> None:
    """What a person should know of it."""
    if result.warning:
        note(f"Warning: {term_safe(result.warning)}")
    remark(result.note)


def _dump(result: Spawned) -> None:
    from tinytown.cli.render.encode import dump, fields_of

    say(dump(fields_of(result.agent, runtime_started=result.runtime_started, restarted=result.restarted)))
