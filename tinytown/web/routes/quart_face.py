"""The routes as a Quart application under trio.

The doors have read the body before, and the router sends the answer afterwards. Quart is given the one and gives
the other in memory: its nursery for a request is cancelled by a client that goes, and must hold neither a socket nor
an operation that has begun.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio
from quart import Response, request
from quart_trio import QuartTrio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from tinytown.web.asgi import AsgiMessage
    from tinytown.web.routes.call import Answer, Call
    from tinytown.web.routes.endpoint import Endpoint

_CALL = "tinytown.call"


class QuartFace:
    """Calls go in, answers come out."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self.app = QuartTrio("townhall", static_folder=None)
        # The router decides what is served where, and the doors how long it may take and how large it may be.
        self.app.config.update(
            RESPONSE_TIMEOUT=None, BODY_TIMEOUT=None, MAX_CONTENT_LENGTH=None, PROVIDE_AUTOMATIC_OPTIONS=False
        )
        self.app.url_map.strict_slashes = True
        self.app.url_map.merge_slashes = False
        for number, endpoint in enumerate(endpoints):
            self.app.add_url_rule(
                endpoint.path.replace("{", "<").replace("}", ">"),
                endpoint=f"{number} {endpoint.method} {endpoint.path}",
                view_func=_view(endpoint),
                methods=[endpoint.method],
                provide_automatic_options=False,
            )

    async def answer(self, call: Call) -> Answer:
        """What the view of this call answers; raises what it raises."""
        box = _Box(call)
        scope = {**call.scope, "state": {**call.scope["state"], _CALL: box}}
        await self.app(scope, box.receive, box.send)  # type: ignore[arg-type]
        if box.failure is not None:
            raise box.failure
        assert box.answer is not None, f"Quart has no view for {call.scope['path']}"
        return box.answer


class _Box:
    """One call on its way through Quart."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.answer: Answer | None = None
        self.failure: Exception | None = None
        self._was_read = False

    async def receive(self) -> AsgiMessage:
        if self._was_read:
            await trio.sleep_forever()
        self._was_read = True
        return {"type": "http.request", "body": self.call.body, "more_body": False}

    async def send(self, message: AsgiMessage) -> None:
        await trio.lowlevel.checkpoint()


def _view(endpoint: Endpoint) -> Callable[..., Awaitable[Response]]:
    async def view(**_: Any) -> Response:
        box: _Box = request.scope["state"][_CALL]
        try:
            box.answer = await endpoint.answer(box.call)
        except Exception as failure:
            box.failure = failure
        return Response(b"", 204)

    return view
