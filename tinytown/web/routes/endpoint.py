"""What serves one route: the face of one operation, made from a row of the table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

import trio

from tinytown.errors import RuntimeFailed
from tinytown.web.context import note_object, object_of
from tinytown.web.refusals import BadRequest, Overdue, Unready
from tinytown.web.routes.call import json_answer
from tinytown.web.routes.paging import cut, take
from tinytown.web.schemas.requests import RequestSchema, Wire
from tinytown.web.schemas.shapes import present
from tinytown.web.schemas.types import fields_of
from tinytown.web.shared import Shared

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tinytown.messages import JsonObject
    from tinytown.runtime.caller import Scope
    from tinytown.runtime.operations.registry import Operation
    from tinytown.web.asgi import Receive, Send
    from tinytown.web.context import Access
    from tinytown.web.routes.call import Answer, Call
    from tinytown.web.routes.paging import Page
    from tinytown.web.routes.repeats import Repeats

BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table: a method and a path, and the operation that they ask for.

    Parts of the path in braces are fields of the request. `wire` says how the rest is named. `page` makes the result
    a list in pages. `needs_runtime`: it is of no use without a runtime. `errors` are the statuses of its own. `hot`: it
    does not go through Quart.
    """

    method: str
    path: str
    operation: str
    tag: str
    status: int = 200
    wire: Wire = field(default_factory=Wire)
    page: Page | None = None
    needs_runtime: bool = False
    errors: tuple[int, ...] = ()
    hot: bool = False


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a query, or of the header, that a special endpoint reads itself."""

    name: str
    description: str
    schema: Mapping[str, object] = field(default_factory=lambda: {"type": "string"})
    where: str = "query"


class Endpoint(Protocol):
    """What the router calls."""

    @property
    def method(self) -> str:
        """The method of HTTP."""

    @property
    def path(self) -> str:
        """The template of the path."""

    @property
    def access(self) -> Access:
        """What whoever asks must hold."""

    @property
    def hot(self) -> bool:
        """Asked so often that it is answered beside Quart."""

    @property
    def is_stream(self) -> bool:
        """It sends its answer itself, bit by bit."""

    async def answer(self, call: Call) -> Answer:
        """Its whole answer."""

    async def stream(self, call: Call, receive: Receive, send: Send) -> None:
        """Send its answer."""


class OperationEndpoint:
    """The face of one operation."""

    is_stream = False

    def __init__(self, route: Route, operation: Operation[Any, Any], repeats: Repeats | None = None) -> None:
        self.route = route
        self.operation = operation
        self._repeats = repeats
        self._together: Shared[Answer] = Shared()
        self.path_fields = self._path_fields()
        self.schema = RequestSchema(operation, route.wire, given=tuple(self.path_fields.values()))
        self._result = operation.result

    @property
    def method(self) -> str:
        """The method of HTTP."""
        return self.route.method

    @property
    def path(self) -> str:
        """The template of the path."""
        return self.route.path

    @property
    def access(self) -> Scope:
        """The scope that whoever asks must hold."""
        return self.operation.scope

    @property
    def hot(self) -> bool:
        """Asked so often that it is answered beside Quart."""
        return self.route.hot

    @property
    def takes_body(self) -> bool:
        """Its request comes in the body; otherwise in the query."""
        return self.method in BODY_METHODS

    def _path_fields(self) -> Mapping[str, str]:
        """The names in the template, and the fields of the request that they are."""
        names = [part[1:-1] for part in self.path.split("/") if part.startswith("{")]
        by_wire = {wire: name for name, wire in self.route.wire.names.items()}
        known = {each.name for each in fields_of(cast("type", self.operation.request))}
        found = {name: by_wire.get(name, name) for name in names}
        assert set(found.values()) <= known, f"{self.path}: no field for {sorted(set(found.values()) - known)}"
        return found

    async def answer(self, call: Call) -> Answer:
        """Read the request, do it, give the result. Raises what the operation raises, and `Refusal`."""
        if self.method == "POST" and self._repeats is not None:
            return await self._repeats.once(call, lambda: self._answer(call))
        if self.hot and self.method == "GET":
            # The same for all who may see the same: however many ask at once, it is read for all of them together.
            what = (tuple(call.path.items()), call.scope.get("query_string", b""), call.principal.scopes)
            return await self._together.get(what, lambda: self._answer(call))
        return await self._answer(call)

    async def stream(self, call: Call, receive: Receive, send: Send) -> None:
        """It is no stream."""
        raise AssertionError(self.path)

    async def _answer(self, call: Call) -> Answer:
        given = {name: call.path[part] for part, name in self.path_fields.items()}
        pairs, page = call.query(), self.route.page
        wanted = None
        if page is not None:
            wanted, pairs = take(pairs, page, self._result)
        if self.takes_body:
            if pairs:
                raise BadRequest("This takes no query: what is asked for goes into the body, as JSON")
            request = self.schema.parse_json(call.body, given)
        else:
            request = self.schema.parse_texts(pairs, given)
        result = await self._run(call, request)
        said: JsonObject = {}
        if page is not None and wanted is not None:
            result, said = cut(result, page, wanted)
        shown = present(result)
        if isinstance(shown, dict):
            shown |= said
            if call.method != "GET" and (about := object_of(shown)):
                note_object(call.scope, about)
        return json_answer(shown, self.route.status)

    async def _run(self, call: Call, request: object) -> object:
        run = self.operation.function(call.town, request)
        try:
            if self.method == "GET":
                return await run
            # What has begun is brought to its end, even when the client goes.
            with trio.CancelScope(shield=True, deadline=trio.current_time() + call.hall.settings.request_timeout):
                return await run
        except RuntimeFailed as error:
            if not self.route.needs_runtime:
                raise
            raise Unready(
                "What was asked for is stored, and no runtime could be started that does it",
                hint="Start one with 'tt start'. Its log, .tt/logs/runtime.log, says what went wrong.",
            ) from error
        raise Overdue("It took too long")


@dataclass(frozen=True, slots=True)
class Special:
    """An endpoint that is more than one operation, or none. `operations` are those it is a face of."""

    method: str
    path: str
    access: Access
    tag: str
    summary: str
    respond: Callable[[Call], Awaitable[Answer]] | None = None
    streams: Callable[[Call, Receive, Send], Awaitable[None]] | None = None
    operations: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    media_type: str = "application/json"
    result: object = None
    """A type, or a schema as a mapping."""
    errors: tuple[int, ...] = ()
    hidden: bool = False
    """Not in the description of the API."""
    hot: bool = False

    @property
    def is_stream(self) -> bool:
        """It sends its answer itself, bit by bit."""
        return self.streams is not None

    async def answer(self, call: Call) -> Answer:
        """Its answer."""
        assert self.respond is not None
        return await self.respond(call)

    async def stream(self, call: Call, receive: Receive, send: Send) -> None:
        """Send its answer."""
        assert self.streams is not None
        await self.streams(call, receive, send)
