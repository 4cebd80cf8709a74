"""The fork server of a town: does hot commands of `tt` in children of its own, with their modules imported already.

    python -P -m tinytown.cli.forkserver DIRECTORY          the town's state directory

A new Python that imports what `tt status` needs takes 100 ms; a fork of one that has it takes 2. What must be true:

* It serves the plain forms of the hot commands (`fast`), for processes of its own user that stand as it does
  (`peers`) and run the same code. Everything else is answered by closing the connection before anything is done, and
  the client does the command itself (`forkclient` has the whole of the contract).
* The child is the command (`forkchild`) and tells its exit status itself.
* It lives as long as standard input, a pipe whose other end only the runtime holds. Its children die with it.
* It waits for nobody: all it reads is read when it is there, until a deadline, and the guests are counted.
* One thread, no trio; nothing but modules is in memory when it forks.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from tinytown.cli import fast, forkchild, forkclient, peers
from tinytown.cli.forkguest import Guest, read_order

if TYPE_CHECKING:
    from tinytown.cli.forkguest import Order

PRELOADED = (
    "_strptime",
    "datetime",
    "encodings.ascii",
    "encodings.utf_8_sig",
    "hashlib",
    "tinytown.cli.commands.agents",
    "tinytown.cli.commands.messages",
    "tinytown.cli.commands.tasks",
    "tinytown.cli.commands.town",
    "tinytown.cli.failures",
    "tinytown.cli.render.agents",
    "tinytown.cli.render.encode",
    "tinytown.cli.render.messages",
    "tinytown.cli.render.status",
    "tinytown.cli.render.tasks",
    "tinytown.cli.terminal",
    "tinytown.runtime.opening",
    "tinytown.runtime.operations.agents",
    "tinytown.runtime.operations.messages",
    "tinytown.runtime.operations.status",
    "tinytown.runtime.operations.tasks",
    "tinytown.transport.blocking",
    "tinytown.transport.server",
    "tomllib",
    "unicodedata",
    "urllib.parse",
)
"""With what these import, all that a hot command imports when it goes well."""

MOST_GUESTS = 32
"""Connections and children at once. A child has 3 MB of its own; who comes when there are as many does it himself."""

_LAST_WITHIN = 3.0
"""Seconds for commands that still run when the runtime has ended. They take hundredths, and one that has just found no
runtime and starts the next one takes one or two."""


class ForkServer:
    """The server of one town. `run` returns when the runtime has ended, or the code has changed."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._poll = select.poll()
        self._guests: dict[int, Guest] = {}
        """By the number of the connection, and by that of the child's handle."""
        self._fingerprint = forkclient.fingerprint()
        self._standing = peers.standing_of(os.getpid())
        self._code = _code()
        self._last: float | None = None
        self._pid = os.getpid()
        # A kernel without such handles: better no server than one that loses its children.
        os.close(os.pidfd_open(self._pid))

    def run(self) -> None:
        """Serve."""
        forkchild.hide()
        self._listener.settimeout(0)
        for number in (0, self._listener.fileno()):
            self._poll.register(number, select.POLLIN)
        while self._last is None or self._guests:
            for number, _ in self._poll.poll(self._patience()):
                if number == 0:
                    self._end()
                elif number == self._listener.fileno():
                    self._welcome()
                elif number in self._guests:
                    self._attend(number, self._guests[number])
            self._dismiss_late()

    def _patience(self) -> int | None:
        """Milliseconds until somebody is late."""
        deadlines = [guest.deadline for guest in self._guests.values() if not guest.pid]
        if self._last is not None:
            deadlines.append(self._last)
        return None if not deadlines else max(0, int(1000 * (min(deadlines) - time.monotonic())) + 1)

    def _end(self) -> None:
        """Serve nobody new; `run` returns when those who are there have gone."""
        if self._last is not None:
            return
        for number in (0, self._listener.fileno()):
            self._poll.unregister(number)
        self._listener.close()
        self._last = time.monotonic() + _LAST_WITHIN
        for guest in [guest for guest in self._guests.values() if not guest.pid]:
            self._dismiss(guest)

    def _welcome(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            # It has gone meanwhile, or we have no descriptor left.
            return
        if len({id(guest) for guest in self._guests.values()}) >= MOST_GUESTS:
            connection.close()
            return
        connection.settimeout(0)
        with suppress(OSError):
            connection.send(forkclient.READY)
        number = connection.fileno()
        self._guests[number] = Guest(connection)
        self._poll.register(number, select.POLLIN)

    def _attend(self, number: int, guest: Guest) -> None:
        if number == guest.handle:
            # Not to wait: the number may have been another one's a moment ago.
            if os.waitpid(guest.pid, os.WNOHANG)[0]:
                self._dismiss(guest)
        elif guest.pid:
            self._hear(number, guest)
        else:
            self._listen(guest)

    def _hear(self, number: int, guest: Guest) -> None:
        """Ctrl-C, or the end of the client, which ends the command at once, as it would in the client's process."""
        try:
            said = guest.connection.recv(64)
        except OSError:
            said = b""
        if said:
            os.kill(guest.pid, signal.SIGINT)
        else:
            self._poll.unregister(number)
            os.kill(guest.pid, signal.SIGKILL)

    def _listen(self, guest: Guest) -> None:
        try:
            body = guest.receive()
            order = None if body is None else read_order(body)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            self._dismiss(guest)
            return
        if order is None:
            return
        if not self._may_serve(guest, order):
            self._dismiss(guest)
            return
        try:
            pid = os.fork()
        except OSError:
            self._dismiss(guest)
            return
        if pid == 0:
            forkchild.become(guest, order, server=self._pid)
        guest.begun(pid)
        self._guests[guest.handle] = guest
        self._poll.register(guest.handle, select.POLLIN)

    def _may_serve(self, guest: Guest, order: Order) -> bool:
        if order.fingerprint != self._fingerprint or not fast.covers(order.argv[1:]):
            return False
        if _code() != self._code:
            # Whoever started us starts another one, which has the new code.
            self._end()
            return False
        pid, user = forkclient.owner(guest.connection)
        try:
            return user == os.geteuid() and peers.standing_of(pid) == self._standing
        except OSError:
            return False

    def _dismiss(self, guest: Guest) -> None:
        """Close all that is his; a second time does nothing."""
        number = guest.connection.fileno()
        if self._guests.pop(number, None) is None:
            return
        with suppress(KeyError):
            self._poll.unregister(number)
        guest.connection.close()
        guest.release()
        if guest.handle >= 0:
            self._poll.unregister(guest.handle)
            del self._guests[guest.handle]
            os.close(guest.handle)

    def _dismiss_late(self) -> None:
        now = time.monotonic()
        for guest in set(self._guests.values()):
            if not guest.pid and guest.deadline < now:
                self._dismiss(guest)
            elif guest.pid and self._last is not None and self._last < now:
                os.kill(guest.pid, signal.SIGKILL)


def _code() -> tuple[object, ...]:
    """What tells whether the files of the modules of ours that are loaded are those that were loaded."""
    found = []
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("__main__", "tinytown", "hiredis") and (
            file := getattr(module, "__file__", None)
        ):
            try:
                there = os.stat(file)  # noqa: PTH116
            except OSError:
                continue
            found.append((file, there.st_ino, there.st_size, there.st_mtime_ns))
    return tuple(found)


def _listen_in(directory: str) -> socket.socket:
    """The listening socket in this directory, which has its name from a server that is gone."""
    # A path of a socket may have 107 bytes.
    os.chdir(directory)
    with suppress(FileNotFoundError):
        os.unlink(forkclient.SOCKET_NAME)  # noqa: PTH108
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    os.umask(0o177)
    listener.bind(forkclient.SOCKET_NAME)
    listener.listen(MOST_GUESTS)
    return listener


def _settle_signals() -> None:
    """As in a fresh Python that nobody has told to ignore anything; Ctrl-C waits for the child that it is meant for."""
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN and number not in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, (signal.SIGINT,))


def serve(directory: str) -> None:
    """Be the fork server of the town with this state directory, until standard input ends."""
    _settle_signals()
    for name in PRELOADED:
        __import__(name)
    if select.select([0], [], [], 0)[0]:
        # The runtime has ended meanwhile; there may be another one by now.
        return
    server = ForkServer(_listen_in(directory))
    gc.collect()
    gc.freeze()
    server.run()


if __name__ == "__main__":
    serve(sys.argv[1])
