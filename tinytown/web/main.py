"""The entry point of `townhall`: the town's operations over HTTP, in a process of its own."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run `townhall` with these arguments, by default those of the process; gives the exit status."""
    # What is imported before the arguments are understood is paid by `townhall --help`, too.
    from tinytown.errors import TownError
    from tinytown.web.arguments import read_arguments

    try:
        asked = read_arguments(sys.argv[1:] if argv is None else list(argv))
        if asked is None:
            return 0
        if asked.mode == "mcp-stdio":
            from tinytown.web.mcp.process import run_stdio

            return run_stdio(asked)
        from tinytown.web.process import run

        return run(asked)
    except TownError as error:
        _tell(error.message, error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("TINYTOWN_DEBUG", "0") not in ("", "0"):
            raise
        _tell(
            f"This should not have happened: {type(error).__name__}: {error}",
            "It is a fault of townhall. Set TINYTOWN_DEBUG=1 to see where, and report it.",
        )
        return 1


def _tell(message: str, hint: str) -> None:
    from tinytown.text import term_safe

    lines = term_safe(message).splitlines() or [""]
    hints = [f"Hint: {line}" for line in term_safe(hint).splitlines()]
    print(f"Error: {lines[0]}", *lines[1:], *hints, sep="\n", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
