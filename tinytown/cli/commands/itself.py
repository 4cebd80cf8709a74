"""`tt --version`, `--help`, `--install-completion`, and what the completion script asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.cli.terminal import say
from tinytown.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinytown.cli.asked import Completion
    from tinytown.cli.invocation import Common


def version(_request: None, _common: Common) -> int:
    """Say which version this is."""
    say(f"tt {__version__}")
    return 0


def show_help(request: Sequence[str], _common: Common) -> int:
    """Print the help of the command that these words name."""
    from tinytown.cli.app import print_help

    print_help(request)
    return 0


def complete(request: Sequence[str], _common: Common) -> int:
    """Answer the completion script of a shell."""
    from tinytown.cli.app import complete as answer

    answer(request)
    return 0


def install_completion(request: Completion, _common: Common) -> int:
    """Write the completion script of a shell where that shell looks for it."""
    from tinytown.cli.completion import install

    say(*install(request.shell))
    return 0
