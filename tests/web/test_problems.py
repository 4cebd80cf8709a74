"""What goes wrong, as whoever asks sees it: one form for everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from api import api, checked

from tinytown.web.routes.endpoint import OperationEndpoint


async def test_every_refusal_is_a_problem(made: Path) -> None:
    asked: list[tuple[str, str, dict[str, Any], int, str]] = [
        ("GET", "/v1/nothing", {}, 404, "unknown_route"),
        ("GET", "/v1/agents/", {}, 404, "unknown_route"),
        ("GET", "/v1/agents/eve", {}, 404, "agent_not_found"),
        ("GET", "/v1/tasks/12345678", {}, 404, "task_not_found"),
        (
            "PUT",
            "/v1/agents",
            {"content": b"{}", "headers": {"content-type": "application/json"}},
            405,
            "method_not_allowed",
        ),
        ("POST", "/v1/backlog", {"content": b"description=x"}, 415, "unsupported_media_type"),
        ("POST", "/v1/backlog", {"json": {"description": "x" * 1_100_000}}, 413, "too_large"),
        ("POST", "/v1/backlog", {"json": {"description": "x" * 300_000}}, 413, "too_large"),
        ("POST", "/v1/backlog", {"json": {}}, 422, "unprocessable"),
        ("POST", "/v1/backlog", {"json": {"description": " "}}, 422, "invalid"),
        ("POST", "/v1/backlog?x=1", {"json": {"description": "x"}}, 400, "bad_request"),
        ("POST", "/v1/agents", {"json": {"name": "no spaces"}}, 422, "invalid_name"),
        ("POST", "/v1/agents", {"json": {"name": "ada", "cli": "none-such"}}, 422, "unknown_cli"),
        ("GET", "/v1/status?deep=perhaps", {}, 422, "unprocessable"),
        ("GET", "/v1/status?deep=1&deep=0", {}, 422, "unprocessable"),
        ("GET", "/v1/status?%FF=1", {}, 400, "bad_request"),
        ("GET", "/v1/status?a", {}, 400, "bad_request"),
    ]
    async with api(made) as town:
        for method, path, given, status, code in asked:
            if "content" in given and "headers" not in given:
                given["headers"] = {"content-type": "text/plain"}
            answer = await town.client.request(method, path, **given)
            said = checked(answer, status)
            assert said["code"] == code, said
            assert {"type", "title", "status", "detail", "instance"} <= said.keys()
            assert said["type"] == f"https://tinytown.dev/errors/{status}"
            assert said["instance"].endswith(answer.headers["x-request-id"])
            assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        (b"{", 400, None),
        (b"\xff\xfe", 400, None),
        (b"[" * 100_000, 400, None),
        (b'{"agent":"a","task":"\\ud800"}', 400, None),
        (b"[]", 422, ""),
        (b"null", 422, ""),
        (b'{"agent":"a"}', 422, "task"),
        (b'{"agent":"a","task":1}', 422, "task"),
        (b'{"agent":"a","task":"x","tags":"y"}', 422, "tags"),
        (b'{"agent":"a","task":"x","tags":["y",2]}', 422, "tags.1"),
        (b'{"agent":"a","task":"x","nonsense":1}', 422, "nonsense"),
        (b'{"agent":"a","task":"x","description":"y"}', 422, "description"),
    ],
)
async def test_a_wrong_body_is_refused_with_the_path_of_what_is_wrong(
    made: Path, body: bytes, status: int, path: str | None
) -> None:
    async with api(made) as town:
        answer = await town.client.post("/v1/tasks/assign", content=body, headers={"content-type": "application/json"})
        said = checked(answer, status)
        if path is not None:
            assert path in [each["path"] for each in said["errors"]]
        assert (await town.get("/v1/tasks"))["total"] == 0


async def test_a_fault_of_ours_says_its_id_and_nothing_else(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> object:
        raise RuntimeError(f"secret of {made}")

    async with api(made) as town:
        # Both ways through: beside Quart, and through it.
        for path in ("/v1/status", "/v1/history"):
            with monkeypatch.context() as patched:
                patched.setattr(OperationEndpoint, "_run", fail)
                answer = await town.client.get(path)
            said = checked(answer, 500)
            assert "secret" not in answer.text
            assert str(made) not in answer.text
            assert said["instance"].endswith(answer.headers["x-request-id"])
        await town.get("/v1/status")
