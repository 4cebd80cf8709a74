"""`tt history`, `logs`, `why`, `top`."""

from typing import Annotated

from cyclopts import Parameter

from tinytown.cli import asked
from tinytown.cli.completion import agent_names
from tinytown.cli.grammar.options import QUIET, SHOW, AgentName, Flag, Options, ShowOptions
from tinytown.cli.invocation import Invocation
from tinytown.errors import Invalid


def history(
    agent: AgentName | None = None,
    /,
    *,
    count: Annotated[int, Parameter(name=("--count", "-n"), help="How many of the last entries.")] = 20,
    before: Annotated[
        str | None, Parameter(help="The last ahead of the entry with this id, as --json shows it.")
    ] = None,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Show the rounds that agents have worked, and the tasks that ended in them.

    Example: tt history backend
    """
    from tinytown.runtime.operations.history import History

    if count < 1:
        raise Invalid("--count is a number from 1")
    return Invocation("history", History(agent, count, before), options.common())


def logs(
    agent: AgentName,
    /,
    *,
    follow: Annotated[
        Flag, Parameter(name=("--follow", "-f"), help="Go on with what is written, until Ctrl+C.")
    ] = False,
    round_number: Annotated[
        int | None,
        Parameter(name=("--round", "-r"), help="Only the output of this round. [default: log and latest round]"),
    ] = None,
    lines: Annotated[
        int | None,
        Parameter(name=("--lines", "-n"), help="Only the last lines of each. [default: 100; with --round all]"),
    ] = None,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Show what an agent does and prints.

    Example: tt logs backend --follow
    """
    from tinytown.runtime.operations.logs import Logs

    if lines is not None and lines < 0:
        raise Invalid("--lines is a number from 0", hint="With --follow, 0 shows only what is still to come.")
    request = asked.LogsAsked(Logs(agent, round_number), follow, lines)
    return Invocation("logs", request, options.common())


def why(
    subject: Annotated[
        str,
        Parameter(
            name="AGENT|TASK", help="An agent by name, an agent or a task by id or prefix.", completer=agent_names
        ),
    ],
    /,
    *,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Say in one sentence what an agent or a task waits for.

    Example: tt why backend
    """
    from tinytown.runtime.operations.why import Why

    return Invocation("why", Why(subject), options.common())


def top(*, options: Options = QUIET) -> Invocation:
    """Watch the town on the whole screen; q quits.

    Example: tt top
    """
    return Invocation("top", None, options.common())
