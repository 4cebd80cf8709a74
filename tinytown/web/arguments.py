"""What a command line of `townhall` asks for."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from tinytown.errors import Invalid
from tinytown.transport.whereabouts import beginning
from tinytown.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

_ABOUT = """The HTTP control plane of a town: REST, live events and a dashboard.

Examples:
  townhall                        serve the town of this directory
  townhall rest --port 9000       the same, on another port
  townhall --town /path/to/town   the town of another directory
  townhall mcp-stdio              serve the MCP client that starts it, on standard input and output
  townhall mcp-http               serve MCP clients over HTTP, and nothing else ('townhall' has them at /mcp)
"""

MODES = ("rest", "mcp-stdio", "mcp-http")


class Asked(NamedTuple):
    """The town's directory, and what goes before the configuration. None leaves it to that."""

    town: str
    bind: str | None = None
    port: int | None = None
    verbose: bool = False
    ready_fd: int | None = None
    mode: str = "rest"
    scopes: str | None = None


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Invalid(message[:1].upper() + message[1:], hint="See: townhall --help")


def read_arguments(argv: Sequence[str]) -> Asked | None:
    """What is asked for; None when it was only help or the version, which are printed. Raises `Invalid`."""
    from os import environ

    parser = _Parser(prog="townhall", description=_ABOUT, formatter_class=RawDescriptionHelpFormatter, add_help=False)
    parser.add_argument("mode", nargs="?", choices=MODES, default="rest", help="what to serve [default: rest]")
    parser.add_argument("--town", "-t", metavar="PATH", help="town directory, or one inside it [default: .]")
    parser.add_argument("--bind", metavar="ADDRESS", help="address to listen on [default: 127.0.0.1]")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for a free one [default: 8787; mcp-http 8788]")
    parser.add_argument("--scopes", metavar="LIST", help="mcp-stdio: what the client may do [town.read,town.write]")
    parser.add_argument("--verbose", "-v", action="store_true", help="say more on standard error")
    parser.add_argument("--ready-fd", type=int, help="number of a file descriptor that gets the byte 1 when it serves")
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.add_argument("--help", "-h", action="store_true", help="print this")
    found = parser.parse_args(list(argv))
    if found.help:
        parser.print_help()
        return None
    if found.version:
        print(__version__)
        return None
    if found.port is not None and not 0 <= found.port <= 65_535:
        raise Invalid(f"The port is {found.port}; expected 0 to 65535")
    where = beginning(found.town, environ)
    if found.scopes is not None and found.mode != "mcp-stdio":
        raise Invalid("--scopes is for mcp-stdio: over HTTP the key says what a client may do")
    return Asked(where, found.bind, found.port, found.verbose, found.ready_fd, found.mode, found.scopes)
