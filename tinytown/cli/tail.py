"""The growing logs of one agent, read along line by line: what it does, and the output of its rounds.

What a CLI prints may hold anything; every line is made safe for a terminal, and a line is only made safe whole, so
that no escape sequence slips through in two halves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.actors.output import LiveText
from tinytown.runtime.growing import GrowingFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tinytown.transport.files import TownFiles


class LogText:
    """One log as safe lines, from `at` bytes on."""

    def __init__(self, files: TownFiles, path: Path, *, at: int = 0) -> None:
        self.path = path
        self._file = GrowingFile(files.root, path, at=at)
        self._text = LiveText()

    def lines(self) -> Iterator[str]:
        """The whole lines that have come since the last look."""
        while chunk := self._file.read():
            yield from self._text.feed(chunk).splitlines()

    def rest(self) -> list[str]:
        """The line without an end, when nothing more will come."""
        return self._text.end().splitlines()


class LogTail:
    """The logs of an agent from now on. Make it before the agent starts: what is there already is old.

    Of the logs in `shown` it goes on where they were read to. With `only` no other log is looked at.
    """

    def __init__(self, files: TownFiles, name: str, *, shown: Iterable[LogText] = (), only: Path | None = None) -> None:
        self._files = files
        self._name = name
        self._only = only
        self._logs = {log.path: log for log in shown}
        for path in self._paths():
            if path not in self._logs and path.exists():
                self._logs[path] = LogText(files, path, at=path.lstat().st_size)

    def news(self) -> Iterator[tuple[Path, str]]:
        """The whole lines that have come since the last look, each with its log."""
        for path in self._paths():
            if path not in self._logs:
                self._logs[path] = LogText(self._files, path)
            for line in self._logs[path].lines():
                yield path, line

    def lines(self) -> list[str]:
        """The same lines alone."""
        return [line for _, line in self.news()]

    def rest(self) -> list[str]:
        """The lines without an end, when nothing more will come."""
        return [line for log in self._logs.values() for line in log.rest()]

    def _paths(self) -> list[Path]:
        """The agent's log first, then its rounds in their order."""
        if self._only is not None:
            return [self._only]
        rounds = sorted(self._files.round_numbers(self._name))
        return [
            self._files.agent_log(self._name),
            *(self._files.round_log(self._name, number) for number in rounds),
        ]
