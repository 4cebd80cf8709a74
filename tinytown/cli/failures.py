"""The end of a command that went wrong: what a person reads, and the exit status.

No traceback ever reaches a person, unless TINYTOWN_DEBUG is set. A reader that has gone (`tt events | head`) is no
failure, and Ctrl-C needs no words.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tinytown.cli.terminal import note
from tinytown.errors import TownError
from tinytown.text import term_safe

if TYPE_CHECKING:
    from typing import TextIO

INTERRUPTED = 130
DEBUG_VARIABLE = "TINYTOWN_DEBUG"


class Shown(TownError):
    """An error that the command has shown already, in words of its own; only the exit status is left.

    `cause` is the error it stands for.
    """

    def __init__(self, cause: TownError) -> None:
        super().__init__(cause.message, hint=cause.hint)
        self.cause = cause


def conclude(error: BaseException) -> int:
    """Show the error, as far as it needs words; gives the exit status."""
    if os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0"):
        import traceback

        note(term_safe("".join(traceback.format_exception(error)).rstrip()))
    match error:
        case KeyboardInterrupt():
            return INTERRUPTED
        case BrokenPipeError():
            return 0
        case Shown():
            return error.cause.exit_code
        case TownError():
            _tell(error.message, error.hint)
            return error.exit_code
        case OSError():
            where = f": {error.filename}" if isinstance(error.filename, str) else ""
            _tell(f"{error.strerror or type(error).__name__}{where}", "")
            return 1
        case _:
            _tell(
                f"This should not have happened: {type(error).__name__}: {error}",
                f"It is a fault of tt. Set {DEBUG_VARIABLE}=1 to see where, and report it.",
            )
            return 1


def refuse(error: TownError) -> Shown:
    """Show an error in the form with the cross; raise what this gives."""
    note(f"❌ {term_safe(error.message)}", *(f"   {term_safe(line)}" for line in error.hint.splitlines()))
    return Shown(error)


def silence(stream: TextIO | None = None) -> None:
    """Throw away what is still to be written, to standard output if nothing is said.

    Its reader is gone, or does not read and must not keep us: the end of the process would complain, or wait.
    """
    stream = stream or sys.stdout
    if stream is not None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def silence_stuck() -> None:
    """Throw away what is still to be written to whoever does not read at this moment."""
    from select import POLLOUT, poll

    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            room = poll()
            room.register(stream.fileno(), POLLOUT)
            if not room.poll(0):
                silence(stream)


def _tell(message: str, hint: str) -> None:
    lines = term_safe(message).splitlines() or [""]
    note(f"Error: {lines[0]}", *lines[1:], *(f"Hint: {line}" for line in term_safe(hint).splitlines()))
