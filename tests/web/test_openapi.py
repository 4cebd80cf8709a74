"""The description of the API: what is committed is what is served, and what is served is true."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from api import api
from jsonschema import Draft202012Validator

DOCS = Path(__file__).parent.parent.parent / "docs"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_openapi", DOCS / "make_openapi.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def refs(value: Any) -> set[str]:
    if isinstance(value, dict):
        here = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return here.union(*(refs(each) for each in value.values()))
    return set().union(*(refs(each) for each in value)) if isinstance(value, list) else set()


def test_the_committed_description_is_that_of_the_routes() -> None:
    made = script()

    assert made.FILE.read_text(encoding="utf-8") == made.text(), "stale: run python docs/make_openapi.py"
    assert made.PAGE.read_text(encoding="utf-8") == made.page(), "stale: run python docs/make_openapi.py"


def test_the_description_holds_together() -> None:
    found = script().description()

    operations = [each for path in found["paths"].values() for each in path.values()]
    ids = [each["operationId"] for each in operations]
    assert len(set(ids)) == len(ids) > 50
    schemas = found["components"]["schemas"]
    assert {ref.removeprefix("#/components/schemas/") for ref in refs(found)} == schemas.keys()
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


async def test_it_is_served_to_everybody_and_answers_are_what_it_says(made: Path) -> None:
    async with api(made) as town:
        await town.add("ada")
        await town.post("/v1/tasks/assign", {"agent": "ada", "task": "dig"}, 201)
        await town.post("/v1/backlog", {"description": "later", "tags": ["a"]}, 201)
        await town.post("/v1/messages/send", {"to": "conductor", "message": "?", "from": "ada"}, 201)
        shown = town.client.headers.pop("authorization")
        served = await town.get("/openapi.json")
        town.client.headers["authorization"] = shown
        assert served == json.loads(json.dumps(script().description()))

        checked = 0
        for path, methods in served["paths"].items():
            if "get" not in methods or "event-stream" in json.dumps(methods["get"]) or path == "/metrics":
                continue
            asked = path.replace("{agent}", "ada").replace("{subject}", "ada")
            if "{" in asked:
                continue
            answer = await town.get(asked, **({"seconds": 0} if path.endswith("/wait") else {}))
            schema = methods["get"]["responses"]["200"]["content"]["application/json"]["schema"]
            Draft202012Validator({**schema, "components": served["components"]}).validate(answer)
            checked += 1
        assert checked > 20
