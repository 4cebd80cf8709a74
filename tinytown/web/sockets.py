"""The sockets that townhall listens on: one of TCP, under TLS if it is configured, and one of the file system."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Self

import trio

from tinytown.errors import Conflict, InvalidConfig, RuntimeFailed
from tinytown.text import term_safe
from tinytown.web.tls import SecureListener

if TYPE_CHECKING:
    from pathlib import Path

    from tinytown.web.accepting import Listener
    from tinytown.web.tls import Certificates

BACKLOG = 1024
"""Connections that wait to be taken; many event streams come back at once after a restart."""


def is_loopback(host: str) -> bool:
    """Only programs of this machine reach this address."""
    name = host.strip("[]").partition("%")[0]
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


async def listen(host: str, port: int, tls: Certificates | None) -> list[Listener]:
    """Listeners on all addresses of this host name; port 0 takes a free one.

    Raises `Conflict` for a port that is taken, `InvalidConfig` for an address that is not of this machine.
    """
    where = f"{term_safe(host, lines=False)}:{port}"
    try:
        found = await trio.open_tcp_listeners(port, host=host.strip("[]"), backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Conflict(
                f"Port {port} is taken: townhall cannot listen on {where}",
                hint="Another townhall may be running. Choose a port: townhall rest --port PORT",
            ) from error
        raise InvalidConfig(f"Townhall cannot listen on {where}: {error.strerror or error}") from error
    if tls is None:
        return list(found)
    return [SecureListener(listener, tls) for listener in found]


def address_of(listener: Listener) -> tuple[str, int]:
    """Address and port of a TCP listener."""
    host, port = _socket(listener).getsockname()[:2]
    return str(host), int(port)


def url_of(listener: Listener) -> str:
    """What a person on this machine types to reach it."""
    scheme = "https" if isinstance(listener, SecureListener) else "http"
    host, port = address_of(listener)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _socket(listener: Listener) -> trio.socket.SocketType:
    return (listener.plain if isinstance(listener, SecureListener) else listener).socket


class UnixSocket:
    """A socket in the file system that only this user may connect to. Use as a context manager.

    A socket file that nobody listens on is replaced; one that somebody does is left alone, with `Conflict`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listener: trio.SocketListener | None = None
        self._inode = 0

    async def __aenter__(self) -> Self:
        await self._clear()
        plain = socket.socket(socket.AF_UNIX)
        try:
            before = os.umask(0o177)
            try:
                plain.bind(str(self.path))
            finally:
                os.umask(before)
            self._inode = self.path.stat().st_ino
            plain.listen(BACKLOG)
        except OSError as error:
            plain.close()
            raise RuntimeFailed(f"Townhall cannot listen on {self.path}: {error.strerror or error}") from error
        self.listener = trio.SocketListener(trio.socket.from_stdlib_socket(plain))
        return self

    async def __aexit__(self, *_: object) -> None:
        # Not the file of another server that has taken the place.
        with suppress(OSError):
            if self.path.lstat().st_ino == self._inode:
                self.path.unlink()

    async def _clear(self) -> None:
        try:
            mode = self.path.lstat().st_mode
        except OSError:
            return
        if not stat.S_ISSOCK(mode):
            raise Conflict(f"{self.path} is there and is no socket: townhall will not replace it")
        try:
            with trio.move_on_after(1):
                stream = await trio.open_unix_socket(str(self.path))
                await stream.aclose()
            raise Conflict(f"Somebody listens on {self.path} already", hint="Another townhall may be running.")
        except OSError:
            with suppress(FileNotFoundError):
                self.path.unlink()


def fit_for_many(wanted: int) -> None:
    """Let this process have as many open files as `wanted` connections need, as far as it may."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + 256
    if soft != resource.RLIM_INFINITY and soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
