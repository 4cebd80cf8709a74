"""The table of routes and scopes, cell by cell: what opens with one scope and nothing else, on a living townhall."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from api import api

from tinytown.runtime.caller import Scope
from tinytown.runtime.operations.api_keys import MakeKey, make_key
from tinytown.runtime.operations.saving import Restore, Save, restore, save

DOCS = Path(__file__).parent.parent.parent / "docs"
ROW = re.compile(r"\| (GET|POST|PUT|PATCH|DELETE) \| `([^`]+)` \| (?:`([a-z.]+)`|nobody's) \|", re.MULTILINE)


def table() -> list[tuple[str, str, str]]:
    """Method, path and scope of each row of the page."""
    return ROW.findall((DOCS / "openapi" / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("held", [None, *Scope], ids=str)
async def test_each_route_opens_with_the_scope_that_the_page_names_and_with_no_other(
    made: Path, held: Scope | None
) -> None:
    rows = table()
    assert len(rows) > 50
    async with api(made) as town:
        found = await make_key(town.town, MakeKey(scopes=() if held is None else (held,), days=None))
        headers = {"authorization": f"Bearer {found.key}"}
        for method, path, scope in rows:
            # What is asked for is not there or is nothing at all: only the door matters.
            asked = re.sub(r"\{[a-z_]+\}", "zzzz", path)
            given = {"json": {}} if method != "GET" else {}
            async with town.client.stream(method, asked, headers=headers, **given) as said:
                opens = not scope or held is Scope.ADMIN or held == scope
                assert (said.status_code == 403) is (not opens), (method, path, said.status_code)
                assert said.status_code != 401


async def test_keys_outlive_a_restore(made: Path) -> None:
    async with api(made) as town:
        found = await make_key(town.town, MakeKey(scopes=(Scope.READ,), days=None))
        await save(town.town, Save())
        await restore(town.town, Restore(force=True))
        said = await town.client.get("/v1/status", headers={"authorization": f"Bearer {found.key}"})
        assert said.status_code == 200
