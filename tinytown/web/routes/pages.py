"""The pages of townhall for a browser, and what belongs to them.

What must be true: a page holds nothing of the town, so anybody may have it, and whoever has it still needs a key;
nothing of it comes from elsewhere; and only these names are served, so no path can lead out of the directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import trio

from tinytown.web.routes.call import Answer
from tinytown.web.routes.endpoint import Special

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tinytown.web.routes.call import Call

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""The Content-Security-Policy of every page. What agents write never becomes markup: with the last two a browser
itself refuses to make elements of a text."""

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One file of the package, and what it is for."""

    file: str
    summary: str


PAGES: Mapping[str, Page] = {
    "/": Page("dashboard.html", "Show the town."),
    "/pages/dashboard.css": Page("dashboard.css", "Show the page of the town."),
    "/pages/dashboard.js": Page("dashboard.js", "Run the page of the town."),
    "/pages/agents.js": Page("agents.js", "Show the agents."),
    "/pages/api.js": Page("api.js", "Ask townhall."),
    "/pages/events.js": Page("events.js", "Show what happened."),
    "/pages/missions.js": Page("missions.js", "Show the missions."),
    "/pages/tasks.js": Page("tasks.js", "Show the tasks."),
    "/pages/inbox.js": Page("inbox.js", "Show what was written to the person."),
    "/pages/stream.js": Page("stream.js", "Follow what happens."),
    "/pages/text.js": Page("text.js", "Put texts on a page."),
    "/docs": Page("docs.html", "Show the API, and try it."),
    "/pages/base.css": Page("base.css", "Show what all pages share."),
    "/pages/docs.css": Page("docs.css", "Show the page of the API."),
    "/pages/docs.js": Page("docs.js", "Run the page of the API."),
    "/favicon.ico": Page("favicon.svg", "Show the sign of townhall."),
}
"""All that is served, by path."""


def pages() -> list[Special]:
    """The endpoints of all pages, with their files read."""
    return [
        Special("GET", path, "public", "townhall", page.summary, _respond(page.file), hidden=True, hot=True)
        for path, page in PAGES.items()
    ]


def _respond(name: str) -> Callable[[Call], Awaitable[Answer]]:
    body = files("tinytown.web").joinpath("pages", name).read_bytes()
    answer = Answer(
        200,
        body,
        _TYPES[name.rpartition(".")[2]],
        headers=(("content-security-policy", POLICY), ("cross-origin-opener-policy", "same-origin")),
    )

    async def respond(call: Call) -> Answer:
        await trio.lowlevel.checkpoint()
        return answer

    return respond
