"""`tt assign` and `tt task`."""

from typing import Annotated

from cyclopts import Parameter

from tinytown.cli import requests
from tinytown.cli.grammar.options import SHOW, AgentName, ShowOptions, TaskId
from tinytown.cli.invocation import Invocation


def assign(
    agent: AgentName,
    task: Annotated[str, Parameter(help="What to do, in quotes; '-' reads it from standard input.")],
    /,
    *,
    tags: Annotated[str | None, Parameter(help="Labels, separated by commas.")] = None,
    parent: Annotated[str | None, Parameter(help="Id of the task this one is grouped under.")] = None,
    after: Annotated[
        str | None, Parameter(help="Ids of tasks that must be completed first, separated by commas.")
    ] = None,
    review: Annotated[
        str | None, Parameter(help="The agent that has to approve before it counts as completed.")
    ] = None,
    verify: Annotated[
        list[str] | None,
        Parameter(help="A command that must succeed before it counts as completed. May be repeated.", negative=""),
    ] = None,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Assign a task to an agent.

    Example: tt assign worker-1 "Implement the login API" --review reviewer
    """
    return requests.assign(
        options.common(),
        agent,
        task,
        tags=tags,
        parent=parent,
        after=after,
        review=review,
        verify=tuple(verify or ()),
    )


def show(task: TaskId, /, *, options: ShowOptions = SHOW) -> Invocation:
    """View details of a task.

    Example: tt task show 550e8400
    """
    return requests.show_task(options.common(), task)


def list_tasks(
    *,
    state: Annotated[
        str | None, Parameter(help="Only those: pending, assigned, running, completed, failed, cancelled.")
    ] = None,
    agent: Annotated[str | None, Parameter(help="Only those of this agent.")] = None,
    options: ShowOptions = SHOW,
) -> Invocation:
    """List all tasks.

    Example: tt task list --state running
    """
    return requests.list_tasks(options.common(), state=state, agent=agent)


def complete(
    task: TaskId,
    /,
    *,
    result: Annotated[str | None, Parameter(help="What came of it; '-' reads standard input.")] = None,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Mark a task as completed.

    Example: tt task complete 550e8400 --result "Fixed the bug"
    """
    return requests.end_task(options.common(), "complete", task, result)


def fail(
    task: TaskId,
    /,
    *,
    error: Annotated[str | None, Parameter(help="Why it cannot be done; '-' reads standard input.")] = None,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Mark a task as failed.

    Example: tt task fail 550e8400 --error "The API is gone"
    """
    return requests.end_task(options.common(), "fail", task, error)


def cancel(
    task: TaskId,
    /,
    *,
    reason: Annotated[str | None, Parameter(help="Why it is not wanted any more.")] = None,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Cancel a task.

    Example: tt task cancel 550e8400 --reason "Not needed any more"
    """
    return requests.end_task(options.common(), "cancel", task, reason)


def current(agent: AgentName | None = None, /, *, options: ShowOptions = SHOW) -> Invocation:
    """Show the task an agent is at; without a name the agent that asks.

    Example: tt task current backend
    """
    from tinytown.runtime.operations.tasks import CurrentTask

    return Invocation("task current", CurrentTask(agent), options.common())
