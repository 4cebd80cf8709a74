"""A few words with a server over its Unix socket, and what its INFO says about it.

This is not a connection of the town: it exists so that a server can be asked whether it lives, and be ended,
before and after there is anything else to talk through. The caller says how long an answer may take.
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tinytown.errors import RedisRefused, RedisUnreachable, RedisVersionTooOld
from tinytown.text import one_line
from tinytown.transport.server_binary import ServerName, Version, dotted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

EXTERNAL_MINIMUM: Version = (7, 0, 0)
"""What a server that others run must be."""

_SOCKET_BYTES = 103
"""The longest path of a socket that both Linux (107) and macOS take."""


class Health(StrEnum):
    """What a socket answers to PING."""

    UP = "up"
    """It serves, or would if it were given the password."""
    LOADING = "loading"
    """It reads its data and will serve."""
    DOWN = "down"
    """Nobody listens."""
    HUNG = "hung"
    """Somebody listens and does not answer in time."""


class ErrorReply(Exception):
    """The server answered with an error."""


class Conversation:
    """An open connection to a server, for one command at a time."""

    __slots__ = ("_socket", "_stream")

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._stream: BinaryIO = connected.makefile("rb")

    def ask(self, *words: str) -> list[bytes]:
        """The answer, as the flat list of its strings; `ErrorReply`, or `OSError` when the connection ends."""
        encoded = [word.encode("utf-8", "surrogateescape") for word in words]
        self._socket.sendall(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(e), e) for e in encoded))
        return self._reply()

    def close(self) -> None:
        """Ends the connection."""
        self._stream.close()
        self._socket.close()

    def _reply(self) -> list[bytes]:
        line = self._stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise ErrorReply(rest.decode("utf-8", "replace"))
        if kind == b"*":
            return [text for _ in range(int(rest)) for text in self._reply()]
        if kind == b"$":
            size = int(rest)
            return [self._stream.read(size + 2)[:size]] if size >= 0 else []
        return [rest]


@contextmanager
def conversation(path: Path, password: str | None, *, limit: float) -> Iterator[Conversation]:
    """A connection to the socket, whatever the length of its path, with the password given if there is one.

    `limit` are the seconds each answer may take. Raises `RedisUnreachable` when nobody answers, `RedisRefused`
    when the server refuses.
    """
    try:
        talk = Conversation(_connected(path, limit))
        try:
            if password:
                _authenticate(talk, password)
            yield talk
        finally:
            talk.close()
    except ErrorReply as error:
        raise RedisRefused(f"Redis at {path} refused: {one_line(str(error), 200)}", hint=_hint(str(error))) from None
    except OSError as error:
        raise RedisUnreachable(f"No answer from Redis at {path}: {error}") from error


def health(path: Path, *, limit: float) -> Health:
    """What the socket says to PING within `limit` seconds. No password is needed to know that it lives.

    Raises `RedisRefused` when the socket may not be opened.
    """
    try:
        talk = Conversation(_connected(path, limit))
    except PermissionError:
        raise RedisRefused(f"The socket {path} belongs to somebody else") from None
    except (TimeoutError, BlockingIOError):
        return Health.HUNG
    except OSError:
        return Health.DOWN
    try:
        talk.ask("PING")
    except ErrorReply as error:
        return Health.LOADING if str(error).startswith("LOADING") else Health.UP
    except TimeoutError:
        return Health.HUNG
    except OSError:
        return Health.DOWN
    finally:
        talk.close()
    return Health.UP


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """Which server it is: `redis` or `valkey`, and its own version."""

    name: ServerName
    version: Version


def parse_info(text: bytes | str) -> dict[str, str]:
    """The answer to INFO as names and values."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value.strip() for name, separator, value in pairs if separator}


def identity(info: Mapping[str, str]) -> ServerIdentity:
    """Which server this INFO came from.

    Valkey is known by its own version: its `redis_version` stands at 7.2.4 for ever.
    """
    if "valkey_version" in info:
        return ServerIdentity("valkey", _version(info["valkey_version"]))
    return ServerIdentity("redis", _version(info.get("redis_version", "")))


def check_external(info: Mapping[str, str]) -> ServerIdentity:
    """Makes sure that a server others run can be trusted with a town; `info` is its whole INFO.

    Raises `RedisVersionTooOld` below 7.0, `RedisRefused` when its policy lets it throw keys away at will.
    """
    found = identity(info)
    if found.version < EXTERNAL_MINIMUM:
        raise RedisVersionTooOld(dotted(found.version), required="7.0")
    policy = info.get("maxmemory_policy", "")
    if policy.startswith("allkeys-"):
        raise RedisRefused(
            f"This Redis throws keys away when its memory is full (maxmemory-policy {one_line(policy, 40)}): "
            "messages and tasks would vanish",
            hint="Set it on the server: CONFIG SET maxmemory-policy noeviction",
        )
    return found


def _authenticate(talk: Conversation, password: str) -> None:
    try:
        talk.ask("AUTH", password)
    except ErrorReply as error:
        # It was started before there was a password, and asks for none.
        if "without any password configured" not in str(error):
            raise


def _version(text: str) -> Version:
    parts = [int(part) if part.isdecimal() else 0 for part in text.split(".")[:3]]
    major, minor, patch = [*parts, 0, 0, 0][:3]
    return major, minor, patch


def _hint(error: str) -> str:
    if error.startswith(("WRONGPASS", "NOAUTH")):
        return "Set TINYTOWN_REDIS_PASSWORD to the password the server was started with."
    return ""


def _connected(path: Path, limit: float) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX)
    connected.settimeout(limit)
    try:
        if len(os.fsencode(path)) <= _SOCKET_BYTES:
            connected.connect(os.fspath(path))
        else:
            _connect_far(connected, path)
    except BaseException:
        connected.close()
        raise
    return connected


def _connect_far(connected: socket.socket, path: Path) -> None:
    """Connects to a socket whose path is longer than an address may be."""
    path_only: int | None = getattr(os, "O_PATH", None)
    if path_only is not None:
        directory = os.open(path.parent, path_only | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            connected.connect(f"/proc/self/fd/{directory}/{path.name}")
        finally:
            os.close(directory)
        return
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="tt") as short:
        link = Path(short, "d")
        link.symlink_to(path.parent)
        connected.connect(f"{link}/{path.name}")
