"""How a run of a coding CLI ended, and the ways in which it never began."""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NOT_FOUND = 127
NOT_EXECUTABLE = 126
"""The codes a shell gives to a program that is not there, or that it cannot run."""


@dataclass(frozen=True, slots=True)
class ChildExit:
    """How a run ended."""

    code: int | None = None
    """Its exit status; 127 or 126 also if it was not found or could not be executed."""
    signal: int | None = None
    failure: str | None = None
    """Why there was no proper run: it could not be started, or its shim was killed."""
    answer: bytes = b""
    """The last 256 KiB of its standard output."""
    log_bytes: int = 0
    """What the log holds of this run."""
    dropped_bytes: int = 0
    """What the log does not hold, because of its limit or a full disk."""
    survivors: int = 0
    """Descendants that could not be killed: they belong to another user, or hang in the kernel."""

    @property
    def succeeded(self) -> bool:
        """It ran to its end and said 0."""
        return self.failure is None and self.code == 0

    def describe(self) -> str:
        """For people: `exit status 3`, `killed by SIGKILL, likely out of memory`, `no such program: foo`."""
        if self.failure is not None:
            return self.failure
        if self.signal is not None:
            return _killed_by(self.signal)
        if self.code is not None and 128 < self.code <= 128 + signal.SIGRTMIN:
            return f"exit status {self.code} ({_killed_by(self.code - 128)})"
        return f"exit status {self.code}"


def _killed_by(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    # Nobody of ours sends it to a run that is not cancelled, and the kernel sends it for one reason.
    return f"killed by {name}, likely out of memory" if number == signal.SIGKILL else f"killed by {name}"


def find_program(name: str, *, cwd: Path, path: str) -> str | ChildExit:
    """The absolute path of a program, or the exit of the run that it makes impossible."""
    folders = [""] if "/" in name else path.split(os.pathsep)
    unusable = None
    for folder in folders:
        candidate = str(cwd.absolute() / folder / name)
        if os.path.isfile(candidate):  # noqa: PTH113  (Path.is_file raises where a directory cannot be searched)
            if os.access(candidate, os.X_OK):
                return candidate
            unusable = unusable or candidate
    if unusable is not None:
        return ChildExit(code=NOT_EXECUTABLE, failure=f"not executable: {unusable}")
    return ChildExit(code=NOT_FOUND, failure=f"no such program: {name}")


def not_started(name: str, cwd: Path, step: str, number: int) -> ChildExit:
    """The exit of a run that failed at `step` (`cwd` or `exec`) with an error number of the system."""
    if step == "cwd":
        return ChildExit(failure=f"cannot work in {cwd}: {os.strerror(number)}")
    if number == errno.ENOENT:
        return ChildExit(
            code=NOT_EXECUTABLE, failure=f"not executable: {name} (the program its first line names is missing)"
        )
    if number == errno.ENOEXEC:
        return ChildExit(
            code=NOT_EXECUTABLE, failure=f"not executable: {name} (neither a program nor a script with a #! line)"
        )
    if number == errno.EACCES:
        return ChildExit(code=NOT_EXECUTABLE, failure=f"not executable: {name}")
    if number == errno.E2BIG:
        return ChildExit(failure=f"the command line or the environment of {name} is too long")
    return ChildExit(failure=f"cannot start {name}: {os.strerror(number)}")
