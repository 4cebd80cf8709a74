"""`tt logs`: what an agent does and prints, safe for a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tinytown.cli.session import opened, place
from tinytown.cli.tail import LogTail, LogText
from tinytown.cli.terminal import flush, note, say
from tinytown.runtime.growing import last_lines_at
from tinytown.runtime.operations.logs import find_logs
from tinytown.text import term_safe
from tinytown.transport.blocking import run_sync

if TYPE_CHECKING:
    from pathlib import Path

    from tinytown.cli.asked import LogsAsked
    from tinytown.cli.invocation import Common
    from tinytown.runtime.operations.logs import AgentLogs
    from tinytown.runtime.town import Town

_LINES = 100
"""Lines of each log, unless one round was asked for."""

_LOOK = 0.1
"""Seconds between looks at the logs: a file that grows rings no bell."""


def logs(request: LogsAsked, common: Common) -> int:
    """Show the logs, and with `follow` what comes, each under the name of its file where there are several."""
    with opened(common) as town:
        found = run_sync(find_logs(town, request.request))
        page = _Page(town, common, headed=request.request.round is None)
        lines = request.lines
        if lines is None and request.request.round is None:
            lines = _LINES
        shown = [page.show(path, lines, whole=not request.follow) for path in found.files]
        if not found.files:
            note(f"Note: Agent '{found.agent_name}' has done nothing yet.")
    if request.follow:
        _follow(page, town, found, shown, only=found.files[0] if request.request.round is not None else None)
    return 0


def _follow(page: _Page, town: Town, found: AgentLogs, shown: list[LogText], *, only: Path | None) -> None:
    tail = LogTail(town.files, found.agent_name, shown=shown, only=only)
    while True:
        for path, line in tail.news():
            page.line(path, line)
        page.flush()
        time.sleep(_LOOK)


class _Page:
    """Lines of several files, one after the other."""

    def __init__(self, town: Town, common: Common, *, headed: bool) -> None:
        self._town = town
        self._json = common.json
        self._headed = headed and not common.json
        self._at: Path | None = None

    def show(self, path: Path, lines: int | None, *, whole: bool) -> LogText:
        """Show the last lines of a file, None for all of it, and with `whole` the one that has no end yet."""
        at = 0 if lines is None else last_lines_at(self._town.root, path, lines)
        text = LogText(self._town.files, path, at=at)
        for line in text.lines():
            self.line(path, line)
        for line in text.rest() if whole else ():
            self.line(path, line)
        return text

    def line(self, path: Path, line: str) -> None:
        """One line of this file."""
        if self._json:
            from tinytown.cli.render.encode import dump

            say(dump({"file": place(self._town, path), "line": line}))
            return
        if self._headed and path != self._at:
            say(*([""] if self._at is not None else []), f"==> {term_safe(place(self._town, path), lines=False)}")
            self._at = path
        say(line)

    def flush(self) -> None:
        """Let the reader see it."""
        flush()
