"""As much of GraphQL as queries to GitHub need: fields, aliases, arguments, fragments. No I/O, no mutations.

What must be true: an answer has exactly what was asked for, in its order; what is not there is null with an error
beside it and spoils nothing else; a field that a type does not have is an error of the whole query.

An object is a dictionary of its fields with `__typename`; a field whose value depends on arguments is a function of
them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinytown.messages import JsonObject, JsonValue

Arguments: TypeAlias = "Mapping[str, JsonValue]"
Value: TypeAlias = "str | float | bool | Sequence[Value] | Fields | Callable[[Arguments], Value] | None"
Fields: TypeAlias = "Mapping[str, Value]"

RAW = "__raw"
"""A field of an object that holds finished answers, by the name that they are asked for under."""

_TOKEN = re.compile(r'\s*(?:#[^\n]*\s*|,\s*)*(\.\.\.|"(?:\\.|[^"\\])*"|[A-Za-z_]\w*|-?\d+|[{}():$!\[\]=@]|$)')


class Missing(Exception):
    """What a field should give is not there, or may not be seen; the field is null then."""


class Wrong(Exception):
    """The query as a whole cannot be answered."""

    def __init__(self, message: str, code: str = "parseError") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Field:
    alias: str
    name: str
    arguments: dict[str, JsonValue]
    inner: tuple[_Selected, ...]


@dataclass(frozen=True, slots=True)
class _Fragment:
    """Fields for objects of one type; `on` is None for any."""

    on: str | None
    inner: tuple[_Selected, ...]


_Selected: TypeAlias = "_Field | _Fragment | str"
"""A field, a fragment in place, or the name of one."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What can be asked: the object where queries begin, made for so many points, and the members of each union."""

    root: Callable[[int], Fields]
    unions: Mapping[str, frozenset[str]]


def ask(schema: Schema, text: str, *, without: frozenset[str] = frozenset()) -> tuple[JsonObject, int]:
    """What a query gives, `data` and where there are any `errors`, and how many points it costs.

    `without` are fields that are unknown here.
    """
    try:
        reader = _Reader(text)
        reader.document()
        points = max(1, round(_requests(reader.query, reader.fragments, 1) / 100))
        running = _Running(reader.fragments, schema.unions, without)
        data = running.selected(schema.root(points), reader.query, ())
    except Wrong as wrong:
        return {"errors": [{"message": str(wrong), "extensions": {"code": wrong.code}}]}, 1
    return ({"data": data, "errors": running.errors} if running.errors else {"data": data}), points


def _requests(wanted: Sequence[_Selected], fragments: Mapping[str, _Fragment], times: int) -> int:
    """GitHub's own count: a connection is asked for as often as what is around it may have entries."""
    total = 0
    for each in wanted:
        if isinstance(each, str):
            total += _requests(fragments[each].inner, fragments, times) if each in fragments else 0
        elif isinstance(each, _Fragment):
            total += _requests(each.inner, fragments, times)
        else:
            most = each.arguments.get("first") or each.arguments.get("last")
            entries = most if isinstance(most, int) else 0
            total += (times if entries else 0) + _requests(each.inner, fragments, times * (entries or 1))
    return total


class _Reader:
    """Reads one document: one query and its fragments."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self.query: tuple[_Selected, ...] = ()
        self.fragments: dict[str, _Fragment] = {}

    def document(self) -> None:
        while (word := self._peek()) != "":
            if word == "fragment":
                self._next()
                name = self._next()
                self._take("on")
                self.fragments[name] = _Fragment(self._next(), self._selections())
            elif word in ("{", "query"):
                while self._peek() != "{":
                    self._next()
                self.query = self._selections()
            else:
                raise Wrong(f"Parse error: expected a query, got {word}")

    def _selections(self) -> tuple[_Selected, ...]:
        self._take("{")
        found: list[_Selected] = []
        while self._peek() != "}":
            found.append(self._selection())
        self._take("}")
        return tuple(found)

    def _selection(self) -> _Selected:
        name = self._next()
        if name == "...":
            if self._peek() == "{":
                return _Fragment(None, self._selections())
            name = self._next()
            return _Fragment(self._next(), self._selections()) if name == "on" else name
        alias = name
        if self._peek() == ":":
            self._next()
            name = self._next()
        arguments = self._arguments() if self._peek() == "(" else {}
        return _Field(alias, name, arguments, self._selections() if self._peek() == "{" else ())

    def _arguments(self) -> dict[str, JsonValue]:
        self._take("(")
        found: dict[str, JsonValue] = {}
        while self._peek() != ")":
            name = self._next()
            self._take(":")
            found[name] = self._value()
        self._take(")")
        return found

    def _value(self) -> JsonValue:
        word = self._next()
        if word == "[":
            found: list[JsonValue] = []
            while self._peek() != "]":
                found.append(self._value())
            self._take("]")
            return found
        if word.startswith('"') or word.lstrip("-").isdecimal() or word in ("true", "false", "null"):
            value: JsonValue = json.loads(word)
            return value
        return word

    def _peek(self) -> str:
        return self._tokens[self._at]

    def _next(self) -> str:
        word = self._peek()
        if word == "":
            raise Wrong("Parse error: unexpected end of document")
        self._at += 1
        return word

    def _take(self, wanted: str) -> None:
        if (word := self._next()) != wanted:
            raise Wrong(f"Parse error: expected {wanted}, got {word}")


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while True:
        token = _TOKEN.match(text, at)
        if token is None:
            raise Wrong(f"Parse error: unexpected character {text[at : at + 1]!r}")
        found.append(token[1])
        at = token.end()
        if token[1] == "":
            return found


@dataclass(slots=True)
class _Running:
    fragments: Mapping[str, _Fragment]
    unions: Mapping[str, frozenset[str]]
    without: frozenset[str]
    errors: list[JsonValue] = field(default_factory=list)

    def selected(self, owner: Fields, wanted: Sequence[_Selected], path: tuple[str, ...]) -> JsonObject:
        """What is wanted of an object."""
        found: JsonObject = {}
        for each in wanted:
            if isinstance(each, _Field):
                found[each.alias] = self._field(owner, each, (*path, each.alias))
                continue
            fragment = self.fragments.get(each) if isinstance(each, str) else each
            if fragment is None:
                raise Wrong(f"Fragment {each} was used, but not defined")
            if self._is(owner["__typename"], fragment.on):
                found |= self.selected(owner, fragment.inner, path)
        return found

    def _is(self, kind: Value, wanted: str | None) -> bool:
        return wanted in (None, kind) or kind in self.unions.get(wanted or "", ())

    def _field(self, owner: Fields, wanted: _Field, path: tuple[str, ...]) -> JsonValue:
        raw = owner.get(RAW)
        if isinstance(raw, dict) and wanted.alias in raw:
            given: JsonValue = raw[wanted.alias]
            return given
        if wanted.name not in owner or wanted.name in self.without:
            raise Wrong(f"Field '{wanted.name}' doesn't exist on type '{owner['__typename']}'", "undefinedField")
        value = owner[wanted.name]
        if callable(value):
            try:
                value = value(wanted.arguments)
            except Missing as missing:
                self.errors.append({"type": "NOT_FOUND", "path": [*path], "message": str(missing)})
                return None
        return self._value(value, wanted, path)

    def _value(self, value: Value, wanted: _Field, path: tuple[str, ...]) -> JsonValue:
        if value is None or isinstance(value, str | int | float):
            return value
        if isinstance(value, Mapping):
            if not wanted.inner:
                raise Wrong(f"Field must have selections (field '{wanted.name}')", "selectionMismatch")
            return self.selected(value, wanted.inner, path)
        assert isinstance(value, Sequence)
        return [self._value(each, wanted, path) for each in value]
