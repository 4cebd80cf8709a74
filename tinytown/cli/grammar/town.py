"""`tt init`, `start`, `stop`, `status`, `events`, `doctor`, `demo`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tinytown.cli import asked, requests
from tinytown.cli.grammar.options import QUIET, SHOW, Flag, Options, ShowOptions
from tinytown.cli.invocation import Invocation
from tinytown.errors import Invalid


def init(
    positional: Annotated[str | None, Parameter(name="NAME", help="The same as --name.")] = None,
    /,
    *,
    name: Annotated[str | None, Parameter(name=("--name", "-n"), help="Town name. [default: <repo>-<branch>]")] = None,
    join: Annotated[Flag, Parameter(help="Share a town of this name that another host has on this Redis.")] = False,
    fresh: Annotated[Flag, Parameter(help="The town's data is lost: begin without it.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Initialize a new town.

    Example: tt init --name my-project
    """
    if positional is not None and name is not None:
        raise Invalid("The name was given twice", hint="Say either 'tt init NAME' or 'tt init --name NAME'.")
    return Invocation("init", asked.Init(name or positional, join, fresh), options.common())


def start(
    *,
    detach: Annotated[Flag, Parameter(name=("--detach", "-d"), help="Run in the background and return.")] = False,
    townhall: Annotated[Flag, Parameter(help="Serve the town over HTTP, too.")] = False,
    ready_fd: Annotated[int | None, Parameter(show=False)] = None,
    options: Options = QUIET,
) -> Invocation:
    """Keep the town running until Ctrl+C.

    Example: tt start --detach
    """
    return Invocation("start", asked.Start(detach, ready_fd, townhall), options.common())


def stop(
    *,
    redis: Annotated[
        Flag, Parameter(help="End the runtime of this host and the town's own Redis server, too.")
    ] = False,
    now: Annotated[Flag, Parameter(help="Cut the running turns; unfinished work stays in the mailboxes.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Request all agents in the town to stop gracefully.

    Example: tt stop
    """
    return Invocation("stop", asked.Stop(redis, now), options.common())


def status(
    *,
    deep: Annotated[Flag, Parameter(help="Show recent agent activity.")] = False,
    tasks: Annotated[Flag, Parameter(help="Show detailed task breakdown by state and agent.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Show town status.

    Example: tt status --deep
    """
    return requests.status(options.common(), deep=deep, tasks=tasks)


def events(
    *,
    count: Annotated[int, Parameter(name=("--count", "-n"), help="How many of the last events.")] = 50,
    follow: Annotated[Flag, Parameter(name=("--follow", "-f"), help="Go on with what happens, until Ctrl+C.")] = False,
    agent: Annotated[str | None, Parameter(help="Only those of this agent.")] = None,
    task: Annotated[str | None, Parameter(help="Only those of this task.")] = None,
    kind: Annotated[
        str | None, Parameter(name="--type", help="Only this type (task.completed) or group (task).")
    ] = None,
    before: Annotated[str | None, Parameter(help="The last ahead of the event with this id.")] = None,
    after: Annotated[str | None, Parameter(help="The first behind the event with this id.")] = None,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Show what happened in the town.

    Example: tt events --follow --agent backend
    """
    from tinytown.runtime.operations.events import Events

    if count < 0:
        raise Invalid("--count is a number from 0", hint="With --follow, 0 shows only what is still to come.")
    if follow and before is not None:
        raise Invalid("--follow goes on with what happens, so it takes no --before")
    request = asked.EventsAsked(Events(count, agent, task, kind, before, after), follow)
    return Invocation("events", request, options.common())


def doctor(*, options: ShowOptions = SHOW) -> Invocation:
    """Check this machine and this town, and say what to do.

    Example: tt doctor
    """
    return Invocation("doctor", None, options.common())


def demo(
    directory: Annotated[Path | None, Parameter(help="Where to build it. [default: a temporary directory]")] = None,
    /,
    *,
    mission: Annotated[Flag, Parameter(help="Show a mission: three issues become merged pull requests.")] = False,
    options: Options = QUIET,
) -> Invocation:
    """Watch three scripted agents work together; needs no account and no network.

    Example: tt demo
    """
    request = asked.Demo(None if directory is None else str(directory), mission)
    return Invocation("demo", request, options.common())
