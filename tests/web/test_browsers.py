"""What a web page can make a browser send here reaches no handler, even where nobody has to show a credential."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from halls import Visitors, open_townhall
from serving import answer

from tinytown.web.doors.names import bare_host
from tinytown.web.settings import AuthSettings, RateSettings, TownhallSettings

OPEN = TownhallSettings(
    auth=AuthSettings(mode="none"),
    rates=RateSettings(10_000, 10_000),
    hosts=("town.example",),
    origins=("https://desk.example",),
)

GOOD_HOSTS = ("localhost:{port}", "127.0.0.1:{port}", "LOCALHOST", "[::1]:{port}", "town.example", "town.example.:80")
BAD_HOSTS = (
    "evil.example", "localhost.evil.example", "127.0.0.1.nip.example:{port}", "evil.example:{port}", "0.0.0.0:{port}",
    "10.0.0.1", "localhost@evil.example", "xn--lcalhost-0za:{port}", "town.example.evil.example", "",
)  # fmt: skip
GOOD_ORIGINS = (None, "http://{host}", "https://desk.example")
BAD_ORIGINS = (
    "null", "http://evil.example", "https://{host}", "http://localhost:1", "http://{host}.evil.example",
    "https://desk.example:444", "http://desk.example", "file://", "",
)  # fmt: skip
METHODS = ("GET", "POST", "DELETE", "OPTIONS")
TYPES = ("application/json", "text/plain", "application/x-www-form-urlencoded")


async def test_only_known_names_and_known_pages_reach_a_handler(made: Path) -> None:
    visitors = Visitors()
    tried = 0
    async with open_townhall(made, visitors, OPEN) as town:
        stream = await town.served.connect()
        for host, origin, method, kind in product(GOOD_HOSTS + BAD_HOSTS, GOOD_ORIGINS + BAD_ORIGINS, METHODS, TYPES):
            if method in ("GET", "OPTIONS") and kind != TYPES[0]:
                continue
            name = host.format(port=town.served.port)
            page = None if origin is None else origin.format(host=name.lower())
            allowed = host in GOOD_HOSTS and origin in GOOD_ORIGINS
            visitors.seen.clear()
            lines = [f"{method} /write HTTP/1.1", f"Host: {name}"]
            lines += [] if page is None else [f"Origin: {page}"]
            body = b"{}" if method in ("POST", "DELETE") else b""
            lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"] if body else []
            await stream.send_all("\r\n".join([*lines, "", ""]).encode() + body)
            said = await answer(stream)
            expected = (200 if kind == TYPES[0] else 415) if allowed else 403
            assert (said.status, bool(visitors.seen)) == (expected, expected == 200), (lines, said)
            foreign = allowed and origin == "https://desk.example"
            assert said.headers.get("access-control-allow-origin") == ("https://desk.example" if foreign else None)
            tried += 1
            if said.headers.get("connection") == "close":
                await stream.aclose()
                stream = await town.served.connect()
        await stream.aclose()
    assert tried > 400


async def test_a_page_of_an_allowed_origin_learns_what_it_may_send(made: Path) -> None:
    visitors = Visitors()
    async with open_townhall(made, visitors, OPEN) as town:
        wanted = {"origin": "https://desk.example", "access-control-request-method": "POST"}
        said = await town.client.options("/write", headers=wanted)
        refused = await town.client.options("/write", headers={**wanted, "origin": "https://evil.example"})

    assert said.status_code == 204
    assert said.headers["access-control-allow-origin"] == "https://desk.example"
    assert "authorization" in said.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in said.headers
    assert refused.status_code == 403
    assert not [name for name in refused.headers if name.startswith("access-control")]
    assert not visitors.seen


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("mode", ["no-cors", "cors", "navigate"])
async def test_another_site_may_link_to_townhall_and_not_embed_it(made: Path, site: str, mode: str) -> None:
    async with open_townhall(made, Visitors(), OPEN) as town:
        said = await town.client.get("/read", headers={"sec-fetch-site": site, "sec-fetch-mode": mode})

    assert said.status_code == (200 if mode == "navigate" else 403)


async def test_every_answer_tells_browsers_to_guess_and_keep_nothing(made: Path) -> None:
    async with open_townhall(made, Visitors(), OPEN) as town:
        for said in (await town.client.get("/read"), await town.client.get("/read", headers={"host": "evil.example"})):
            assert said.headers["x-content-type-options"] == "nosniff"
            assert said.headers["cache-control"] == "no-store"
            assert said.headers["x-frame-options"] == "DENY"
            assert len(said.headers["x-request-id"]) == 16


@pytest.mark.parametrize(
    ("host", "bare"),
    [
        ("localhost", "localhost"), ("LocalHost:8787", "localhost"), ("a.example.", "a.example"),
        ("[::1]:8787", "::1"), ("[::1]", "::1"), ("::1", "::1"), ("a:b:1", "a:b:1"), ("a:", "a:"), ("", ""),
    ],
)  # fmt: skip
def test_a_host_is_compared_without_port_and_brackets(host: str, bare: str) -> None:
    assert bare_host(host) == bare
