"""Command lines of the configuration, made into what can be run without a shell."""

from __future__ import annotations

import os
import shlex

from tinytown.errors import InvalidConfig
from tinytown.text import one_line

_SHOWN = 80


def split_line(line: str, *, key: str) -> tuple[str, ...]:
    """The items of a command line, as a shell would split it; no shell runs it, so `$`, `;` and `|` mean nothing.

    `~` is expanded in the program only. `key` is the setting, for people. Raises `InvalidConfig` for a quote that
    is not closed and for a line without a program.
    """
    try:
        items = shlex.split(line)
    except ValueError as error:
        raise InvalidConfig(
            f"{key} cannot be split ({str(error).lower()}): {one_line(line, _SHOWN)}", hint="Close the quotes."
        ) from None
    if not items or not items[0]:
        raise InvalidConfig(f"{key} names no program", hint="Write a command, such as: make test")
    program, *rest = items
    return (os.path.expanduser(program), *rest)  # noqa: PTH111  (a path would lose the difference of x and ./x)
