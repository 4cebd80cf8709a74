"""The description of the API, OpenAPI 3.1, made from the routes themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from tinytown.runtime.caller import Scope
from tinytown.version import __version__
from tinytown.web.problems import MEDIA_TYPE
from tinytown.web.routes import repeats
from tinytown.web.routes.endpoint import OperationEndpoint, Special
from tinytown.web.routes.paging import DEFAULT_LIMIT, MOST
from tinytown.web.schemas.results import ResultSchemas

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tinytown.messages import JsonObject
    from tinytown.web.routes.endpoint import Endpoint

_PROBLEM: JsonObject = {
    "description": "What went wrong (RFC 9457).",
    "type": "object",
    "properties": {
        **{name: {"type": "string"} for name in ("type", "title", "detail", "instance", "code", "hint")},
        "status": {"type": "integer"},
        "errors": {
            "description": "What does not fit, field by field.",
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
                "required": ["path", "message"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "instance", "code"],
}

# Not the phrases of the standard library: those differ between versions of Python.
_MEANINGS: Mapping[int, str] = {
    400: "What arrived is no request that can be read.",
    401: "Nobody known asks.",
    403: "Whoever asks may not do this.",
    404: "What was named does not exist.",
    409: "Right in itself, and wrong in the present state of things.",
    413: "Too large.",
    415: "The body is not JSON.",
    422: "What was said cannot be meant; `errors` has the fields.",
    429: "Too many requests, or a limit of the town is reached.",
    502: "GitHub did not answer, or will not have it.",
    503: "The store of the town, or what would have to do it, is not there.",
}

_PAGED: JsonObject = {
    "count": {"type": "integer", "description": "Items of this page."},
    "total": {"type": "integer", "description": "Items of all pages."},
    "next": {"type": "string", "description": "The cursor of the next page; absent on the last."},
}


def describe(endpoints: Iterable[Endpoint]) -> JsonObject:
    """The whole description. The same endpoints give the same text."""
    results = ResultSchemas()
    bodies: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        if isinstance(endpoint, OperationEndpoint):
            described = _operation(endpoint, results, bodies)
        elif isinstance(endpoint, Special) and not endpoint.hidden:
            described = _special(endpoint, results)
        else:
            continue
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = described
    schemas: dict[str, Any] = {**results.definitions, **bodies, "Problem": _PROBLEM}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Townhall",
            "version": __version__,
            "description": "The control plane of a town: agents, tasks, messages, and what happens, over HTTP.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [{"bearer": []}, {"key": []}],
        "paths": paths,
        "components": {
            "schemas": {name: schemas[name] for name in sorted(schemas)},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _operation(endpoint: OperationEndpoint, results: ResultSchemas, bodies: dict[str, Any]) -> dict[str, Any]:
    route = endpoint.route
    schema, definitions = endpoint.schema.json_schema()
    bodies |= definitions
    parameters = [_in_path(name) for name in endpoint.path_fields]
    described: dict[str, Any] = {
        "operationId": _id_of(endpoint),
        "summary": endpoint.operation.summary,
        "tags": [route.tag],
        **_wants(endpoint.access),
    }
    codes = [400, 401, 403, 404, 409, 422, 429, 503]
    codes += route.errors
    if endpoint.takes_body:
        codes += [413, 415]
        described["requestBody"] = {
            "required": not endpoint.schema.all_optional,
            "content": {"application/json": {"schema": schema}},
        }
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "A request with the same key is done once, and answered again as it was.",
                "schema": {"type": "string", "minLength": 1, "maxLength": repeats.LONGEST, "pattern": repeats.PATTERN},
            }
        )
    else:
        properties = cast("dict[str, Any]", schema.get("properties", {}))
        required = cast("list[str]", schema.get("required", []))
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": each}
            for name, each in properties.items()
        ]
    result: dict[str, Any] = results.of(endpoint.operation.result)
    if route.page is not None:
        parameters += _paging(endpoint, results)
        result = {"allOf": [result, {"type": "object", "properties": _PAGED, "required": ["count", "total"]}]}
    if parameters:
        described["parameters"] = parameters
    content = {"application/json": {"schema": result}}
    described["responses"] = {str(route.status): {"description": "Done.", "content": content}, **_problems(codes)}
    return described


def _paging(endpoint: OperationEndpoint, results: ResultSchemas) -> list[dict[str, Any]]:
    page = endpoint.route.page
    assert page is not None
    limit = {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_LIMIT}
    return [
        {"name": "limit", "in": "query", "schema": limit},
        {
            "name": "cursor",
            "in": "query",
            "description": "Where the page begins: `next` of the one before.",
            "schema": {"type": "string", "format": "cursor", "minLength": 1},
        },
        *(
            {
                "name": name,
                "in": "query",
                "schema": results.of(page.filter_type(endpoint.operation.result, name)),
            }
            for name in page.filters
        ),
    ]


def _special(endpoint: Special, results: ResultSchemas) -> dict[str, Any]:
    names = [part[1:-1] for part in endpoint.path.split("/") if part.startswith("{")]
    parameters = [_in_path(name) for name in names]
    parameters += [
        {"name": each.name, "in": each.where, "description": each.description, "schema": dict(each.schema)}
        for each in endpoint.parameters
    ]
    schema = _resolved(endpoint.result, results) if endpoint.result is not None else {"type": "string"}
    codes = [] if endpoint.access == "public" else [400, 401, 403, 404, 422, 429, 503]
    described: dict[str, Any] = {
        "operationId": _id_of(endpoint),
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        **_wants(endpoint.access),
    }
    if parameters:
        described["parameters"] = parameters
    good = {"description": "Done.", "content": {endpoint.media_type: {"schema": schema}}}
    # What is not ready says so in its own form, and not as a problem.
    same = {str(code): {**good, "description": _MEANINGS[code]} for code in endpoint.errors}
    described["responses"] = {"200": good, **_problems(codes), **same}
    return described


def _resolved(result: object, results: ResultSchemas) -> Any:
    """A schema in which types stand for their schemas."""
    if isinstance(result, Mapping):
        return {key: _resolved(value, results) for key, value in result.items()}
    if isinstance(result, type):
        return results.of(result)
    return [_resolved(each, results) for each in result] if isinstance(result, list | tuple) else result


def _wants(access: object) -> dict[str, Any]:
    if isinstance(access, Scope):
        return {"description": f"Needs the scope `{access}`."}
    return {"security": []}


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _problems(codes: Iterable[int]) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {str(code): {"description": _MEANINGS[code], "content": content} for code in sorted(codes)}


def _id_of(endpoint: Endpoint) -> str:
    """A name that no other endpoint has: the method, and the words of the path."""
    words = endpoint.path.replace("{", "by-").replace("}", "").removeprefix("/").replace("/", "-").split("-")
    return endpoint.method.lower() + "".join(part[:1].upper() + part[1:] for word in words for part in word.split("_"))
