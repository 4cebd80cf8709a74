"""The pages for a browser: open to all, closed to everything from elsewhere."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import pytest
import trio
from api import api
from httpx2 import AsyncClient

from tinytown.web.routes.pages import PAGES, POLICY

SOURCES = {entry.name: entry.read_text(encoding="utf-8") for entry in files("tinytown.web").joinpath("pages").iterdir()}
_OWN_NAMES = {"http://www.w3.org/2000/svg"}
"""The name of a namespace: nothing is fetched from there."""


def test_every_file_of_the_package_is_served_and_every_page_has_its_file() -> None:
    assert {page.file for page in PAGES.values()} == SOURCES.keys()


def test_no_file_asks_for_anything_from_elsewhere() -> None:
    for name, text in SOURCES.items():
        found = set(re.findall(r"(?:https?:|wss?:)?//[\w.-]+\.[\w/.-]+", text)) - _OWN_NAMES
        assert found == set(), name
        for target in re.findall(r"(?:src|href)=\"([^\"]*)\"", text):
            assert target in PAGES or target in ("/", "/openapi.json"), f"{name}: {target}"


def test_no_file_has_code_or_style_where_the_policy_forbids_it() -> None:
    for name, text in SOURCES.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            name
        )
        if name.endswith(".html"):
            assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text), name
            assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text)), name


async def test_pages_are_open_to_all_and_allow_nothing_from_elsewhere(made: Path) -> None:
    async with api(made) as town, AsyncClient(base_url=town.client.base_url) as anybody:
        for path, page in PAGES.items():
            answer = await anybody.get(path)
            assert answer.status_code == 200, path
            assert answer.text == SOURCES[page.file]
            headers = answer.headers
            assert headers["content-security-policy"] == POLICY
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "no-referrer"
            kind = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
            assert headers["content-type"].partition(";")[0] == kind[Path(page.file).suffix]
            head = await anybody.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert (await anybody.post(path, json={})).status_code in (401, 405)

        foreign = await anybody.get("/docs", headers={"origin": "https://elsewhere.example"})
        assert foreign.status_code == 403
        embedded = await anybody.get("/pages/docs.js", headers={"sec-fetch-site": "cross-site"})
        assert embedded.status_code == 403


async def test_no_other_file_can_be_reached(made: Path) -> None:
    async with api(made) as town:
        for path in (
            "/pages/",
            "/pages/docs.html",
            "/pages/../routes/pages.py",
            "/pages/%2e%2e/app.py",
            "/pages/..%2fapp.py",
            "/pages/..\\app.py",
            "/docs/",
            "/docs/../pages/docs.js",
        ):
            answer = await town.client.get(path)
            assert answer.status_code in (200, 400, 404), path
            assert answer.status_code != 200 or answer.text == SOURCES["docs.js"], path


def test_policy_allows_nothing_inline() -> None:
    assert "unsafe" not in POLICY
    assert "*" not in POLICY


_FOLLOW = """
const [stream, url, token] = process.argv.slice(2);
const { Stream } = await import(stream);
const say = (what) => console.log(JSON.stringify(what));
const follower = new Stream({
  url, token,
  heard: (event) => {
    say(["heard", event.type, JSON.parse(event.data).detail]);
    // Break the first connection in the middle: the second takes up behind this event.
    if (event.type === "backlog.added") follower.control.abort();
    if (event.type === "agent.spawned") follower.close();
  },
  opened: () => say(["opened", follower.last !== ""]),
  lost: () => { say(["lost"]); },
  refused: (response) => say(["refused", response.status]),
});
process.stdin.on("data", () => follower.wake());
await follower.run();
process.stdin.destroy();
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
async def test_the_page_follows_events_and_comes_back_where_it_was_cut(made: Path, tmp_path: Path) -> None:
    (tmp_path / "stream.mjs").write_text(SOURCES["stream.js"])
    (tmp_path / "follow.mjs").write_text(_FOLLOW)
    async with api(made) as town:
        command = ["node", "follow.mjs", "./stream.mjs", str(town.client.base_url.join("/v1/events"))]
        token = town.client.headers["authorization"].removeprefix("Bearer ")
        refused = await trio.run_process([*command, "wrong"], cwd=tmp_path, capture_stdout=True)
        assert json.loads(refused.stdout) == ["refused", 401]

        said = []
        async with trio.open_nursery() as nursery:
            process = await nursery.start(
                lambda task_status: trio.run_process(
                    [*command, token],
                    cwd=tmp_path,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    task_status=task_status,
                )
            )
            left = b""
            async for part in process.stdout:
                *lines, left = (left + part).split(b"\n")
                for line in map(json.loads, lines):
                    said.append(line)
                    if line == ["opened", False]:
                        await town.post("/v1/backlog", {"description": "later\n\nid: 7"}, 201)
                    if line == ["lost"]:
                        await town.add("ada")
                        # Whoever waited long enough has come back by itself, and may be at its end.
                        with suppress(trio.BrokenResourceError):
                            await process.stdin.send_all(b"now\n")
        assert [line[0:2] for line in said] == [
            ["opened", False],
            ["heard", "backlog.added"],
            ["lost"],
            ["opened", True],
            ["heard", "agent.spawned"],
        ]
