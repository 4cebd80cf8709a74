"""The forge on a socket of loopback, in threads of its own: for programs that ask it from other processes.

What must be true: nobody but this machine reaches it; one request is answered at a time; and when the block ends, no
thread and no connection of it is left.
"""

from __future__ import annotations

import json
import socketserver
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from socket import SHUT_RDWR, socket
from threading import Lock, Thread
from typing import TYPE_CHECKING

from tinytown.runtime.demo.forge.exchange import Answer, Asked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinytown.runtime.demo.forge.answering import Forge

HOST = "127.0.0.1"


class _Server(socketserver.ThreadingTCPServer):
    """Not `http.server`'s own: that one asks the name service for the name of this machine."""

    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, forge: Forge) -> None:
        super().__init__((HOST, 0), _Handler)
        self.forge = forge
        self.lock = Lock()
        self.open: set[socket] = set()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away, or was killed, is none of our concern."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nobody reads it."""

    def _answer(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            asked = Asked.of(self.command, self.path, raw, base=f"http://{self.headers.get('Host')}")
        except ValueError:
            answer = Answer(400, {"message": "Problems parsing JSON"})
        else:
            with self.server.lock:
                answer = self.server.forge.answer(asked)
        body = json.dumps(answer.value).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815


@contextmanager
def serving(forge: Forge) -> Iterator[str]:
    """Serve it for the time of the block, and give its address.

    Whoever changes the forge meanwhile does so in `Forge.told`, or where no request can come in between.
    """
    with _Server(forge) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="forge")
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
            for each in tuple(server.open):
                with suppress(OSError):
                    each.shutdown(SHUT_RDWR)
