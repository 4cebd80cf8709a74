"""Results as JSON: the fields of their dataclasses, records and messages as they stand in Redis.

What is None is left out, as in the records. A program gets one object or one array on one line.
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

from tinytown.messages import Message
from tinytown.records import Record

if TYPE_CHECKING:
    from tinytown.messages import JsonObject, JsonValue


def dump(value: object) -> str:
    """The JSON text of a result."""
    return json.dumps(plain(value), ensure_ascii=False)


def plain(value: object) -> JsonValue:
    """The JSON value of a result."""
    if isinstance(value, Message | Record):
        return value.to_json()
    if is_dataclass(value):
        return fields_of(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)


def fields_of(value: object, **more: object) -> JsonObject:
    """The object of a dataclass's fields, or of a record, and of more."""
    taken = (
        value.to_json()
        if isinstance(value, Message | Record)
        else {item.name: getattr(value, item.name) for item in fields(value)}  # type: ignore[arg-type]
    )
    return {key: plain(item) for key, item in {**taken, **more}.items() if item is not None}
