"""What a request of an operation may hold, as it comes from outside: checked before anything is done.

The names on the wire are those of the operation, unless a face renames them. Nothing unknown is accepted: a field
that is spelled wrongly is an error and never a default.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from tinytown.runtime.operations.bounds import keywords_of, whole_of
from tinytown.web.refusals import BadRequest, Unprocessable
from tinytown.web.schemas.types import FieldType, fields_of, without_none

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic_core import ErrorDetails

    from tinytown.messages import JsonObject
    from tinytown.runtime.operations.registry import Operation

MOST_TEXT = 200
"""Characters of a wrong value or name that an error repeats."""


def _whole(value: object) -> object:
    # JSON knows one kind of number: 1.0 is as whole as 1.
    return int(value) if isinstance(value, float) and value.is_integer() else value


_STRICT = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)
_TEXTS = ConfigDict(extra="forbid", hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class More:
    """A field of the wire that is no field of the request; the face's `adjust` turns it into one."""

    type: object
    default: object
    description: str = ""


@dataclass(frozen=True, slots=True)
class Wire:
    """How a face speaks of an operation's request.

    `names` gives a field another name on the wire. `fixed` fields are not on the wire. `adjust` gets what was read,
    under the names of the fields, and gives what the request is made of. `required` fields may not be left out on this
    face. What the operation itself checks of the request as a whole, the schema shows: of the two names in `exclusive`
    one at most may be said; `rules` are keywords for a body that has to be there.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, object] = field(default_factory=dict)
    more: Mapping[str, More] = field(default_factory=dict)
    adjust: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    docs: Mapping[str, str] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    exclusive: tuple[str, str] | None = None
    rules: Mapping[str, object] = field(default_factory=dict)


class RequestSchema:
    """The requests of one operation on one face. `given` are the fields that come from elsewhere, such as the path."""

    def __init__(self, operation: Operation[Any, Any], wire: Wire | None = None, *, given: Sequence[str] = ()) -> None:
        self.type = cast("type", operation.request)
        self.wire = wire or Wire()
        self.given = tuple(given)
        self.model = self._model(f"{self.type.__name__}Body", _STRICT)
        self._texts = self._model(f"{self.type.__name__}Query", _TEXTS)

    @property
    def all_optional(self) -> bool:
        """It may be left out as a whole."""
        return not self.wire.rules and not any(each.is_required() for each in self.model.model_fields.values())

    def parse_json(self, raw: bytes, given: Mapping[str, object] | None = None) -> object:
        """The request of a JSON body; none at all is an empty object.

        Raises `BadRequest` for what is no JSON, `Unprocessable` with the path of each field that is wrong, and what
        the request itself raises.
        """
        try:
            read = self.model.model_validate_json(raw or b"{}")
        except ValidationError as error:
            raise _refusal(error, "body") from None
        return self._made(read, given)

    def parse_object(self, value: JsonObject, given: Mapping[str, object] | None = None) -> object:
        """The request of a JSON object that was read already."""
        return self.parse_json(json.dumps(value).encode(), given)

    def parse_texts(self, pairs: Sequence[tuple[str, str]], given: Mapping[str, object] | None = None) -> object:
        """The request of the pairs of a query; a field with several values is named several times."""
        taken: dict[str, object] = {}
        for name, text in pairs:
            if name in self._lists():
                cast("list[str]", taken.setdefault(name, [])).append(text)
            elif name in taken:
                raise Unprocessable("The query names a field twice", fields=[(name[:MOST_TEXT], "named twice")])
            else:
                taken[name] = text
        try:
            read = self._texts.model_validate(taken)
        except ValidationError as error:
            raise _refusal(error, "query") from None
        return self._made(read, given)

    def json_schema(self, template: str = "#/components/schemas/{model}") -> tuple[JsonObject, JsonObject]:
        """The schema of a body, and the definitions it refers to."""
        schema = self.model.model_json_schema(ref_template=template)
        schema.pop("title", None)
        schema |= self.wire.rules
        if self.wire.exclusive is not None:
            said = {name: {"not": {"enum": [None, False]}} for name in self.wire.exclusive}
            schema["not"] = {"required": list(self.wire.exclusive), "properties": said}
        definitions = schema.pop("$defs", {})
        for each in schema.get("properties", {}).values():
            each.pop("title", None)
        return schema, definitions

    def _lists(self) -> frozenset[str]:
        return frozenset(
            each.alias or name
            for name, each in self._texts.model_fields.items()
            if get_origin(each.annotation) in (tuple, list)
        )

    def _made(self, read: BaseModel, given: Mapping[str, object] | None) -> object:
        values = {name: getattr(read, name) for name in read.model_fields_set}
        if self.wire.adjust is not None:
            values = self.wire.adjust(values)
        return self.type(**values, **self.wire.fixed, **(given or {}))

    def _model(self, name: str, config: ConfigDict) -> type[BaseModel]:
        wire = self.wire
        made: dict[str, Any] = {}
        for each in fields_of(self.type):
            if each.name not in wire.fixed and each.name not in self.given:
                alias = wire.names.get(each.name, each.name)
                wanted = replace(each, type=without_none(each.type), default=MISSING)
                asked = wanted if each.name in wire.required else each
                made[each.name] = _field(asked, alias, wire.docs.get(each.name, ""))
        for key, more in wire.more.items():
            made[key] = _field(FieldType(key, more.type, more.default), key, more.description)
        return create_model(name, __config__=config, **made)


def _field(field: FieldType, alias: str, description: str) -> tuple[Any, Any]:
    kind, bounds = field.type, whole_of(field.metadata)
    if kind is int or int in get_args(kind):
        # In this order: the other writes its limits into the schema under names that JSON Schema has not.
        limits = Field(ge=bounds.least, le=bounds.most) if bounds is not None else Field()
        kind = Annotated[kind, limits, BeforeValidator(_whole)]
    more = cast("dict[str, Any]", dict(keywords_of(field.metadata)))
    default = ... if field.required else field.default
    return kind, Field(default, alias=alias, description=description or None, json_schema_extra=more or None)


def _refusal(error: ValidationError, where: str) -> BadRequest | Unprocessable:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return BadRequest(f"The body is not JSON: {found[0]['msg'].removeprefix('Invalid JSON: ')[:MOST_TEXT]}")
    listed = [(_path(each), each["msg"]) for each in found]
    first = listed[0]
    said = f"{first[0]}: {first[1]}" if first[0] else first[1]
    return Unprocessable(f"The {where} does not fit: {said}", fields=listed)


def _path(error: ErrorDetails) -> str:
    return ".".join(str(part) for part in error["loc"])[:MOST_TEXT]
