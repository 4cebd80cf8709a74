"""Tokens of an issuer: only those that are signed by it, for us, and for now."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from halls import Visitors, open_townhall
from httpx2 import AsyncClient
from issuer import AUDIENCE, BAD, KINDS, Issuer, issuing
from trio.testing import MockClock

from tinytown.errors import InvalidConfig
from tinytown.runtime.caller import Scope
from tinytown.web.auth import oidc
from tinytown.web.auth.fetching import fetcher
from tinytown.web.auth.oidc import TokenCheck
from tinytown.web.context import Principal
from tinytown.web.refusals import Unauthenticated
from tinytown.web.settings import TownhallSettings, townhall_settings


async def test_fifty_bad_tokens_open_nothing_and_say_nothing(made: Path) -> None:
    visitors = Visitors()
    async with issuing() as issuer:
        settings = TownhallSettings(auth=issuer.settings())
        async with open_townhall(made, visitors, settings) as town:
            for what, make in BAD.items():
                async with town.bearer(make(issuer)) as client:
                    said = await client.get("/read")
                assert said.status_code == 401, what
                assert said.json()["detail"] in ("The token is not valid here", "Invalid credentials"), what
                assert 'error="invalid_token"' in said.headers["www-authenticate"]
            async with town.stranger() as client:
                assert (await client.get("/read")).status_code == 401
            assert (await town.client.get("/read")).status_code == 401, "the local token is no token of the issuer"
    assert len(BAD) >= 40
    assert visitors.seen == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_good_token_opens_what_its_scopes_say(made: Path, kind: str) -> None:
    visitors = Visitors()
    async with (
        issuing() as issuer,
        open_townhall(made, visitors, TownhallSettings(auth=issuer.settings())) as town,
        town.bearer(issuer.token(kind)) as client,
    ):
        statuses = [(await client.get(path)).status_code for path in ("/read", "/write", "/manage", "/admin")]
    assert statuses == [200, 200, 403, 403]
    assert {visit.principal for visit in visitors.seen} == {"oidc:ada"}


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "town.read"}, {Scope.READ}),
        ({"scope": None, "scp": ["town.read", "admin", 7]}, {Scope.READ, Scope.ADMIN}),
        ({"scope": None, "scp": "agent.manage"}, {Scope.MANAGE}),
        ({"scope": "town.read.all TOWN.WRITE"}, set()),
        ({"scope": None}, set()),
        ({"aud": ["other", AUDIENCE]}, {Scope.READ, Scope.WRITE}),
        ({"exp": -30}, {Scope.READ, Scope.WRITE}),
        ({"nbf": 30}, {Scope.READ, Scope.WRITE}),
    ],
)
async def test_scopes_are_those_of_the_token_and_clocks_may_differ_by_a_minute(
    claims: dict[str, object], scopes: set[Scope]
) -> None:
    # Times are seconds from now on.
    told = {name: int(time.time()) + value if isinstance(value, int) else value for name, value in claims.items()}
    async with checking() as (issuer, check):
        assert await check.check(issuer.token(**told)) == Principal("oidc:ada", "oidc", frozenset(scopes))


async def test_a_token_without_a_required_scope_is_refused() -> None:
    async with checking(required_scopes=("tinytown:access",)) as (issuer, check):
        with pytest.raises(Unauthenticated):
            await check.check(issuer.token())
        assert await check.check(issuer.token(scope="tinytown:access town.read"))


async def test_a_new_key_of_the_issuer_is_found_and_one_that_is_gone_ends(autojump_clock: MockClock) -> None:
    async with fetching() as (issuer, check, fetched):
        await check.check(issuer.token("rsa"))
        old = issuer.token("rsa")
        del issuer.keys["rsa"]
        issuer.make_key("ed2", "ed")
        rotated = issuer.token("ed2")
        with pytest.raises(Unauthenticated):
            await check.check(rotated)
        await trio.sleep(oidc.BETWEEN_FETCHES)

        assert await check.check(rotated)
        with pytest.raises(Unauthenticated):
            await check.check(old)
        assert len(fetched) == 2
        await trio.sleep(oidc.KEYS_SECONDS + 1)
        await check.check(rotated)
        assert len(fetched) == 3


async def test_unknown_kids_make_one_fetch_however_many_come(autojump_clock: MockClock) -> None:
    async with fetching() as (issuer, check, fetched):
        token = issuer.token("ed", head={"kid": "nobody's"})

        async def ask() -> None:
            with pytest.raises(Unauthenticated):
                await check.check(token)

        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(ask)
        assert len(fetched) == 1


async def test_an_issuer_that_is_down_locks_nobody_out_whose_key_is_known(autojump_clock: MockClock) -> None:
    async with fetching() as (issuer, check, _):
        token = issuer.token("ec")
        await check.check(token)
        issuer.broken = True
        await trio.sleep(oidc.KEYS_SECONDS + 1)
        assert await check.check(token)


async def test_an_answer_of_the_issuer_that_is_too_long_is_not_taken() -> None:
    async with checking() as (issuer, check):
        issuer.padding = 70_000
        with pytest.raises(Unauthenticated):
            await check.check(issuer.token())


async def test_an_issuer_that_calls_itself_otherwise_is_not_believed() -> None:
    async with issuing() as issuer, AsyncClient() as client:
        settings = replace(issuer.settings(), issuer=issuer.url.replace("127.0.0.1", "localhost"))
        check = TokenCheck(settings, fetcher(client))
        with pytest.raises(Unauthenticated):
            await check.check(issuer.token(iss=settings.issuer))


@asynccontextmanager
async def checking(**settings: Any) -> AsyncIterator[tuple[Issuer, TokenCheck]]:
    """A check that fetches over HTTP."""
    async with issuing() as issuer, AsyncClient() as client:
        yield issuer, TokenCheck(issuer.settings(**settings), fetcher(client))


@asynccontextmanager
async def fetching() -> AsyncIterator[tuple[Issuer, TokenCheck, list[str]]]:
    """A check whose issuer is in this process, for tests in which time jumps; and what it has fetched."""
    issuer = Issuer(url="https://issuer.example")
    for kind in KINDS:
        issuer.make_key(kind, kind)
    fetched: list[str] = []

    async def fetch(url: str) -> bytes:
        fetched.append(url)
        await trio.sleep(1)
        if issuer.broken:
            raise OSError("down")
        return json.dumps({"keys": [key.as_dict(private=False) for key in issuer.keys.values()]}).encode()

    yield issuer, TokenCheck(issuer.settings(jwks_url="https://issuer.example/keys"), fetch), fetched


@pytest.mark.parametrize("missing", ["issuer", "audience"])
def test_a_configuration_that_would_take_tokens_for_others_is_refused(missing: str) -> None:
    auth = {"mode": "oidc", "issuer": "https://issuer.example", "audience": "a"}
    del auth[missing]
    with pytest.raises(InvalidConfig, match="issuer and an audience"):
        townhall_settings({"auth": auth}, root=Path("/"))
