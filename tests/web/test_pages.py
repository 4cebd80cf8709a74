"""The pages for a browser: open to all, closed to everything from elsewhere."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

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
