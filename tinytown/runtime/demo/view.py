"""What a person sees: one line for each thing that happens, and at the end a table. Nothing here waits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tinytown.text import one_line, term_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WIDTH = 96
"""Characters of a text from an agent on its line."""

BOLD, DIM, GREEN, RED = "1", "2", "32", "31"


class View:
    """The lines of one demonstration, each with the seconds since its beginning."""

    def __init__(self, announce: Callable[[str], None], *, colour: bool) -> None:
        self._announce = announce
        self._colour = colour
        self._begin = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begin

    def paint(self, text: str, code: str) -> str:
        """The text in this colour, where colours are wanted."""
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text

    def happened(self, icon: str, text: str) -> None:
        """One happening."""
        self._announce(f"{self.paint(f'{self.elapsed:5.1f}s', DIM)} {icon} {text}")

    def said(self, name: str, line: str) -> None:
        """One line that an agent printed while it worked."""
        self._announce(self.paint(f"{'':6} {'':2} {name:>8} │ {one_line(line, _WIDTH)}", DIM))

    def name(self, name: str) -> str:
        """An agent's name."""
        return self.paint(term_safe(name, lines=False), BOLD)

    def text(self, text: str) -> str:
        """What an agent wrote: its first line, and how many more there are."""
        first, *more = text.strip().splitlines() or [""]
        return one_line(first, _WIDTH) + (f" (+{len(more)} line{'s' if len(more) > 1 else ''})" if more else "")

    def plain(self, *lines: str) -> None:
        """Lines without a time."""
        for line in lines:
            self._announce(line)

    def title(self, text: str) -> None:
        """The head of a part."""
        self.plain("", self.paint(text, BOLD))

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns as wide as they have to be: texts to the left, numbers to the right."""
        lines = [head, *rows]
        widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
        for number, line in enumerate(lines):
            cells = [
                cell.ljust(width) if at < 2 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            shown = "  " + "   ".join(cells).rstrip()
            self.plain(self.paint(shown, DIM) if number == 0 else shown)

    def failed(self, message: str, hint: str) -> None:
        """Why it ends here."""
        first, *more = term_safe(message).splitlines() or [""]
        self.happened("❌", self.paint(first, RED))
        self.plain(
            *(f"          {line}" for line in more), *(f"   Hint: {line}" for line in term_safe(hint).splitlines())
        )
