"""The API of a town on a real socket, with its own routes behind the doors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halls import open_townhall
from httpx2 import AsyncClient, Response
from runtime_parts import added
from serving import Served

from tinytown.records import Agent
from tinytown.runtime.town import Town
from tinytown.web.hall import Hall
from tinytown.web.routes import TownRouter, make_router
from tinytown.web.settings import AuthSettings, RateSettings, TownhallSettings

FREE = TownhallSettings(rates=RateSettings(reads=100_000, writes=100_000))
"""Nobody is counted."""
OPEN = TownhallSettings(auth=AuthSettings(mode="none"), rates=RateSettings(reads=100_000, writes=100_000))


@dataclass
class Api:
    """A townhall that serves its routes."""

    hall: Hall
    router: TownRouter
    client: AsyncClient
    served: Served

    @property
    def town(self) -> Town:
        return self.hall.town

    async def get(self, path: str, status: int = 200, **query: Any) -> Any:
        """The JSON of a good answer."""
        return checked(await self.client.get(path, params=query), status)

    async def post(self, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        """The JSON of a good answer."""
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        found = await (
            self.client.post(path, headers=given) if body is None else self.client.post(path, json=body, headers=given)
        )
        return checked(found, status)

    async def add(self, name: str) -> Agent:
        """A new agent that no runtime holds."""
        return await added(self.town, name, cli="claude")


def checked(found: Response, status: int) -> Any:
    assert found.status_code == status, found.text
    kind = found.headers["content-type"]
    assert kind == ("application/json" if status < 400 else "application/problem+json")
    return found.json()


@asynccontextmanager
async def api(root: Path, settings: TownhallSettings = FREE) -> AsyncIterator[Api]:
    """The API of the town in `root`."""
    made: list[TownRouter] = []

    def make(hall: Hall) -> TownRouter:
        made.append(make_router(hall))
        return made[0]

    async with open_townhall(root, make, settings) as found:
        await made[0].start()
        yield Api(found.hall, made[0], found.client, found.served)
