"""`tt trust`."""

from typing import Annotated

from cyclopts import Parameter

from tinytown.cli import asked
from tinytown.cli.grammar.options import SHOW, Flag, ShowOptions
from tinytown.cli.invocation import Invocation


def show(*, options: ShowOptions = SHOW) -> Invocation:
    """Show what the project's tinytown.toml would run or reach, and whether you have accepted it.

    Example: tt trust
    """
    return Invocation("trust show", None, options.common())


def accept(
    digest: Annotated[
        str | None,
        Parameter(help="Beginning of the SHA-256 that 'tt trust' showed: accept this and nothing else."),
    ] = None,
    /,
    *,
    yes: Annotated[Flag, Parameter(name=("--yes", "-y"), help="Do not ask.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Accept what the project's tinytown.toml would run or reach.

    Example: tt trust accept
    """
    return Invocation("trust accept", asked.Accept(digest, yes), options.common())


def revoke(*, options: ShowOptions = SHOW) -> Invocation:
    """Take back everything that was accepted for this project.

    Example: tt trust revoke
    """
    return Invocation("trust revoke", None, options.common())
