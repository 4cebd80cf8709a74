# ruff: noqa: INP001
"""Write docs/openapi anew, the description and the table of routes and scopes: python docs/make_openapi.py"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tinytown.web.routes.endpoint import OperationEndpoint
from tinytown.web.routes.openapi import describe
from tinytown.web.routes.special import specials
from tinytown.web.routes.table import ROUTES
from tinytown.web.schemas.types import operations

FILE = Path(__file__).parent / "openapi" / "townhall-v1.yaml"
PAGE = FILE.with_name("README.md")

_HEAD = """# Routes of townhall

What each route does and which scope opens it; `admin` opens all of them. The whole description, with every field:
[townhall-v1.yaml](townhall-v1.yaml), served at `/openapi.json`. Made by docs/make_openapi.py; do not edit.

| method | path | scope | |
| --- | --- | --- | --- |
"""

_PLAIN = re.compile(r"[A-Za-z/$_][A-Za-z0-9/$_{}.-]*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


_SCOPE = re.compile(r"Needs the scope `([a-z.]+)`")


async def _nothing(*_: object) -> Any:
    raise AssertionError


def description() -> dict[str, Any]:
    """The description that townhall serves at /openapi.json."""
    known = operations()
    routes = [OperationEndpoint(route, known[route.operation]) for route in ROUTES]
    return describe([*routes, *specials(metrics=_nothing, events=_nothing, description=_nothing)])


def yaml(value: Any, indent: int = 0) -> str:
    """A JSON value as YAML: every text that could be anything else is quoted."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        return "".join(f"\n{pad}{_scalar(key)}:{yaml(item, indent + 1)}" for key, item in value.items())
    if isinstance(value, list) and value:
        if not any(isinstance(item, (dict, list)) for item in value):
            return f" [{', '.join(map(_scalar, value))}]"
        return "".join(f"\n{pad}-{_item(item, indent + 1)}" for item in value)
    return f" {_scalar(value)}"


def _item(value: Any, indent: int) -> str:
    return " " + yaml(value, indent).lstrip() if isinstance(value, dict) and value else yaml(value, indent)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and "{" not in value and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def text() -> str:
    """The whole file."""
    return "# Made by docs/make_openapi.py; do not edit." + yaml(description()) + "\n"


def page() -> str:
    """The table of routes and scopes."""
    rows = []
    for path, methods in description()["paths"].items():
        for method, about in methods.items():
            scope = _SCOPE.search(about.get("description", ""))
            opens = f"`{scope[1]}`" if scope else "nobody's"
            rows.append(f"| {method.upper()} | `{path}` | {opens} | {about['summary'].replace('|', '/')} |\n")
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
