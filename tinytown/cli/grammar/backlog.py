"""`tt backlog`."""

from typing import Annotated

from cyclopts import Parameter

from tinytown.cli import requests
from tinytown.cli.grammar.options import SHOW, AgentName, ShowOptions
from tinytown.cli.invocation import Invocation

Item = Annotated[str, Parameter(help="Id of a task in the backlog, or a unique prefix of 4 characters and more.")]


def add(
    task: Annotated[str, Parameter(help="What to do, in quotes; '-' reads it from standard input.")],
    /,
    *,
    tags: Annotated[str | None, Parameter(help="Whom it suits: words of roles, separated by commas.")] = None,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Put work into the backlog that nobody is given yet.

    Idle agents whose role is among the tags are told; with [backlog] auto_claim one of them takes it.

    Example: tt backlog add "Investigate flaky auth integration test" --tags test,auth,backend
    """
    from tinytown.runtime.operations.backlog import AddToBacklog

    return Invocation("backlog add", AddToBacklog(task, requests.split_tags(tags)), options.common())


def list_items(
    *,
    agent: Annotated[str | None, Parameter(help="Only what suits this agent.")] = None,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Show the backlog.

    Example: tt backlog list
    """
    from tinytown.runtime.operations.backlog import ListBacklog

    return Invocation("backlog list", ListBacklog(agent), options.common())


def claim(task: Item, agent: AgentName | None = None, /, *, options: ShowOptions = SHOW) -> Invocation:
    """Give an item of the backlog to an agent; without a name to the agent that asks.

    Example: tt backlog claim 550e8400 backend
    """
    from tinytown.runtime.operations.backlog import ClaimFromBacklog

    return Invocation("backlog claim", ClaimFromBacklog(task, agent), options.common())


def assign_all(agent: AgentName, /, *, options: ShowOptions = SHOW) -> Invocation:
    """Give all of the backlog to one agent.

    Example: tt backlog assign-all backend
    """
    from tinytown.runtime.operations.backlog import AssignAll

    return Invocation("backlog assign-all", AssignAll(agent), options.common())


def remove(task: Item, /, *, options: ShowOptions = SHOW) -> Invocation:
    """Remove an item from the backlog, and delete its task.

    Example: tt backlog remove 550e8400
    """
    from tinytown.runtime.operations.backlog import RemoveFromBacklog

    return Invocation("backlog remove", RemoveFromBacklog(task), options.common())
