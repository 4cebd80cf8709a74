"""A Chromium and a town, for the tests of the pages as people see them.

Playwright runs its own loop in the thread of the test, so these tests are plain functions, and none of them uses
trio. What they need is not there on every machine: then they are skipped and say what is missing, unless
REQUIRE_BROWSER=1 is set, as it is where the project is checked.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from scene import Scene, open_scene
from tabs import Tab, tab

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",
]


def missing(what: str) -> None:
    """Skip, or fail where a browser has to be there."""
    text = f"no page was tested: {what}"
    if os.environ.get("REQUIRE_BROWSER"):
        pytest.fail(text)
    pytest.skip(text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The Chromium of this machine."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("install playwright, the extra 'browser'")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        missing("install Chromium, on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def served(browser: Any) -> Iterator[Scene]:
    """A town with a townhall, for all tests of a file."""
    scene = open_scene()
    try:
        yield scene
    finally:
        scene.close()


@pytest.fixture
def scene(served: Scene) -> Scene:
    """The same, empty."""
    served.post("town/reset", force=True)
    return served


@pytest.fixture
def visit(browser: Any, scene: Scene) -> Iterator[Callable[..., Tab]]:
    """Opens tabs at the dashboard; see `tab`. When the test ends nothing may have gone wrong in any."""
    with ExitStack() as tabs:
        yield lambda **wanted: tabs.enter_context(tab(browser, scene, **wanted))
