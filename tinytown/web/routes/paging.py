"""Lists in pages: what is shown of a result, and the cursor that continues it.

A cursor says behind which item the next page begins. When that item has gone, the page begins where it was.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast, get_args, get_origin

from tinytown.web.routes.call import misfit
from tinytown.web.schemas.results import type_at
from tinytown.web.schemas.shapes import follow
from tinytown.web.schemas.types import without_none

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinytown.messages import JsonObject

DEFAULT_LIMIT = 100
MOST = 1000
"""Items of one page."""

_LONGEST_CURSOR = 500


@dataclass(frozen=True, slots=True)
class Page:
    """Which field of a result is a list, the path of what names its items, and the paths that filters look at."""

    member: str
    id: str = "id"
    filters: Mapping[str, str] = field(default_factory=dict)

    def filter_type(self, result: object, name: str) -> object:
        """The type of what a filter looks at; of a list that of its items."""
        kind = without_none(get_args(type_at(result, f"{self.member}[].{self.filters[name]}"))[0])
        return get_args(kind)[0] if get_origin(kind) is tuple else kind


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which page was asked for."""

    limit: int = DEFAULT_LIMIT
    index: int = 0
    after: str = ""
    filters: Mapping[str, str] = field(default_factory=dict)


def take(pairs: Sequence[tuple[str, str]], page: Page, result: object) -> tuple[Wanted, list[tuple[str, str]]]:
    """The page that a query asks for, and the rest of the query."""
    ours = {"limit", "cursor", *page.filters}
    mine = {name: text for name, text in pairs if name in ours}
    rest = [(name, text) for name, text in pairs if name not in ours]
    limit = mine.get("limit", str(DEFAULT_LIMIT))
    if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit[:9]) <= MOST):
        raise misfit("limit", f"expected 1 to {MOST}")
    index, after = _read(mine["cursor"]) if "cursor" in mine else (0, "")
    filters = {name: mine[name] for name in page.filters if name in mine}
    for name, wanted in filters.items():
        kind = page.filter_type(result, name)
        if isinstance(kind, type) and issubclass(kind, StrEnum) and wanted not in set(kind):
            raise misfit(name, f"expected one of {', '.join(kind)}")
    return Wanted(int(limit), index, after, filters), rest


def cut(result: object, page: Page, wanted: Wanted) -> tuple[object, JsonObject]:
    """The result with this page of its list only, and what is said of the page."""
    items = [
        item
        for item in cast("Sequence[object]", getattr(result, page.member))
        if all(_fits(follow(item, page.filters[name]), text) for name, text in wanted.filters.items())
    ]
    start = wanted.index
    if wanted.after:
        ids = [follow(item, page.id) for item in items]
        start = ids.index(wanted.after) + 1 if wanted.after in ids else max(0, wanted.index - 1)
    shown = tuple(items[start : start + wanted.limit])
    end = start + len(shown)
    said: JsonObject = {"count": len(shown), "total": len(items)}
    if end < len(items) and shown:
        said["next"] = _written(end, str(follow(shown[-1], page.id)))
    return replace(cast("Any", result), **{page.member: shown}), said


def _fits(found: object, wanted: str) -> bool:
    return wanted in found if isinstance(found, tuple) else str(found) == wanted


def _written(index: int, after: str) -> str:
    return urlsafe_b64encode(json.dumps([index, after]).encode()).decode().rstrip("=")


def _read(cursor: str) -> tuple[int, str]:
    try:
        padded = cursor[:_LONGEST_CURSOR] + "=" * (-len(cursor) % 4)
        index, after = json.loads(urlsafe_b64decode(padded))
    except (ValueError, TypeError):
        index, after = None, None
    if not isinstance(index, int) or not isinstance(after, str) or index < 0:
        raise misfit("cursor", "expected what 'next' said")
    return index, after
