"""`tt plan` and `tt sync`."""

from typing import Annotated, Literal

from cyclopts import Parameter

from tinytown.cli import asked
from tinytown.cli.grammar.options import SHOW, Flag, ShowOptions
from tinytown.cli.invocation import Invocation
from tinytown.errors import Invalid


def plan(
    *,
    init: Annotated[Flag, Parameter(name=("--init", "-i"), help="Create a new tasks.toml file.")] = False,
    graph: Annotated[Flag, Parameter(help="Draw the order of the tasks, as text and as Mermaid.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Plan tasks in a file before starting work.

    Example: tt plan --init
    """
    if init and graph:
        raise Invalid("Either --init or --graph", hint="Make the plan first, then draw it.")
    return Invocation("plan", asked.PlanAsked(init, graph), options.common())


def sync(
    direction: Annotated[
        Literal["push", "pull"], Parameter(help="push: tasks.toml to Redis; pull: Redis to tasks.toml.")
    ] = "push",
    /,
    *,
    everything: Annotated[
        Flag, Parameter(name="--all", help="With pull: add the tasks that are not in the file.")
    ] = False,
    allow_verify: Annotated[
        Flag, Parameter(help="With push: let the commands run by which the plan verifies tasks.")
    ] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Synchronize tasks between tasks.toml and Redis.

    Example: tt sync push
    """
    if everything and direction == "push":
        raise Invalid("--all belongs to 'tt sync pull'", hint="A push always takes the whole file.")
    if allow_verify and direction == "pull":
        raise Invalid("--allow-verify belongs to 'tt sync push'", hint="A pull runs nothing.")
    return Invocation("sync", asked.SyncAsked(direction, everything, allow_verify), options.common())
