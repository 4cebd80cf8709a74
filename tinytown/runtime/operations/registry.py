"""The list of all operations: what a face (`tt`, REST, MCP) may offer, and what each needs.

An operation is one function of (town, request). Registered, it checks the caller's scope, and the bounds that the
fields of the request have, before it does anything.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Generic, TypeVar

from tinytown.errors import AgentNotFound, Forbidden, TownError
from tinytown.ids import is_id
from tinytown.runtime.caller import Scope
from tinytown.runtime.operations.bounds import check_bounds
from tinytown.text import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from tinytown.runtime.town import Town

Req = TypeVar("Req")
Res = TypeVar("Res")

__all__ = ("OPERATIONS", "Operation", "Scope", "operation", "require")


@dataclass(frozen=True, slots=True)
class Operation(Generic[Req, Res]):
    """One entry. `for_workers`: an agent may call it with its own credential, for what is its own."""

    name: str
    scope: Scope
    function: Callable[[Town, Req], Coroutine[object, object, Res]]
    for_workers: bool

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (self.function.__doc__ or "").partition("\n")[0]

    @property
    def request(self) -> object:
        """The type of its request."""
        return self._types()["request"]

    @property
    def result(self) -> object:
        """The type of its result."""
        return self._types()["return"]

    def _types(self) -> Mapping[str, object]:
        from typing import get_type_hints

        from tinytown.runtime.town import Town

        return get_type_hints(self.function, localns={"Town": Town})


OPERATIONS: dict[str, Operation[object, object]] = {}
"""Every operation by its name, of the modules that were imported."""


def require(town: Town, scope: Scope, *, for_workers: bool = False) -> None:
    """Raise `Forbidden` unless the caller has this scope, or is a worker where workers may."""
    caller = town.caller
    if scope not in caller.scopes and not (for_workers and caller.is_worker):
        raise Forbidden(
            f"Agent '{caller.name}' may not do this: it needs {scope}",
            hint='Ask the conductor: tt send conductor "..."',
        )


def operation(
    name: str, scope: Scope, *, for_workers: bool = False
) -> Callable[
    [Callable[[Town, Req], Coroutine[object, object, Res]]], Callable[[Town, Req], Coroutine[object, object, Res]]
]:
    """Register a function as an operation; what is called afterwards refuses a caller without the scope."""

    def register(
        function: Callable[[Town, Req], Coroutine[object, object, Res]],
    ) -> Callable[[Town, Req], Coroutine[object, object, Res]]:
        @wraps(function)
        async def checked(town: Town, request: Req) -> Res:
            require(town, scope, for_workers=for_workers)
            check_bounds(request)
            try:
                return await function(town, request)
            except AgentNotFound as error:
                await _suggest(town, error)
                raise

        OPERATIONS[name] = Operation(name, scope, checked, for_workers)  # type: ignore[arg-type]
        return checked

    return register


async def _suggest(town: Town, error: AgentNotFound) -> None:
    """Add to the hint the name that was probably meant."""
    if is_id(error.name):
        return
    # Without it the error says as much as it did.
    with suppress(TownError):
        near = nearest(error.name, (await town.store.names()).values())
        if near is not None:
            error.hint = f"Did you mean '{near}'? {error.hint}"
