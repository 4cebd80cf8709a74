"""`tt conductor`."""

from typing import Annotated

from cyclopts import Parameter

from tinytown.cli import asked
from tinytown.cli.grammar.options import SHOW, Flag, ShowOptions
from tinytown.cli.invocation import Invocation


def conductor(
    goal: Annotated[str | None, Parameter(help="What it shall bring about. [default: that of the last one]")] = None,
    /,
    *,
    cli: Annotated[
        str | None,
        Parameter(name=("--cli", "--model", "-m"), help="Agent CLI to use. [default: conductor_cli of tinytown.toml]"),
    ] = None,
    detach: Annotated[Flag, Parameter(help="Do not wait for its end.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Start the conductor, an AI agent that orchestrates your town; without a goal in this terminal.

    Example: tt conductor "Build a login page with tests"
    """
    from tinytown.runtime.operations.conducting import Conduct

    return Invocation("conductor", asked.ConductorAsked(Conduct(goal, cli), detach=detach), options.common())
