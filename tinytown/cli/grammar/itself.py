"""`tt --install-completion`."""

from typing import Annotated, Literal

from cyclopts import Parameter

from tinytown.cli import asked
from tinytown.cli.invocation import Invocation


def install_completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"] | None, Parameter(help="Your shell. [default: the one tt is called from]")
    ] = None,
    /,
) -> Invocation:
    """Install completion of commands, options and agent names for a shell.

    Example: tt --install-completion bash
    """
    return Invocation("--install-completion", asked.Completion(shell))
