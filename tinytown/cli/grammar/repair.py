"""`tt recover`, `reclaim`, `prune`, `reset`."""

from typing import Annotated

from cyclopts import Parameter

from tinytown.cli import requests
from tinytown.cli.grammar.options import SHOW, Flag, ShowOptions
from tinytown.cli.invocation import Invocation


def recover(*, options: ShowOptions = SHOW) -> Invocation:
    """Find agents whose runtime has died, and recover them.

    Example: tt recover
    """
    from tinytown.runtime.operations.recovering import Recover

    return Invocation("recover", Recover(), options.common())


def reclaim(
    *,
    to_backlog: Annotated[Flag, Parameter(help="Move the work to the backlog, the rest to the conductor.")] = False,
    to: Annotated[str | None, Parameter(help="Move everything to this agent.")] = None,
    source: Annotated[str | None, Parameter(name="--from", help="Only from this agent.")] = None,
    orphan_tasks: Annotated[
        Flag, Parameter(help="Open tasks whose agent has ended or is gone, whatever lies in the mailboxes.")
    ] = False,
    cancel: Annotated[Flag, Parameter(help="With --orphan-tasks: cancel them.")] = False,
    delete: Annotated[Flag, Parameter(help="With --orphan-tasks: delete them.")] = False,
    force: Annotated[Flag, Parameter(help="Also from an agent that has not ended, which ends it.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Move the work of agents that have ended; without a destination show it and change nothing.

    Example: tt reclaim --from worker-1 --to-backlog
    """
    return requests.reclaim(
        options.common(),
        to_backlog=to_backlog,
        to=to,
        source=source,
        orphan_tasks=orphan_tasks,
        cancel=cancel,
        delete=delete,
        force=force,
    )


def prune(
    *,
    everyone: Annotated[Flag, Parameter(name="--all", help="ALL agents, not just those that have ended.")] = False,
    force: Annotated[Flag, Parameter(help="Also those in a turn, which is cut.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Remove agents that have ended; their work goes to the backlog, the rest to the conductor.

    Example: tt prune
    """
    from tinytown.runtime.operations.clearing import Prune

    return Invocation("prune", Prune(everyone=everyone, force=force), options.common())


def reset(
    *,
    force: Annotated[Flag, Parameter(help="Do it. Without this, only what would be deleted is shown.")] = False,
    agents_only: Annotated[Flag, Parameter(help="Only the agents; tasks and backlog stay.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Delete all agents, tasks and messages of the town.

    Example: tt reset --force
    """
    from tinytown.runtime.operations.clearing import Reset

    return Invocation("reset", Reset(force=force, agents_only=agents_only), options.common())
