"""The JSON schemas of results, made from their types and shapes."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal, NewType, Union, cast, get_args, get_origin

from tinytown.messages import BODY_TYPES, LANES, Message
from tinytown.times import Timestamp
from tinytown.transport.shelves import Shelved
from tinytown.web.schemas.shapes import SHAPES, Shape
from tinytown.web.schemas.types import fields_of

if TYPE_CHECKING:
    from tinytown.messages import JsonObject, JsonValue
    from tinytown.web.schemas.types import FieldType

_PLAIN = Shape()
_REF = "#/components/schemas/"
_NONE = type(None)


class ResultSchemas:
    """The schemas of results, and the definitions they refer to, which grow with each that is asked for."""

    def __init__(self, prefix: str = _REF) -> None:
        self._prefix = prefix
        self.definitions: dict[str, JsonValue] = {}
        self._made: dict[str, type] = {}

    def of(self, kind: object) -> JsonObject:
        """The schema of a type; that of a dataclass is a reference."""
        if isinstance(kind, NewType):
            return {"type": "string", "format": "date-time"} if kind is Timestamp else self.of(kind.__supertype__)
        origin, arguments = get_origin(kind), get_args(kind)
        if origin in (Union, types.UnionType):
            return self._union([each for each in arguments if each is not _NONE])
        if origin is Literal:
            return {"type": "string", "enum": cast("list[JsonValue]", list(arguments))}
        if origin in (tuple, list, set, frozenset):
            return {"type": "array", "items": self.of(arguments[0])}
        if origin is not None and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        if isinstance(kind, type):
            return self._class(kind)
        return {}

    def _union(self, kinds: list[object]) -> JsonObject:
        return self.of(kinds[0]) if len(kinds) == 1 else {"anyOf": [self.of(each) for each in kinds]}

    def _class(self, kind: type) -> JsonObject:
        if is_dataclass(kind):
            return self._reference(kind)
        if issubclass(kind, Enum):
            return {"type": "string", "enum": [str(each.value) for each in kind]}
        for simple, name in ((bool, "boolean"), (int, "integer"), (float, "number")):
            if issubclass(kind, simple):
                return {"type": name}
        if issubclass(kind, (str, bytes, PurePath)):
            return {"type": "string"}
        return {}

    def _reference(self, kind: type) -> JsonObject:
        name = kind.__name__
        if name not in self.definitions:
            self.definitions[name] = {}
            self._made[name] = kind
            self.definitions[name] = self.object_of(kind)
        assert self._made[name] is kind, f"two results are called {name}"
        return {"$ref": self._prefix + name}

    def object_of(self, kind: type) -> JsonObject:
        """The schema of a dataclass itself."""
        if kind is Message:
            return _message()
        properties, required = self._members(kind)
        described = (kind.__doc__ or "").strip().partition("\n\n")[0].replace("\n    ", " ")
        made: JsonObject = {"type": "object", "properties": cast("JsonObject", properties)}
        if required:
            made["required"] = cast("list[JsonValue]", required)
        return {"description": described, **made} if described else made

    def _members(self, kind: type) -> tuple[dict[str, JsonObject], list[str]]:
        """The members of its object, and which of them are always there."""
        shape = SHAPES.get(kind.__name__, _PLAIN)
        properties: dict[str, JsonObject] = {}
        required: list[str] = []
        for each in fields_of(kind):
            if each.name == shape.head:
                more, always = self._head(each.type)
                properties |= more
                required += always
                continue
            if each.name in shape.left_out or each.is_secret:
                continue
            name = shape.renamed.get(each.name, each.name)
            properties[name] = self.of(each.type)
            if not self._may_lack(kind, each, beside_head=bool(shape.head)):
                required.append(name)
        for name, path in shape.also.items():
            properties[name] = self.of(type_at(kind, path))
            required += () if name in required else (name,)
        return properties, required

    def _may_lack(self, kind: type, field: FieldType, *, beside_head: bool) -> bool:
        if _NONE in get_args(field.type) or (kind is Shelved and field.name == "raw"):
            return True
        return beside_head and (field.type is str or get_origin(field.type) is tuple)

    def _head(self, kind: object) -> tuple[dict[str, JsonObject], list[str]]:
        assert isinstance(kind, type)
        if kind is Message:
            message = _message()
            return cast("dict[str, JsonObject]", message["properties"]), cast("list[str]", message["required"])
        return self._members(kind)


def type_at(kind: object, path: str) -> object:
    """The type of what lies at a path of fields; `[]` means every item of a list."""
    first, _, rest = path.partition(".")
    found = next(each.type for each in fields_of(cast("type", kind)) if each.name == first.removesuffix("[]"))
    if first.endswith("[]"):
        return tuple[type_at(get_args(found)[0], rest), ...]  # type: ignore[misc]
    return type_at(found, rest) if rest else found


def _message() -> JsonObject:
    """A message as on the wire: its address, and the fields of its type."""
    texts = ("description", "question", "summary", "task_id", "result", "error", "state", "kind", "payload")
    properties: JsonObject = {
        "id": {"type": "string"},
        "from": {"type": "string"},
        "to": {"type": "string"},
        "type": {"type": "string", "enum": cast("list[JsonValue]", sorted(BODY_TYPES))},
        "priority": {"type": "string", "enum": [str(each) for each in LANES]},
        "created_at": {"type": "string", "format": "date-time"},
        "correlation_id": {"type": "string"},
        "current_task": {"type": "string"},
        "ack_type": {"type": "object"},
        **{name: {"type": "string"} for name in texts},
    }
    return {
        "description": "A message as on the wire: its address, and beside it the fields of its type.",
        "type": "object",
        "properties": properties,
        "required": ["id", "from", "to", "type", "priority", "created_at"],
    }
