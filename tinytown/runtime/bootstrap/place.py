"""Where an installed server lies, and how it gets there.

What must be true: `~/.tt/bin/redis-server` is a link that is turned in one step, and only to a server that was seen
to start, to answer and to end. Whatever goes wrong before, the one that was there stays. Of several installations at
once one goes on, the others are refused.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinytown.errors import Conflict, Invalid, RuntimeFailed, TownError
from tinytown.text import one_line
from tinytown.transport.disk import repoint
from tinytown.transport.locks import try_lock
from tinytown.transport.server_binary import MINIMUM, ask_version, dotted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tinytown.transport.server_binary import Version

SERVER = "redis-server"
PROGRAMS = (SERVER, "redis-cli", "redis-benchmark", "redis-check-aof", "redis-check-rdb", "redis-sentinel")
"""What a build of Redis leaves in `src/`; all but the server may be missing."""

_LATEST = "latest"
_SCRATCH = ".new-"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A version that was asked for: up to three numbers, none for the latest."""

    numbers: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Wanted:
        """`latest`, `8`, `8.0` or `8.0.2`; `Invalid` for anything else, and for what is too old to be of use."""
        if text == _LATEST:
            return cls()
        parts = text.removeprefix("v").split(".")
        if not 1 <= len(parts) <= len(MINIMUM) or not all(part.isascii() and part.isdigit() for part in parts):
            raise Invalid(f"'{one_line(text, 40)}' is no version", hint="Say it like 8.0.2, or leave it out.")
        if any(len(part) > 4 for part in parts):
            raise Invalid(f"'{one_line(text, 40)}' is no version of Redis")
        numbers = tuple(int(part) for part in parts)
        if numbers < MINIMUM[: len(numbers)]:
            raise Invalid(f"Redis {text} is too old: Tinytown needs {dotted(MINIMUM)} or newer")
        return cls(numbers)

    def takes(self, version: Version) -> bool:
        """Whether this version is one of those asked for."""
        return version >= MINIMUM and version[: len(self.numbers)] == self.numbers

    def __str__(self) -> str:
        return ".".join(map(str, self.numbers)) or _LATEST


@dataclass(frozen=True, slots=True)
class Installed:
    """A server that is in place. `method` is how it came there, `there` when nothing had to be done."""

    name: str
    version: str
    path: str
    method: str


@dataclass(frozen=True, slots=True)
class Place:
    """The directories of a user's own servers. `tell` is given what happens, a line each, for people."""

    home: Path
    tell: Callable[[str], None]

    @property
    def root(self) -> Path:
        """`~/.tt`."""
        return self.home / ".tt"

    @property
    def server(self) -> Path:
        """The link that everybody uses."""
        return self.root / "bin" / SERVER

    @contextmanager
    def workshop(self) -> Iterator[Path]:
        """An empty directory for one installation, removed afterwards; `Conflict` while another one runs.

        What one that was killed has left goes, too.
        """
        versions = self.root / "versions"
        for directory in (self.root, versions, self.server.parent):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = try_lock(self.root / "bootstrap.lock")
        if lock is None:
            raise Conflict("Another 'tt bootstrap' is at work", hint="Wait until it has ended.")
        with lock:
            for left in versions.glob(f"{_SCRATCH}*"):
                shutil.rmtree(left, ignore_errors=True)
            scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=versions))
            try:
                yield scratch
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    def install(self, programs: Path, scratch: Path, wanted: Wanted, method: str) -> Installed:
        """Take the server in the directory `programs`, and what lies beside it, into use.

        `scratch` is the workshop. Raises `RuntimeFailed` for what is no server, does not work, or is of a version
        that was not asked for; then nothing was changed.
        """
        made = scratch / "install" / "bin"
        made.mkdir(parents=True)
        for name in PROGRAMS:
            with suppress(FileNotFoundError):
                # Copied, links followed: what we take must stay when a build or a virtual environment goes.
                shutil.copyfile(programs / name, made / name)
                (made / name).chmod(0o755)
        name, version = self._checked(made / SERVER, wanted)
        same = f"{name}-{dotted(version)}"
        before = [path for path in (self.root / "versions").iterdir() if path.name.partition("+")[0] == same]
        # Never in the place of one that is in use: a death between two steps would leave the link without a server.
        target = self.root / "versions" / (f"{same}+{scratch.name.removeprefix(_SCRATCH)}" if before else same)
        made.parent.rename(target)
        for program in sorted(path.name for path in (target / "bin").iterdir()):
            repoint(self.server.parent / program, Path(os.pardir, "versions", target.name, "bin", program))
        for path in before:
            shutil.rmtree(path, ignore_errors=True)
        return Installed(name, dotted(version), str(self.server), method)

    def _checked(self, server: Path, wanted: Wanted) -> tuple[str, Version]:
        found = ask_version(server) if server.is_file() else None
        if found is None:
            raise RuntimeFailed("What was made is no Redis server", hint=alternatives())
        if not wanted.takes(found[1]):
            raise RuntimeFailed(
                f"What was made is {found[0]} {dotted(found[1])}, and Redis {wanted} was asked for", hint=alternatives()
            )
        self.tell("   Trying it: start, answer, stop")
        _try(server)
        return found


def _try(server: Path) -> None:
    """Start it as a town would, in a directory of its own, and stop it; `RuntimeFailed` when it does not work."""
    from tinytown.transport.server import ManagedServer, ServerLocation, ServerSettings

    with tempfile.TemporaryDirectory(prefix="tt") as directory:
        managed = ManagedServer(ServerLocation(Path(directory, "try")), ServerSettings(str(server), "none"))
        try:
            managed.ensure()
        except TownError as error:
            raise RuntimeFailed(f"The server does not work: {error.message}", hint=alternatives()) from error
        finally:
            with suppress(TownError):
                managed.stop()


def alternatives() -> str:
    """What to do when nothing else helps: the ways of the manual."""
    return (
        "Nothing was changed. Other ways to get Redis:\n"
        "macOS (Homebrew): brew install redis\n"
        "Ubuntu/Debian: sudo apt update && sudo apt install redis-server\n"
        "Without a compiler: tt bootstrap --method bundled\n"
        "By a coding CLI: tt bootstrap --method ai --cli claude"
    )
