"""`tt mcp`."""

from typing import Annotated, Literal

from cyclopts import Parameter

from tinytown.cli import asked
from tinytown.cli.grammar.options import QUIET, Flag, Options
from tinytown.cli.invocation import Invocation


def install(
    client: Annotated[
        Literal["claude", "claude-desktop", "cursor", "vscode", "codex", "gemini"] | None,
        Parameter(help="Whose configuration. Without one the entry is only shown."),
    ] = None,
    /,
    *,
    show: Annotated[Flag, Parameter(name="--print", help="Show what would be written, and write nothing.")] = False,
    scopes: Annotated[
        str | None,
        Parameter(help="What the client may do: town.read, town.write, agent.manage. [default: the first two]"),
    ] = None,
    options: Options = QUIET,
) -> Invocation:
    """Let an MCP client use this town.

    Example: tt mcp install claude --scopes town.read,town.write,agent.manage
    """
    return Invocation("mcp install", asked.McpInstall(client, show, scopes), options.common())
