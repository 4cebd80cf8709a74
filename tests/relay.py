"""A connection that breaks on cue: a relay in front of a real server, which loses a reply that is told it.

A server that was asked has done what it was asked, whether or not its reply arrives. Only so can a test tell that
case from the one in which the command never came.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tinytown.transport.address import Address


class Relay:
    """One listener whose connections lead to the socket at `target`."""

    def __init__(self, listener: socket.socket, target: str) -> None:
        self.address = Address.unix(str(listener.getsockname()))
        self.loses: Callable[[bytes], bool] = lambda _: False
        """Whether these bytes, of one reply or some, do not arrive, and the connection breaks instead."""
        self.lost = 0
        """Replies that were lost so far."""
        self._listener = listener
        self._target = target
        self._lines: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []

    def lose(self, *words: bytes) -> None:
        """For each of these words: break the connection instead of passing on the first reply that has it."""
        words_left = list(words)

        def is_lost(reply: bytes) -> bool:
            found = [word for word in words_left if word in reply]
            words_left[:] = [word for word in words_left if word not in found]
            return bool(found)

        self.loses = is_lost

    def accept(self) -> None:
        """Take connections until the listener is closed."""
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._target)
            self._lines.append((near, far))
            for pump in (self._carry_commands, self._carry_replies):
                thread = threading.Thread(target=pump, args=(near, far))
                self._threads.append(thread)
                thread.start()

    def close(self, accepting: threading.Thread) -> None:
        """Break all connections and wait for the threads."""
        _hang_up(self._listener)
        accepting.join()
        for line in self._lines:
            _hang_up(*line)
        for thread in self._threads:
            thread.join()
        for line in self._lines:
            for end in line:
                end.close()

    def _carry_commands(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while chunk := near.recv(65536):
                far.sendall(chunk)
        _hang_up(near, far)

    def _carry_replies(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while chunk := far.recv(1 << 20):
                if self.loses(chunk):
                    self.lost += 1
                    break
                near.sendall(chunk)
        _hang_up(near, far)


def _hang_up(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay_to(socket_path: str) -> Iterator[Relay]:
    """A relay to the server that listens there."""
    directory = Path(tempfile.mkdtemp(prefix="tt"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "s"))
        listener.listen()
        relay = Relay(listener, socket_path)
        thread = threading.Thread(target=relay.accept)
        thread.start()
        try:
            yield relay
        finally:
            relay.close(thread)
            shutil.rmtree(directory)
