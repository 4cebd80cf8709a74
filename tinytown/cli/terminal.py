"""Writing to people and to programs: data on standard output, everything else on standard error.

What an agent or a file has said goes through `term_safe` before it comes here; `say` and `note` print what they
are given.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

MIN_TEXT = 16
"""Columns that free text always gets: on a terminal narrower than that, lines break anyway."""

PLAIN_WIDTH = 100
"""Columns of free text in a list when nobody's terminal sets a limit."""


def prepare() -> None:
    """Make both outputs take any text: where the locale cannot show a character, it is replaced."""
    for stream in (sys.stdout, sys.stderr):
        # None when the descriptor was closed; not a text file when somebody has replaced it.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and stream.encoding.lower() not in ("utf-8", "utf8"):
            reconfigure(errors="replace")


def say(*lines: str) -> None:
    """Lines of the answer."""
    if sys.stdout is not None:
        sys.stdout.write("".join(f"{line}\n" for line in lines))


def flush() -> None:
    """Let the answer leave as far as it is: something is waited for now."""
    if sys.stdout is not None:
        sys.stdout.flush()


def note(*lines: str) -> None:
    """Lines beside the answer: notes, warnings, errors."""
    if sys.stderr is not None:
        # Whoever flushes the answer itself tells that it cannot be written; then there is still this to say.
        with suppress(OSError):
            flush()
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()


def remark(*texts: str | None) -> None:
    """Notes beside the answer, of those texts that are there; made safe."""
    from tinytown.text import term_safe

    note(*(f"Note: {term_safe(text)}" for text in texts if text))


def columns() -> int | None:
    """The width of the terminal that standard output is, None when it is none."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError, AttributeError):
        return None


def colours() -> bool:
    """Whether to use colour: standard output is a terminal, and nobody has said NO_COLOR."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and columns() is not None


def cells(text: str) -> int:
    """How many columns the text takes: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 1 + (east_asian_width(char) in "WF") for char in text)


def fit(text: str, beside: int = 0) -> str:
    """Free text as one safe line that leaves room for `beside` columns; `...` where something was left out.

    Only a terminal narrows it below `PLAIN_WIDTH`: what goes into a pipe is the same everywhere.
    """
    from tinytown.text import one_line

    width = columns()
    room = PLAIN_WIDTH if width is None else max(MIN_TEXT, min(PLAIN_WIDTH, width - beside))
    line = one_line(text, room)
    if cells(line) <= room:
        return line
    while cells(line) > room - 3:
        line = line[:-1]
    return line + "..."
