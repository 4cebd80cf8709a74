"""Options and arguments that many commands share."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from tinytown.cli.completion import agent_names
from tinytown.cli.invocation import Common

Flag = Annotated[bool, Parameter(negative="", show_default=False)]
"""An option without a value, and without a `--no-` twin."""

AgentName = Annotated[str, Parameter(help="Name, id or unique prefix of an agent's id.", completer=agent_names)]

TaskId = Annotated[str, Parameter(help="Id of a task, or a unique prefix of 4 characters and more.")]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What every command takes."""

    town: Annotated[
        str | None, Parameter(name=("--town", "-t"), help="Town directory, or one inside it. [default: .]")
    ] = None
    verbose: Annotated[Flag, Parameter(name=("--verbose", "-v"), help="Say more on standard error.")] = False

    def common(self) -> Common:
        """The same, as a command takes it."""
        return Common(town=self.town, verbose=self.verbose)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class ShowOptions(Options):
    """What every command takes that shows something."""

    json: Annotated[Flag, Parameter(help="Print JSON for programs.")] = False

    def common(self) -> Common:
        """The same, as a command takes it."""
        return Common(town=self.town, verbose=self.verbose, json=self.json)


QUIET = Options()
SHOW = ShowOptions()
