"""Where a town stands: its files, its settings and its Redis. Read and checked; nothing is connected yet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tinytown.config import load
from tinytown.transport.address import Address
from tinytown.transport.files import SOCKET_NAME, TownFiles, TownState, central_directory
from tinytown.transport.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.config import RedisSettings, Settings
    from tinytown.transport.server import ManagedServer
    from tinytown.transport.server_config import ServerSettings

_DURABILITY = {"always": "durable", "fast": "fast", "none": "none"}


class Ground:
    """The ground of one town on this host.

    `directory` is where its managed server lives, None when the Redis is somebody else's.
    """

    __slots__ = ("_server", "address", "directory", "files", "keys", "settings", "state")

    def __init__(
        self,
        files: TownFiles,
        state: TownState,
        settings: Settings,
        address: Address,
        directory: Path | None,
    ) -> None:
        self.files = files
        self.state = state
        self.settings = settings
        self.address = address
        self.directory = directory
        self.keys = Keys(settings.name)
        self._server: ManagedServer | None = None

    @property
    def server(self) -> ManagedServer | None:
        """The managed server, None when the Redis is somebody else's.

        Made when somebody asks: most `tt` commands find it running and need nothing of it.
        """
        if self._server is None and self.directory is not None:
            from tinytown.transport.server import ManagedServer, ServerLocation

            link = None if self.settings.redis.central else self.files.root / self.settings.redis.socket_path
            location = ServerLocation(
                self.directory, socket_link=link, pid_link=self.files.pid_link if link is not None else None
            )
            self._server = ManagedServer(location, server_settings(self.settings.redis))
        return self._server

    @property
    def root(self) -> Path:
        """The project."""
        return self.files.root

    @property
    def host(self) -> str:
        """What names this host, and on it this town's directory: one lock file, one living runtime."""
        return host_of(self.state)


def survey(start: Path, *, environ: Mapping[str, str]) -> Ground:
    """The ground of the town that `start` is in.

    Raises `NotInitialized`, `InvalidConfig`, and what `TownFiles.state` raises.
    """
    files = TownFiles.find(start, environ=environ)
    return ground_of(files, files.state(), environ=environ)


def ground_of(files: TownFiles, state: TownState, *, environ: Mapping[str, str]) -> Ground:
    """The ground of a town whose files are known."""
    settings = load(files.root, environ=environ, home=Path.home())
    redis = settings.redis
    if redis.where == "external":
        return Ground(files, state, settings, Address.parse(redis.url), None)
    directory = central_directory(environ) if redis.central else state.directory
    address = Address(path=str(directory / SOCKET_NAME), password=redis.password)
    return Ground(files, state, settings, address, directory)


def host_of(state: TownState) -> str:
    """A short text that is the same for everything on this host that shares the town's state directory."""
    from hashlib import sha256

    machine = ""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            machine = Path(path).read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            continue
        if machine:
            break
    seed = f"{machine or os.uname().nodename}\n{state.directory}"
    return sha256(seed.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def server_settings(redis: RedisSettings) -> ServerSettings:
    """What the settings say about a managed server."""
    from tinytown.transport.server_config import ServerSettings, TlsFiles

    tls = None
    if redis.tls_enabled and redis.tls_cert and redis.tls_key:
        authority = Path(redis.tls_ca_cert) if redis.tls_ca_cert else None
        tls = TlsFiles(Path(redis.tls_cert), Path(redis.tls_key), authority)
    return ServerSettings(
        binary=redis.server,
        durability=_DURABILITY[redis.durability],  # type: ignore[arg-type]
        max_memory_bytes=redis.max_memory,
        password=redis.password,
        port=None if redis.use_socket else redis.port,
        bind=redis.bind,
        tls=tls,
    )
