"""A town with its hall and its doors on a real socket, and a router that notes who came through."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from httpx2 import AsyncClient
from serving import Answer, Served, answer, request, served

from tinytown.runtime.caller import Scope
from tinytown.runtime.opening import open_async
from tinytown.web.app import Router, make_app
from tinytown.web.asgi import AsgiScope, Receive, Send
from tinytown.web.context import Access, principal_of
from tinytown.web.hall import Hall, open_hall
from tinytown.web.settings import TownhallSettings

ROUTES: dict[str, Access] = {
    "/public": "public",
    "/read": Scope.READ,
    "/write": Scope.WRITE,
    "/manage": Scope.MANAGE,
    "/admin": Scope.ADMIN,
}


@dataclass
class Visit:
    """One request that came through the doors."""

    method: str
    path: str
    principal: str
    body: bytes


@dataclass
class Visitors:
    """A router with one route for each scope, that tells the town what it was asked."""

    seen: list[Visit] = field(default_factory=list)

    def access(self, method: str, path: str) -> Access:
        return ROUTES.get(path, "known")

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        message = await receive() if scope["method"] in ("POST", "PUT", "PATCH", "DELETE") else {"body": b""}
        self.seen.append(Visit(scope["method"], scope["path"], principal_of(scope).id, message["body"]))
        status = 200 if scope["path"] in ROUTES else 404
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})


@dataclass
class Open:
    """A townhall that is open. `client` shows the local token; `url` is where it is."""

    hall: Hall
    served: Served
    client: AsyncClient
    token: str
    url: str

    def stranger(self, **headers: str) -> AsyncClient:
        """A client that shows what it is given, and nothing else."""
        return AsyncClient(
            verify=False, base_url=self.url, headers={name.replace("_", "-"): text for name, text in headers.items()}
        )

    async def raw(self, path: str, *lines: str, method: str = "GET", body: bytes = b"") -> Answer:
        """One request with these lines in its head, as they are."""
        async with await self.served.connect() as stream:
            await stream.send_all(request(path, method, body, *lines))
            return await answer(stream)

    def bearer(self, key: str) -> AsyncClient:
        """A client that shows this key."""
        return self.stranger(authorization=f"Bearer {key}")


@asynccontextmanager
async def open_townhall(
    root: Path, router: Router | Callable[[Hall], Router], settings: TownhallSettings | None = None
) -> AsyncIterator[Open]:
    """The townhall of the town in `root`, in this process, for the time of the block."""
    async with open_async(root, environ=os.environ) as town, open_hall(town, settings or TownhallSettings()) as hall:
        made = router if hasattr(router, "access") else router(hall)  # type: ignore[call-arg, arg-type]
        async with served(make_app(hall, made)) as server:  # type: ignore[arg-type]
            url = f"http://127.0.0.1:{server.port}"
            token = (town.ground.state.directory / "townhall.token").read_text().strip()
            async with AsyncClient(verify=False, base_url=url, headers={"authorization": f"Bearer {token}"}) as client:
                yield Open(hall, server, client, token, url)
            hall.stopping.set()
