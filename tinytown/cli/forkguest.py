"""A client of the fork server, as the server sees it: a connection, a request that arrives, the child that does it."""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import NamedTuple

from tinytown.cli import forkclient

_REQUEST_WITHIN = 2.0
"""Seconds from the connection to the last byte of the request: it is sent in one go."""


class Order(NamedTuple):
    """A request that was read."""

    fingerprint: bytes
    mask: int
    unbuffered: bool
    ignored: list[int]
    argv: list[str]
    environ: dict[bytes, bytes]


def read_order(body: bytes) -> Order:
    """The request in these bytes (`forkclient.pack`); `ValueError` when it is none."""
    fingerprint, mask, unbuffered, ignored, count, *rest = body.split(b"\0")
    number = int(count)
    if not 0 < number <= len(rest):
        raise ValueError("not as many arguments as it says")
    environ = dict(item.split(b"=", 1) for item in rest[number:])
    argv = [os.fsdecode(word) for word in rest[:number]]
    signals = [int(each) for each in ignored.split()]
    return Order(fingerprint, int(mask, 8) & 0o777, unbuffered == b"1", signals, argv, environ)


class Guest:
    """A client: first its request arrives, then a child does it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.deadline = time.monotonic() + _REQUEST_WITHIN
        self.descriptors: list[int] = []
        self.pid = 0
        self.handle = -1
        self._request = bytearray()

    def receive(self) -> bytes | None:
        """Take what has come of the request; the whole of it when it is there. Raises `ValueError` for nonsense."""
        size = socket.CMSG_SPACE(4 * forkclient.DESCRIPTORS)
        chunk, extra, flags, _ = self.connection.recvmsg(1 << 18, size, socket.MSG_CMSG_CLOEXEC)
        for _, kind, numbers in extra:
            if kind == socket.SCM_RIGHTS:
                starts = range(0, len(numbers) - len(numbers) % 4, 4)
                self.descriptors += [int.from_bytes(numbers[at : at + 4], sys.byteorder) for at in starts]
        self._request += chunk
        head = forkclient.LENGTH_BYTES
        length = int.from_bytes(self._request[:head], "big") if len(self._request) >= head else 0
        too_much = length > forkclient.MOST_BYTES or len(self.descriptors) > forkclient.DESCRIPTORS
        if not chunk or flags & socket.MSG_CTRUNC or too_much:
            raise ValueError("not a request")
        if not length or len(self._request) < head + length:
            return None
        if len(self.descriptors) != forkclient.DESCRIPTORS:
            raise ValueError("not the descriptors of a request")
        return bytes(self._request[head : head + length])

    def begun(self, pid: int) -> None:
        """A child does it."""
        self.pid = pid
        self.handle = os.pidfd_open(pid)
        self._request.clear()
        self.release()

    def release(self) -> None:
        """Close what the client has sent."""
        while self.descriptors:
            os.close(self.descriptors.pop())
