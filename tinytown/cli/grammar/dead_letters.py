"""`tt dlq`."""

from typing import Annotated

from cyclopts import Parameter

from tinytown.cli.grammar.options import SHOW, AgentName, Flag, ShowOptions
from tinytown.cli.invocation import Invocation
from tinytown.errors import Invalid

Ids = Annotated[str, Parameter(name="ID", help="Ids as 'tt dlq list' shows them, or unique prefixes.")]


def show_all(
    agent: AgentName | None = None,
    /,
    *,
    count: Annotated[int, Parameter(name=("--count", "-n"), help="How many of the last of each kind.")] = 50,
    options: ShowOptions = SHOW,
) -> Invocation:
    """List the messages that failed too often, and those in quarantine.

    Example: tt dlq list
    """
    from tinytown.runtime.operations.dead_letters import ListLetters

    if count < 1:
        raise Invalid("--count is a number from 1")
    return Invocation("dlq list", ListLetters(count, agent), options.common())


def show(
    message: Annotated[str, Parameter(name="ID", help="Id as 'tt dlq list' shows it, or a unique prefix.")],
    /,
    *,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Show one of them, whole.

    Example: tt dlq show 1b9d6bcd
    """
    from tinytown.runtime.operations.dead_letters import ShowLetter

    return Invocation("dlq show", ShowLetter(message), options.common())


def retry(
    *ids: Ids,
    everything: Annotated[Flag, Parameter(name="--all", help="All there are.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Put messages back at the end of their mailboxes, with nothing counted against them.

    Example: tt dlq retry 1b9d6bcd
    """
    from tinytown.runtime.operations.dead_letters import ChooseLetters

    return Invocation("dlq retry", ChooseLetters(ids, everything), options.common())


def drop(
    *ids: Ids,
    everything: Annotated[Flag, Parameter(name="--all", help="All there are.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Throw messages away.

    Example: tt dlq drop 1b9d6bcd
    """
    from tinytown.runtime.operations.dead_letters import ChooseLetters

    return Invocation("dlq drop", ChooseLetters(ids, everything), options.common())
