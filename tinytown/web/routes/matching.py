"""Which endpoint a method and a path mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.web.refusals import MethodNotAllowed, UnknownRoute

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tinytown.web.routes.endpoint import Endpoint

_SHOWN = 100


class RouteMap:
    """All endpoints by their paths. One that is spelled out hides those with parts in braces, as OpenAPI has it."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._plain: dict[str, dict[str, Endpoint]] = {}
        self._patterns: dict[int, dict[tuple[str, ...], dict[str, Endpoint]]] = {}
        self.endpoints = tuple(endpoints)
        for endpoint in self.endpoints:
            parts = tuple(endpoint.path.split("/"))
            if "{" in endpoint.path:
                methods = self._patterns.setdefault(len(parts), {}).setdefault(parts, {})
            else:
                methods = self._plain.setdefault(endpoint.path, {})
            assert endpoint.method not in methods, f"{endpoint.method} {endpoint.path} is there twice"
            methods[endpoint.method] = endpoint

    def find(self, method: str, path: str) -> tuple[Endpoint, Mapping[str, str]]:
        """The endpoint, and the parts of the path that its template names.

        HEAD is asked as GET is. Raises `UnknownRoute`, `MethodNotAllowed`.
        """
        wanted = "GET" if method == "HEAD" else method
        there: set[str] = set()
        for methods, parts in self._matches(path):
            if wanted in methods:
                return methods[wanted], parts
            there |= methods.keys()
        if not there:
            raise UnknownRoute(f"Nothing is served at {path[:_SHOWN]}")
        raise MethodNotAllowed(f"{path[:_SHOWN]} does not answer to {method[:_SHOWN]}", allow=_allowed(there))

    def allowed(self, path: str) -> list[str]:
        """The methods that a path answers to; empty when nothing is served there."""
        there = {method for methods, _ in self._matches(path) for method in methods}
        return _allowed(there) if there else []

    def _matches(self, path: str) -> Iterable[tuple[Mapping[str, Endpoint], Mapping[str, str]]]:
        if path in self._plain:
            yield self._plain[path], {}
            return
        parts = path.split("/")
        for pattern, methods in self._patterns.get(len(parts), {}).items():
            given = {}
            for expected, part in zip(pattern, parts, strict=True):
                if expected.startswith("{"):
                    if not part:
                        break
                    given[expected[1:-1]] = part
                elif expected != part:
                    break
            else:
                yield methods, given


def _allowed(methods: set[str]) -> list[str]:
    return sorted({*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])})
