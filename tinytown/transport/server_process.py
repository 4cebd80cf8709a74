"""The server as a process: started, told apart from others, ended; and what its log says when it went wrong.

A server we start inherits an open, locked file (`redis.life`). The kernel keeps the lock as long as the server
lives, hung or not, and gives it back however it ends. So whether one lives is never guessed from a pid, which may
be another process's by now; a pid is only used to send a signal, after a look at what it is.
"""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tinytown.errors import RedisStartFailed
from tinytown.text import term_safe
from tinytown.transport.locks import try_lock
from tinytown.transport.server_config import DATA_NAME, LOG_NAME, PID_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tinytown.transport.locks import FileLock
    from tinytown.transport.server_binary import ServerBinary

LIFE_NAME = "redis.life"

_LAUNCH_LIMIT = 10.0
_TAIL_BYTES = 4096
_TAIL_LINES = 12
_LOG_LIMIT = 4 << 20
_LONGEST_PAUSE = 0.1

_DAMAGE = (
    "Bad file format reading the append only file",
    "Unexpected end of file reading the append only file",
    "FATAL AOF MANIFEST FILE ERROR",
)
# A line of the log below the level of warnings: "pid:role date time mark text", the mark being one of these.
_ORDINARY = re.compile(r"\d+:\w \S+ \S+ \S+ \S+ [*.-] ")

# The server needs nothing of ours; what it inherits can be read in /proc for as long as it lives.
_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "DYLD_LIBRARY_PATH",
)


def launch(binary: ServerBinary, directory: Path, configuration: bytes, life: FileLock) -> None:
    """Starts the program as a daemon in the directory, which inherits the lock.

    Returns when it is on its way, not when it serves. Raises `RedisStartFailed` when it refuses the configuration.
    """
    import subprocess

    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    try:
        ended = subprocess.run(
            [binary.path, "-"],
            input=configuration,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=environment,
            umask=0o077,
            start_new_session=True,
            pass_fds=[life.fileno()],
            timeout=_LAUNCH_LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RedisStartFailed(f"{binary.path} could not be started: {_plain(error)}") from None
    if ended.returncode != 0:
        lines = ended.stdout.decode("utf-8", "replace").splitlines()
        # It repeats the line it stumbled over.
        said = "\n".join(line for line in lines if line.strip() and "requirepass" not in line)
        raise RedisStartFailed(f"{binary.path} refused to start:\n{term_safe(said)}", hint=advice(said, directory))


def lives(directory: Path) -> bool:
    """Whether a server that we started in this directory lives."""
    lock = try_lock(directory / LIFE_NAME)
    if lock is None:
        return True
    lock.release()
    return False


def wait_gone(directory: Path, seconds: float) -> bool:
    """Waits that long for the end of the server that lives here; says whether it has ended."""
    deadline = time.monotonic() + seconds
    pause = 0.002
    while lives(directory):
        if time.monotonic() > deadline:
            return False
        # A lock has no bell that rings with a deadline.
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
    return True


def pid_of(directory: Path) -> int | None:
    """The pid in the server's pid file, if the server of this directory has it now."""
    try:
        pid = int((directory / PID_NAME).read_bytes())
    except (OSError, ValueError):
        return None
    return pid if pid > 1 and _is_server(pid, directory) else None


def terminate(directory: Path) -> bool:
    """Asks the server process of this directory to end, which keeps its data; False when there is none to ask."""
    pid = pid_of(directory)
    if pid is None:
        return False
    with _pinned(pid) as send:
        # The first look was at the pid, this one is at the process that the signal will go to.
        if not _is_server(pid, directory):
            return False
        with suppress(ProcessLookupError):
            send(signal.SIGTERM)
    return True


@contextmanager
def _pinned(pid: int) -> Iterator[Callable[[int], None]]:
    """What sends a signal to the process that has this pid now, and to no later one where the system can tell."""
    opener: Callable[[int], int] | None = getattr(os, "pidfd_open", None)
    sender: Callable[[int, int], None] | None = getattr(signal, "pidfd_send_signal", None)
    try:
        handle = opener(pid) if opener is not None else None
    except OSError:
        handle = None
    if handle is None or sender is None:
        yield partial(os.kill, pid)
        return
    try:
        yield partial(sender, handle)
    finally:
        os.close(handle)


def _is_server(pid: int, directory: Path) -> bool:
    """Whether this process works in the directory and has the file open whose lock is its sign of life."""
    if Path("/proc/self/fd").exists():
        try:
            if not Path(f"/proc/{pid}/cwd").samefile(directory):
                return False
            life = (directory / LIFE_NAME).stat()
            with os.scandir(f"/proc/{pid}/fd") as entries:
                return any(os.path.samestat(entry.stat(), life) for entry in entries)
        except OSError:
            return False
    import subprocess

    # Without /proc: the title of a server's process names its program.
    shown = subprocess.run(["ps", "-p", str(pid), "-o", "comm="], capture_output=True, check=False).stdout
    return lives(directory) and (b"redis" in shown or b"valkey" in shown)


def log_size(directory: Path) -> int:
    """Where the log ends now, in bytes. One that has grown over 4 MiB is put aside first, as `redis.log.1`."""
    log = directory / LOG_NAME
    try:
        size = log.stat().st_size
    except FileNotFoundError:
        return 0
    if size <= _LOG_LIMIT:
        return size
    log.replace(log.with_suffix(".log.1"))
    return 0


def log_tail(directory: Path, since: int = 0) -> str:
    """The last lines of the log after that many bytes, safe to be shown; only the warnings, if there are any."""
    try:
        with (directory / LOG_NAME).open("rb") as log:
            log.seek(max(since, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    # It stands in every log and says nothing of this start.
    told = [line for line in lines if line.strip() and "WARNING Memory overcommit" not in line]
    warnings = [line for line in told if _ORDINARY.match(line) is None]
    return term_safe("\n".join((warnings or told)[-_TAIL_LINES:]))


def advice(log: str, directory: Path) -> str:
    """What a person should do about what the log says. Nothing is repaired without being asked."""
    data = directory / DATA_NAME
    if "No space left on device" in log or "Disk quota exceeded" in log:
        return f"The disk is full. Free some space where {directory} is; nothing that was accepted is lost."
    if any(sign in log for sign in _DAMAGE):
        return (
            f"The data on disk is damaged. Keep a copy first: cp -a '{data}' SAFE-PLACE. Then let the server's "
            f"own tool look at it: valkey-check-aof '{data}/appendonly.aof.manifest' (the server program is that "
            "tool when it is called by that name: exec -a valkey-check-aof PROGRAM)."
        )
    if "Unable to obtain the AOF file" in log or "doesn't exist" in log:
        return f"Files are missing in {data}. Put them back from a backup."
    if "Out Of Memory" in log or "Cannot allocate memory" in log:
        return "The machine has too little memory for this town's data. Free some, then try again."
    if "Failed finding TLS support" in log:
        return "This server program was built without TLS. Name one that has it in [redis] server."
    if "Address already in use" in log:
        return "Another program listens on this address. Choose another [redis] port."
    return f"Its log is {directory / LOG_NAME}."


def _plain(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it did not return in time"
