"""What a tool answers: the result as structured content, and beside it the text that the book promises.

    {"success": true, "data": {...}, "error": null}
    {"success": false, "data": null, "error": "Agent not found: bob", "code": "agent_not_found", "hint": "..."}

A failure has no structured content: its text is all that a model needs to do better.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from mcp_types import CallToolResult, TextContent

from tinytown.errors import TownError
from tinytown.text import term_safe
from tinytown.web.problems import problem_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.messages import JsonValue

log = logging.getLogger("townhall.mcp")


def success(value: JsonValue) -> CallToolResult:
    """The answer of a tool that did its work."""
    text = json.dumps({"success": True, "data": value, "error": None}, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        # A path may hold what is no text.
        text = text.encode("utf-8", "replace").decode()
        value = json.loads(text)["data"]
    return CallToolResult(content=[TextContent(text=text)], structured_content=value)


def failure(error: Exception, *, request_id: str, reveal: bool) -> CallToolResult:
    """The answer of a tool that did not. `reveal`: whoever asks sits at this machine and may read everything."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    problem = problem_of(error, request_id=request_id)
    message, hint = problem.detail, problem.hint
    if problem.status >= 500:
        log.error("request_id=%s %s", request_id, problem.code, exc_info=error)
        if reveal and isinstance(error, TownError):
            message, hint = term_safe(error.message), term_safe(error.hint)
    return refusal(message, problem.code, hint, problem.extra)


def refusal(message: str, code: str, hint: str = "", extra: Mapping[str, object] | None = None) -> CallToolResult:
    """The answer that says no."""
    said: dict[str, object] = {"success": False, "data": None, "error": message, "code": code}
    if hint:
        said["hint"] = hint
    if extra:
        said |= extra
    return CallToolResult(content=[TextContent(text=_text(said))], is_error=True)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode()
