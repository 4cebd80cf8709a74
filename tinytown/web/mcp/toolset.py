"""The tools of a server: made from the operations, listed for whoever asks, called.

What must be true: whoever asks is offered what it may use and nothing else; a call that is refused changes nothing;
and what a changing call has begun is brought to its end, even when whoever asked has gone.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

import trio
from mcp_types import Tool, ToolAnnotations

from tinytown.errors import Forbidden, RuntimeFailed
from tinytown.runtime.caller import Scope
from tinytown.web.mcp.catalogue import ROWS, WITHOUT_TOOL, documented, row_of
from tinytown.web.mcp.desk import require_own
from tinytown.web.refusals import Overdue, Unprocessable, Unready
from tinytown.web.schemas.requests import RequestSchema
from tinytown.web.schemas.results import ResultSchemas
from tinytown.web.schemas.shapes import present
from tinytown.web.schemas.types import operations

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tinytown.messages import JsonObject, JsonValue
    from tinytown.runtime.operations.registry import Operation
    from tinytown.runtime.town import Town
    from tinytown.web.mcp.row import Row

WORK_SECONDS = 30.0
"""What a call that changes something has, before it counts as stuck."""

MOST_ITEMS = 200
"""Of a list in the result of a call that only looks."""

_DEFINITIONS = "#/$defs/{model}"


class Report(Protocol):
    """How a call says how far it is."""

    async def __call__(self, progress: float, message: str) -> None:
        """Say it. The number grows from one to the next."""


class OperationTool:
    """One tool. A long call is a subclass that overrides `work`."""

    def __init__(self, row: Row, operation: Operation[Any, Any]) -> None:
        self.row = row
        self.operation = operation
        self._schema = RequestSchema(operation, documented(row, cast("type", operation.request)))
        self.definition = self._definition()

    @property
    def name(self) -> str:
        """What it is called."""
        return self.row.name

    @property
    def changes(self) -> bool:
        """A call changes something."""
        return self.operation.scope is not Scope.READ

    def offered_to(self, town: Town) -> bool:
        """Whether the caller may use it."""
        if town.caller.is_worker:
            return self.row.workers
        return self.operation.scope in town.caller.scopes

    def check(self, town: Town, remedy: str) -> None:
        """Raise `Forbidden` unless the caller may use it."""
        if self.offered_to(town):
            return
        if town.caller.is_worker:
            raise Forbidden(
                f"Agent '{town.caller.name}' may not use {self.name}",
                hint="Ask the conductor, with message.send to 'conductor'.",
            )
        held = ", ".join(sorted(town.caller.scopes)) or "nothing"
        raise Forbidden(f"{self.name} needs {self.operation.scope}; this client holds: {held}", hint=remedy)

    def read(self, arguments: JsonObject) -> object:
        """The request that these arguments make. Raises `Unprocessable`, and what the request itself raises."""
        try:
            return self._schema.parse_object(arguments)
        except Unprocessable as error:
            error.message = error.message.replace("The body does not fit", f"The arguments of {self.name} do not fit")
            raise

    async def call(self, town: Town, request: object, report: Report) -> JsonValue:
        """Do it; gives the result as JSON. Raises what the operation raises."""
        if self.row.own and town.caller.is_worker:
            named = getattr(request, self.row.own)
            if named is not None:
                await require_own(town, named)
            request = replace(cast("Any", request), **{self.row.own: town.caller.agent_id})
        return await self.work(town, request, report)

    async def work(self, town: Town, request: object, report: Report) -> JsonValue:
        """Run the operation. What changes something is not left half done."""
        if not self.changes:
            return shortened(present(await self.operation.function(town, request)))
        return present(await finished(self.operation.function, town, request))

    def _definition(self) -> Tool:
        schema, definitions = self._schema.json_schema(_DEFINITIONS)
        schema.setdefault("properties", {})
        if definitions:
            schema["$defs"] = definitions
        row = self.row
        return Tool(
            name=row.name,
            title=row.title,
            description=row.description,
            input_schema=cast("dict[str, Any]", schema),
            output_schema=cast("dict[str, Any]", _output(self.operation.result)),
            annotations=ToolAnnotations(
                title=row.title,
                read_only_hint=not self.changes,
                destructive_hint=row.destructive and self.changes,
                idempotent_hint=row.idempotent or not self.changes,
                open_world_hint=False,
            ),
        )


async def finished(function: Callable[..., Any], town: Town, request: object) -> object:
    """Run an operation to its end, whatever happens to whoever asked; for at most `WORK_SECONDS`."""
    with trio.CancelScope(shield=True, deadline=trio.current_time() + WORK_SECONDS):
        try:
            return await function(town, request)
        except RuntimeFailed as error:
            raise Unready(
                "What was asked for is stored, and no runtime could be started that does it",
                hint="Start one with 'tt start'. Its log, .tt/logs/runtime.log, says what went wrong.",
            ) from error
    raise Overdue("It took too long")


def shortened(value: JsonValue) -> JsonValue:
    """The result without the rest of a list that no model could read; `left_out` says how much that was."""
    if not isinstance(value, dict):
        return value
    long = {name: len(found) for name, found in value.items() if isinstance(found, list) and len(found) > MOST_ITEMS}
    for name in long:
        found = cast("list[JsonValue]", value[name])
        # Of events the last ones count; they are the newest.
        value[name] = found[-MOST_ITEMS:] if name == "events" else found[:MOST_ITEMS]
    if long:
        value["left_out"] = {name: count - MOST_ITEMS for name, count in long.items()}
    return value


def _output(result: object) -> JsonObject:
    schemas = ResultSchemas("#/$defs/")
    schema = schemas.object_of(cast("type", result))
    if schemas.definitions:
        schema["$defs"] = schemas.definitions
    return schema


@cache
def make_tools() -> Mapping[str, OperationTool]:
    """Every tool by its name."""
    from tinytown.web.mcp.long_calls import LONG_CALLS

    known = operations()
    rows = {row.operation: row for row in ROWS}
    tools: dict[str, OperationTool] = {}
    for operation in known.values():
        row = rows.get(operation.name)
        if row is None:
            if operation.name in WITHOUT_TOOL or operation.scope is Scope.ADMIN or operation.name in LONG_CALLS:
                continue
            row = row_of(operation)
        tools[row.name] = OperationTool(row, operation)
    for make in LONG_CALLS.values():
        tool = make()
        tools[tool.name] = tool
    return dict(sorted(tools.items()))
