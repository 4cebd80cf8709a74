"""`tt spawn`, `restart`, `list`, `kill`, `interrupt`, `resume`, `close`, `wait`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tinytown.cli import asked, requests
from tinytown.cli.grammar.options import SHOW, AgentName, Flag, ShowOptions, TaskId
from tinytown.cli.invocation import Invocation


def spawn(
    name: Annotated[str, Parameter(help="Name of the agent, for example worker-1, backend, reviewer.")],
    /,
    *,
    cli: Annotated[
        str | None,
        Parameter(name=("--cli", "--model", "-m"), help="Agent CLI to use. [default: default_cli of tinytown.toml]"),
    ] = None,
    max_rounds: Annotated[int | None, Parameter(help="Rounds until it stops. [default: 10]")] = None,
    role: Annotated[str | None, Parameter(help="Role, for claiming from the backlog. [default: its name]")] = None,
    nickname: Annotated[str | None, Parameter(help="A name for people.")] = None,
    workdir: Annotated[Path | None, Parameter(help="Directory it works in. [default: the town's]")] = None,
    worktree: Annotated[
        bool | None,
        Parameter(help="Whether it works in a git worktree of its own. [default: agent.isolation of tinytown.toml]"),
    ] = None,
    foreground: Annotated[
        Flag, Parameter(help="Follow its output in this terminal until it ends; Ctrl-C stops it.")
    ] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Create and start a new agent.

    Example: tt spawn backend --cli claude --max-rounds 5
    """
    from tinytown.runtime.operations.agents import Spawn

    place = None if workdir is None else str(workdir.absolute())
    request = Spawn(
        name, cli=cli, max_rounds=max_rounds, role=role, workdir=place, nickname=nickname, worktree=worktree
    )
    return Invocation("spawn", asked.Foreground(request) if foreground else request, options.common())


def restart(
    agent: AgentName,
    /,
    *,
    rounds: Annotated[int | None, Parameter(help="Rounds until it stops again. [default: as before]")] = None,
    foreground: Annotated[
        Flag, Parameter(help="Follow its output in this terminal until it ends; Ctrl-C stops it.")
    ] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Restart a stopped agent with fresh rounds.

    Example: tt restart worker-1 --rounds 20
    """
    from tinytown.runtime.operations.agents import Restart

    request = Restart(agent, rounds)
    return Invocation("restart", asked.Foreground(request) if foreground else request, options.common())


def list_agents(*, options: ShowOptions = SHOW) -> Invocation:
    """List all agents in the town.

    Example: tt list
    """
    return requests.list_agents(options.common())


def kill(
    agent: AgentName,
    /,
    *,
    now: Annotated[Flag, Parameter(help="Cut its running turn; the unfinished work stays in its mailbox.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Stop an agent gracefully.

    Example: tt kill backend
    """
    from tinytown.runtime.operations.agents import Kill

    return Invocation("kill", Kill(agent, now), options.common())


def interrupt(
    agent: AgentName,
    /,
    *,
    now: Annotated[Flag, Parameter(help="Cut its running turn; the unfinished work stays in its mailbox.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Pause an agent: after its turn it takes no other.

    Example: tt interrupt backend
    """
    from tinytown.runtime.operations.pausing import Interrupt

    return Invocation("interrupt", Interrupt(agent, now), options.common())


def resume(agent: AgentName, /, *, options: ShowOptions = SHOW) -> Invocation:
    """Let a paused agent go on.

    Example: tt resume backend
    """
    from tinytown.runtime.operations.pausing import Resume

    return Invocation("resume", Resume(agent), options.common())


def close(agent: AgentName, /, *, options: ShowOptions = SHOW) -> Invocation:
    """Let an agent finish its turn and end; what waits in its mailbox stays there.

    Example: tt close backend
    """
    from tinytown.runtime.operations.ending import Close

    return Invocation("close", Close(agent), options.common())


def wait(
    agent: AgentName | None = None,
    /,
    *,
    task: TaskId | None = None,
    timeout: Annotated[float | None, Parameter(help="Seconds to wait at most; then exit 4.")] = None,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Wait until an agent has stopped, or a task has ended.

    A task whose agent has stopped or is in error is not waited for: that is refused, with what to do.

    Example: tt wait --task 550e8400 --timeout 60
    """
    return requests.wait(options.common(), agent, task=task, seconds=timeout)
