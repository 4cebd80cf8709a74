"""The types of requests and results, looked up: the operations' modules name many of them only for the checker."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Literal, Union, get_args, get_origin, get_type_hints

import tinytown.runtime.operations as package
from tinytown.runtime.operations.registry import OPERATIONS

if TYPE_CHECKING:
    from tinytown.runtime.operations.registry import Operation

_VOCABULARY = (
    "tinytown.ids",
    "tinytown.times",
    "tinytown.lifecycle",
    "tinytown.messages",
    "tinytown.records",
    "tinytown.mission_records",
    "tinytown.transport.placement",
    "tinytown.transport.shelves",
    "tinytown.transport.api_keys",
    "tinytown.transport.audit",
    "tinytown.actors.handover",
)
"""Where the records are, and the parts of results that no operation defines."""


@dataclass(frozen=True, slots=True)
class FieldType:
    """One field of a dataclass. `default` is `MISSING` for one that must be given. A secret one is never shown."""

    name: str
    type: object
    default: object
    is_secret: bool = False
    metadata: Mapping[str, object] = field(default_factory=dict)
    """What `tinytown.runtime.operations.bounds` says of it."""

    @property
    def required(self) -> bool:
        """It has no default."""
        return self.default is MISSING


def operations() -> Mapping[str, Operation[object, object]]:
    """Every operation there is, by name: all modules of them are imported."""
    _modules()
    return OPERATIONS


@cache
def fields_of(cls: type) -> tuple[FieldType, ...]:
    """The fields of a dataclass, with their types in place of the names of these."""
    hints = get_type_hints(cls, localns={**_names(), **vars(import_module(cls.__module__))})
    found = []
    for each in fields(cls):
        default = each.default
        if default is MISSING and each.default_factory is not MISSING:
            default = each.default_factory()
        found.append(FieldType(each.name, hints[each.name], default, is_secret=not each.repr, metadata=each.metadata))
    return tuple(found)


def without_none(kind: object) -> object:
    """The type of what is there, of a type that may be None."""
    there = [each for each in get_args(kind) if each is not type(None)]
    return there[0] if len(there) == 1 and len(get_args(kind)) > 1 and get_origin(kind) in (Union, UnionType) else kind


@cache
def _modules() -> tuple[str, ...]:
    names = [found.name for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    for name in names:
        import_module(name)
    return tuple(names)


@cache
def _names() -> Mapping[str, object]:
    known: dict[str, object] = {
        "Mapping": Mapping,
        "Sequence": Sequence,
        "Iterable": Iterable,
        "Literal": Literal,
        "Path": Path,
    }
    for name in (*_modules(), *_VOCABULARY):
        module = import_module(name)
        known |= {
            key: value
            for key, value in vars(module).items()
            if not key.startswith("_") and getattr(value, "__module__", name) == name
        }
    return known
