"""A child of the fork server: takes the place of the client, and is the command.

What must be true: the command finds everything as a fresh Python that the client's shell started would have it. Until
`ACCEPTED` is sent nothing was done; what goes wrong before that leaves the command to the client.
"""

from __future__ import annotations

import ctypes
import io
import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn, TextIO

from tinytown.cli import forkclient, main, peers

if TYPE_CHECKING:
    from tinytown.cli.forkguest import Guest, Order

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4

_HIGHEST_DESCRIPTOR = 1024
"""More than the server can have: a guest has at most six."""

_libc = ctypes.CDLL(None)


def hide() -> None:
    """Others of this user cannot look into the memory of this process, through which their environments pass."""
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def become(guest: Guest, order: Order, *, server: int) -> NoReturn:
    """Do what the guest wants, in a process that `server` has forked for that."""
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == server:
            _take_place(guest, order)
            guest.connection.send(forkclient.ACCEPTED)
            status = _perform(order.argv[1:])
            guest.connection.send(bytes([status & 0xFF]))
    finally:
        os._exit(1)


def _take_place(guest: Guest, order: Order) -> None:
    _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    directory, *streams = guest.descriptors
    os.fchdir(directory)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    # Whatever else is open belongs to the server or to other guests, who wait for its end.
    kept = guest.connection.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, _HIGHEST_DESCRIPTOR)
    guest.connection.settimeout(None)
    os.umask(order.mask)
    os.environb.clear()
    os.environb.update(order.environ)
    time.tzset()
    for ignored in order.ignored:
        signal.signal(ignored, signal.SIG_IGN)
    pid, _ = forkclient.owner(guest.connection)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, max(peers.nice_of(pid), peers.nice_of(0)))
    sys.argv = order.argv
    ours = (sys.stdin, sys.stdout, sys.stderr)
    theirs = [_stream(number, like, unbuffered=order.unbuffered) for number, like in enumerate(ours)]
    sys.stdin, sys.stdout, sys.stderr = theirs


def _stream(number: int, like: TextIO, *, unbuffered: bool) -> io.TextIOWrapper:
    """A standard stream as Python makes it when it starts, with the encoding that ours has."""
    writes = number > 0
    raw = open(number, "wb" if writes else "rb", 0 if writes and unbuffered else -1, closefd=False)  # noqa: SIM115
    return io.TextIOWrapper(
        raw,
        encoding=like.encoding,
        errors=like.errors,
        newline="\n",
        line_buffering=not unbuffered and (number == 2 or os.isatty(number)),
        write_through=unbuffered,
    )


def _perform(arguments: list[str]) -> int:
    try:
        # Ctrl-C that came until now comes here.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        status = main.main(arguments)
    except KeyboardInterrupt:
        status = main.interrupted_again()
    # The status stands also when the last of the output cannot be written; what was to be said of that has been.
    with suppress(OSError, ValueError):
        main.flush()
    return status
