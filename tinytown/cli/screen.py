"""The whole terminal for one picture, and the terminal given back as it was, however that ends.

The picture is drawn on the alternate screen, so what stood there before stands there afterwards. Keys are heard at
once and not echoed. Ctrl-C still sends its signal; Ctrl-Z does nothing, since a shell that came back in the middle
would find its terminal in pieces.
"""

from __future__ import annotations

import os
import sys
import termios
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rich.console import Console

from tinytown.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

_LOCAL, _CONTROL = 3, 6
"""Places in what `termios.tcgetattr` gives."""

_UNKNOWN = (80, 24)
"""What a terminal has that does not know its size, as a serial line."""


def require_terminal(command: str, hint: str) -> None:
    """Raise `Invalid` unless a person can be shown a screen and can type."""
    streams = (sys.stdin, sys.stdout)
    is_terminal = all(stream is not None and not stream.closed and stream.isatty() for stream in streams)
    if not is_terminal or os.environ.get("TERM", "dumb") == "dumb":
        raise Invalid(f"'{command}' needs a terminal", hint=hint)


class Screen:
    """A terminal that shows one picture. Made by `whole_screen`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._drawn_size: tuple[int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of the terminal itself: COLUMNS and LINES do not follow a window that changes."""
        size = os.get_terminal_size(sys.stdout.fileno())
        return size.columns or _UNKNOWN[0], size.lines or _UNKNOWN[1]

    def draw(self, picture: RenderableType, size: tuple[int, int]) -> None:
        """Show a picture that was made for this size."""
        if self._drawn_size not in (None, size):
            # A terminal of another size has moved what was on it.
            self._console.clear()
        self._drawn_size = size
        self._console.size = size
        self._console.update_screen(picture)


@contextmanager
def whole_screen() -> Iterator[Screen]:
    """Take the terminal for the time of the block."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    console = Console(file=sys.stdout, markup=False, highlight=False, emoji=False, force_terminal=True)
    try:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, _quiet(termios.tcgetattr(descriptor)))
        with console.screen(hide_cursor=True):
            yield Screen(console)
    finally:
        # A terminal that has gone cannot be put right, and need not be.
        with suppress(OSError, termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _quiet(attributes: list[int | list[bytes | int]]) -> list[int | list[bytes | int]]:
    """Without echo, each key at once, and nothing on Ctrl-Z."""
    local, control = attributes[_LOCAL], attributes[_CONTROL]
    assert isinstance(local, int)
    assert isinstance(control, list)
    attributes[_LOCAL] = local & ~(termios.ECHO | termios.ICANON)
    control[termios.VMIN], control[termios.VTIME] = 1, 0
    control[termios.VSUSP] = os.fpathconf(sys.stdin.fileno(), "PC_VDISABLE").to_bytes(1, "big")
    return attributes
