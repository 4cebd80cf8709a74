"""The server of a town: found, started under a lock, watched, ended.

What must be true: of one directory at most one server lives at any time, however many commands ask for it at once
and whatever was killed before. A second one on the same directory would take the socket away from the first and
write into the same data (measured). So nobody starts one without holding `redis.lock`, and without having held
`redis.life`, which the server then inherits.

The server outlives whoever started it. It is never killed, only asked to end, and its data is never repaired or
removed here.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinytown.errors import RedisRefused, RedisStartFailed, RedisUnreachable
from tinytown.transport.disk import atomic_write, private_directory, repoint
from tinytown.transport.files import SOCKET_NAME
from tinytown.transport.locks import FileLock, locked, try_lock
from tinytown.transport.server_config import (
    DATA_NAME,
    PID_NAME,
    Durability,
    ServerSettings,
    TlsFiles,
    check_settings,
    configuration,
)
from tinytown.transport.server_probe import (
    Health,
    check_external,
    conversation,
    health,
    identity,
    parse_info,
)

if TYPE_CHECKING:
    from tinytown.transport.server_binary import ServerBinary

__all__ = (
    "Durability",
    "ManagedServer",
    "ServerLocation",
    "ServerSettings",
    "ServerStatus",
    "TlsFiles",
    "check_external",
    "parse_info",
)

READY_LIMIT = 10.0
"""Seconds from the start to an answer; usual are 13 to 50 ms. Reading much data counts extra."""

STOP_LIMIT = 10.0
"""Seconds from the request to the end; usual are 60 to 90 ms."""

ANSWER_LIMIT = 5.0
"""Seconds to an answer, after which a server counts as hung. `appendfsync always` on a slow disk may take long."""

SETTLE_LIMIT = 3.0
"""Seconds for a server that lives behind a dead socket to finish its start, before it is asked to end."""

_LONGEST_PAUSE = 0.1
_DURABILITY: dict[str, Durability] = {"always": "durable", "everysec": "fast"}


@dataclass(frozen=True, slots=True)
class ServerLocation:
    """Where a server lives: a directory that is ours alone, and the links that people find it by.

    Socket, pid file, log, locks and data are all in `directory`; its path may have any length.
    """

    directory: Path
    socket_link: Path | None = None
    pid_link: Path | None = None

    @property
    def socket(self) -> Path:
        """The socket itself."""
        return self.directory / SOCKET_NAME

    @property
    def lock(self) -> Path:
        """Held by whoever starts or ends the server."""
        return self.directory / "redis.lock"

    def links(self) -> list[tuple[Path, Path]]:
        """Each link with what it points to."""
        pairs = ((self.socket_link, SOCKET_NAME), (self.pid_link, PID_NAME))
        return [(link, self.directory / name) for link, name in pairs if link is not None]


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What a running server says of itself; sizes in bytes.

    `durability` is what is in force, whatever the settings say. `free_bytes` is the space left on its disk.
    `writes_work` is False while the disk refuses.
    """

    name: str
    version: str
    pid: int
    durability: Durability
    aof_bytes: int
    free_bytes: int
    memory_bytes: int
    max_memory_bytes: int
    evicted_keys: int
    uptime_seconds: int
    writes_work: bool


class ManagedServer:
    """The server of one location. All methods block: under trio, call them in a worker thread.

    `binary` is the program that this object started a server with, None when it did not have to; its `passed_over`
    is worth showing to people.
    """

    def __init__(self, location: ServerLocation, settings: ServerSettings) -> None:
        self._location = location
        self._settings = settings
        self.binary: ServerBinary | None = None

    def ensure(self) -> str:
        """The path of the socket of a server that serves, started if there is none.

        Raises `RedisUnreachable` when one lives and does not answer, `RedisStartFailed` when it does not come up
        or came up and died too often, `RedisNotInstalled`, `RedisVersionTooOld`, `RedisRefused` and
        `InvalidConfig` when none can be started, `Forbidden` when the directory is not ours alone.
        """
        private_directory(self._location.directory)
        if self._settled() is Health.DOWN:
            with locked(self._location.lock):
                if self._settled() is Health.DOWN:
                    try:
                        self._start()
                    except OSError as error:
                        raise RedisStartFailed(f"The Redis server could not be started: {error}") from error
        for link, target in self._location.links():
            try:
                repoint(link, target)
            except OSError:
                # A project that cannot be written to: the links are for people, we do not need them.
                break
        return os.fspath(self._location.socket)

    def stop(self) -> bool:
        """Asks the server to end and waits until it has; its data stays. Says whether there was one.

        Raises `RedisUnreachable` when it lives on.
        """
        from tinytown.transport.server_process import lives, pid_of, terminate, wait_gone

        directory = self._location.directory
        if not directory.is_dir():
            return False
        with locked(self._location.lock):
            found = health(self._location.socket, limit=ANSWER_LIMIT)
            there = found is not Health.DOWN or lives(directory)
            if found in (Health.UP, Health.LOADING):
                self._shut_down()
            elif there:
                terminate(directory)
            if not wait_gone(directory, STOP_LIMIT):
                raise RedisUnreachable(
                    f"The Redis server of {directory} was asked to end and still lives (pid {pid_of(directory)})",
                    hint="It is not killed, to keep its data. Look at its log, then ask again.",
                )
            self._starts.unlink(missing_ok=True)
        self._remove_links()
        return there

    def status(self) -> ServerStatus | None:
        """What the running server says of itself; None when none runs.

        Raises `RedisUnreachable` when one lives and does not answer, `RedisRefused` when it refuses us.
        """
        if self._settled() is Health.DOWN:
            return None
        with conversation(self._location.socket, self._settings.password, limit=ANSWER_LIMIT) as talk:
            info = parse_info(talk.ask("INFO")[0])
            fsync = talk.ask("CONFIG", "GET", "appendfsync")[-1].decode()
        found = identity(info)
        return ServerStatus(
            name=found.name,
            version=".".join(map(str, found.version)),
            pid=int(info["process_id"]),
            durability=_DURABILITY.get(fsync, "none") if info.get("aof_enabled") == "1" else "none",
            aof_bytes=int(info.get("aof_current_size", 0)),
            free_bytes=self.free_bytes(),
            memory_bytes=int(info["used_memory"]),
            max_memory_bytes=int(info.get("maxmemory", 0)),
            evicted_keys=int(info.get("evicted_keys", 0)),
            uptime_seconds=int(info["uptime_in_seconds"]),
            writes_work=info.get("aof_last_write_status", "ok") == "ok",
        )

    def free_bytes(self) -> int:
        """The space left for us on the disk the data is on."""
        disk = os.statvfs(self._location.directory)
        return disk.f_bavail * disk.f_frsize

    @property
    def _starts(self) -> Path:
        return self._location.directory / "redis.starts"

    def _settled(self) -> Health:
        """UP or DOWN, after it has read its data."""
        pause = 0.005
        while (found := health(self._location.socket, limit=ANSWER_LIMIT)) is Health.LOADING:
            # The server has no bell for the end of it.
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        if found is Health.HUNG:
            raise RedisUnreachable(
                f"The Redis server of {self._location.directory} lives and does not answer",
                hint="A stopped process, or a disk that is very slow. Try again; see 'tt doctor'.",
            )
        return found

    def _start(self) -> None:
        """Starts the server. The caller holds the lock and has found the socket dead."""
        from tinytown.transport.server_binary import find_server
        from tinytown.transport.server_process import launch, log_size

        directory = self._location.directory
        life = self._take_life()
        if life is None:
            return
        with life:
            check_settings(self._settings)
            self._refuse_loss()
            self._count_start()
            binary = find_server(self._settings.binary, Path.home(), os.environ.get("PATH", ""))
            if binary.bundled and self._settings.port is not None and self._settings.tls is not None:
                raise RedisStartFailed(
                    "TLS is enabled, and the bundled server was built without it",
                    hint="Install Redis 8 or Valkey 8 with TLS and name it in [redis] server, or use the socket.",
                )
            since = log_size(directory)
            launch(binary, directory, configuration(self._settings), life)
        # Released by us, the lock is now the server's alone: its death can be seen.
        self._await_ready(since)
        self.binary = binary

    def _take_life(self) -> FileLock | None:
        """The sign of life, free to be handed to a new server; None when the old one serves after all.

        One that lives behind a dead socket is given time to finish its start, then asked to end: nobody can reach
        it, and it would write into the data of the next one.
        """
        from tinytown.transport.server_process import LIFE_NAME, pid_of, terminate, wait_gone

        directory = self._location.directory
        if (life := try_lock(directory / LIFE_NAME)) is not None:
            return life
        deadline = time.monotonic() + SETTLE_LIMIT
        while not wait_gone(directory, _LONGEST_PAUSE) and time.monotonic() < deadline:
            if self._settled() is Health.UP:
                return None
        terminate(directory)
        if wait_gone(directory, STOP_LIMIT) and (life := try_lock(directory / LIFE_NAME)) is not None:
            return life
        raise RedisStartFailed(
            f"A server of {directory} lives, cannot be reached and does not end (pid {pid_of(directory)})",
            hint="Starting another one would damage the data. End it, then try again.",
        )

    def _await_ready(self, since: int) -> None:
        from tinytown.transport.server_process import advice, lives, log_tail

        directory = self._location.directory
        deadline = time.monotonic() + READY_LIMIT
        pause = 0.002
        while self._settled() is Health.DOWN:
            died = not lives(directory)
            if died or time.monotonic() > deadline:
                tail = log_tail(directory, since)
                what = "ended at once" if died else f"did not answer within {READY_LIMIT:.0f} s"
                raise RedisStartFailed(
                    f"The Redis server {what}. Its log ends with:\n{tail}", hint=advice(tail, directory)
                )
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _count_start(self) -> None:
        """Notes this start, and refuses it when there were too many of late.

        The clock is that of the boot: a time of before the last boot lies in the future or long ago.
        """
        from tinytown.transport.server_process import advice, log_tail

        now, period = time.monotonic(), self._settings.restart_period
        try:
            noted = [float(line) for line in self._starts.read_text().split()]
        except (OSError, ValueError):
            noted = []
        recent = [moment for moment in noted if now - period < moment <= now]
        if len(recent) > self._settings.max_restarts:
            tail = log_tail(self._location.directory)
            raise RedisStartFailed(
                f"The Redis server was started {len(recent)} times within {period:.0f} s and is gone again. "
                f"Its log ends with:\n{tail}",
                hint=advice(tail, self._location.directory),
            )
        # On a full disk the server shall say so, not we.
        with suppress(OSError):
            atomic_write(self._starts, "".join(f"{moment:.3f}\n" for moment in [*recent, now]).encode())

    def _refuse_loss(self) -> None:
        """Data on disk that the server would pass over without a word, coming up empty beside it."""
        data = self._location.directory / DATA_NAME
        if not any(file.stat().st_size for file in data.glob("*.aof")):
            return
        if self._settings.durability == "none":
            raise RedisStartFailed(
                'The data of this town is on disk, and durability = "none" would start without it',
                hint=f"Set [redis] durability back, or give the data up: rm -r '{data}'",
            )
        if not any(data.glob("*.manifest")):
            raise RedisStartFailed(
                f"The file appendonly.aof.manifest is missing in {data}: the server would start without the data",
                hint="Put it back from a backup, or move that directory away to start empty.",
            )

    def _shut_down(self) -> None:
        from tinytown.transport.server_process import terminate

        try:
            with conversation(self._location.socket, self._settings.password, limit=STOP_LIMIT) as talk:
                talk.ask("SHUTDOWN")
        except RedisUnreachable:
            # It ends without an answer.
            return
        except RedisRefused:
            # The password was changed since it was started; a signal asks for the same thing.
            if not terminate(self._location.directory):
                raise

    def _remove_links(self) -> None:
        for link, target in self._location.links():
            try:
                if link.readlink() == target:
                    link.unlink()
            except OSError:
                continue
