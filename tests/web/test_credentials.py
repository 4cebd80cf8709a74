"""The local token and API keys: what opens which door, and for how long."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import process_time

import pytest
import trio
from halls import ROUTES, Open, Visitors, open_townhall

from tinytown.runtime.api_key import generate, new_key
from tinytown.runtime.caller import EVERYTHING, Scope
from tinytown.runtime.opening import open_async
from tinytown.runtime.operations.api_keys import ListKeys, MadeKey, MakeKey, RevokeKey, list_keys, make_key, revoke_key
from tinytown.web.settings import AuthSettings, RateSettings, TownhallSettings, townhall_settings

SCOPED = {path: scope for path, scope in ROUTES.items() if isinstance(scope, Scope)}


async def made_key(town: Open, *scopes: Scope, days: float | None = None) -> MadeKey:
    return await make_key(town.hall.town, MakeKey(scopes=scopes, days=days))


async def test_without_a_credential_only_public_routes_answer(made: Path) -> None:
    visitors = Visitors()
    async with open_townhall(made, visitors) as town, town.stranger() as client:
        for path in (*SCOPED, "/nowhere"):
            said = await client.get(path)
            assert said.status_code == 401
            assert said.headers["www-authenticate"] == "Bearer"
            assert said.json()["code"] == "unauthenticated"
        assert (await client.get("/public")).status_code == 200
    assert [visit.path for visit in visitors.seen] == ["/public"]


async def test_the_local_token_is_the_users_alone_and_opens_everything(made: Path) -> None:
    async with open_townhall(made, Visitors()) as town:
        path = town.hall.town.ground.state.directory / "townhall.token"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert {(await town.client.post(path)).status_code for path in SCOPED} == {200}
        assert (await town.client.get("/nowhere")).status_code == 404


async def test_a_town_from_before_there_were_tokens_gets_one(made: Path) -> None:
    async with open_async(made, environ=os.environ) as town:
        (town.ground.state.directory / "townhall.token").unlink()
    async with open_townhall(made, Visitors()) as town:
        assert (await town.client.get("/read")).status_code == 200


@pytest.mark.parametrize("held", [(), *((scope,) for scope in Scope), (Scope.READ, Scope.WRITE)])
async def test_a_key_opens_exactly_the_routes_of_its_scopes(made: Path, held: tuple[Scope, ...]) -> None:
    visitors = Visitors()
    async with open_townhall(made, visitors) as town, town.bearer((await made_key(town, *held)).key) as client:
        for path, scope in SCOPED.items():
            for method in ("GET", "POST", "DELETE"):
                said = await client.request(method, path)
                allowed = scope in held or Scope.ADMIN in held
                assert said.status_code == (200 if allowed else 403), (method, path)
    assert {visit.path for visit in visitors.seen} == {
        path for path, scope in SCOPED.items() if scope in held or Scope.ADMIN in held
    }


async def test_a_key_is_taken_as_bearer_first_and_else_from_its_own_header(made: Path) -> None:
    async with open_townhall(made, Visitors()) as town:
        key = (await made_key(town, Scope.READ)).key
        wrong = new_key()
        for lines, status in (
            ([f"X-API-Key: {key}"], 200),
            ([f"Authorization: bearer   {key} "], 200),
            ([f"Authorization: Bearer {key}", f"X-API-Key: {wrong}"], 200),
            ([f"Authorization: Bearer {wrong}", f"X-API-Key: {key}"], 401),
            ([f"Authorization: Basic {key}", f"X-API-Key: {key}"], 401),
            (["Authorization: Bearer"], 401),
            (["Authorization: Bearer ünïcode"], 401),
            (["Authorization: Bearer " + "x" * 9000], 401),
            (["X-API-Key:"], 401),
            ([f"Authorization: Bearer {key}", f"Authorization: Bearer {wrong}"], 400),
            ([f"X-API-Key: {key}", f"X-API-Key: {key}"], 400),
        ):
            assert (await town.raw("/read", *lines)).status == status, lines


async def test_a_revoked_key_opens_nothing_from_that_moment_on(made: Path) -> None:
    async with open_townhall(made, Visitors()) as town:
        key = await made_key(town, Scope.READ)
        async with town.bearer(key.key) as client:
            assert [(await client.get("/read")).status_code for _ in range(3)] == [200, 200, 200]
            await revoke_key(town.hall.town, RevokeKey(key.stored.id))
            assert (await client.get("/read")).status_code == 401


async def test_less_scopes_count_from_that_moment_on(made: Path) -> None:
    async with open_townhall(made, Visitors()) as town:
        key = await made_key(town, Scope.READ)
        async with town.bearer(key.key) as client:
            assert (await client.get("/read")).status_code == 200
            name, keys = town.hall.town.keys("api_keys"), town.hall.town.connection
            record = json.loads(await keys.execute("HGET", name, key.stored.id))  # type: ignore[arg-type]
            await keys.execute("HSET", name, key.stored.id, json.dumps({**record, "scopes": ["future.scope"]}))
            assert (await client.get("/read")).status_code == 403


async def test_a_key_whose_days_are_over_opens_nothing(made: Path) -> None:
    async with open_townhall(made, Visitors()) as town:
        key = await made_key(town, Scope.READ, days=1e-9)
        alive = await made_key(town, Scope.READ, days=1)
        async with town.bearer(key.key) as client:
            assert (await client.get("/read")).status_code == 401
        async with town.bearer(alive.key) as client:
            assert (await client.get("/read")).status_code == 200


async def test_a_key_that_was_used_says_when_and_holds_no_secret(made: Path) -> None:
    async with open_townhall(made, Visitors()) as town:
        used, idle = await made_key(town, Scope.READ), await made_key(town)
        async with town.bearer(used.key) as client:
            await client.get("/read")
        found = {key.id: key for key in (await list_keys(town.hall.town, ListKeys())).keys}
        stored = await town.hall.town.connection.execute("HGETALL", town.hall.town.keys("api_keys"))

    assert found[used.stored.id].used_at is not None
    assert found[idle.stored.id].used_at is None
    assert used.key.removeprefix("tt_")[8:] not in str(stored)
    assert used.key not in repr(used)
    assert "argon2" not in repr(found)


@pytest.mark.parametrize("scopes", [None, ["town.read"], []])
async def test_the_key_of_the_configuration_has_the_scopes_that_stand_there(
    made: Path, scopes: list[str] | None
) -> None:
    key = generate()
    table = {"mode": "api_key", "api_key_hash": key.hash, **({} if scopes is None else {"api_key_scopes": scopes})}
    settings = townhall_settings({"auth": table}, root=made)  # type: ignore[dict-item]
    async with open_townhall(made, Visitors(), settings) as town:
        kept = await made_key(town, Scope.READ)
        async with town.bearer(key.key) as client:
            statuses = [(await client.get(path)).status_code for path in SCOPED]
        async with town.bearer(kept.key) as client:
            assert (await client.get("/read")).status_code == 200, "keys of the town are good, too"
        async with town.bearer(new_key()) as client:
            assert (await client.get("/read")).status_code == 401
    # The book's own example leaves the scopes out and goes on to use the key; an empty list grants nothing.
    assert (
        statuses
        == {None: [200, 200, 200, 403], 1: [200, 403, 403, 403], 0: [403] * 4}[None if scopes is None else len(scopes)]
    )


async def test_the_hash_of_the_configuration_counts_only_where_the_mode_says_so(made: Path) -> None:
    key = generate()
    settings = TownhallSettings(auth=AuthSettings("token", key.hash, EVERYTHING))
    async with open_townhall(made, Visitors(), settings) as town, town.bearer(key.key) as client:
        assert (await client.get("/read")).status_code == 401


async def test_failed_logins_end_and_shut_out_nobody_else(made: Path) -> None:
    visitors = Visitors()
    settings = TownhallSettings(rates=RateSettings(failed_logins=3))
    async with open_townhall(made, visitors, settings) as town:
        key, other = await made_key(town, Scope.READ), await made_key(town, Scope.READ)
        async with town.stranger() as client:
            sprayed = [(await client.get("/read", headers={"x-api-key": new_key()})).status_code for _ in range(5)]
            guess = key.key[:-4] + "0000"
            guessed = [(await client.get("/read", headers={"x-api-key": guess})) for _ in range(5)]
            good = await client.get("/read", headers={"x-api-key": other.key})

        assert sprayed == [401, 401, 401, 429, 429]
        assert [said.status_code for said in guessed] == [401, 401, 401, 429, 429]
        assert 1 <= int(guessed[-1].headers["retry-after"]) <= 20
        assert good.status_code == 200
        assert (await town.client.get("/read")).status_code == 200


async def test_an_unknown_id_takes_as_long_as_a_wrong_secret(made: Path) -> None:
    settings = TownhallSettings(rates=RateSettings(failed_logins=10_000))
    async with open_townhall(made, Visitors(), settings) as town, town.stranger() as client:
        key = (await made_key(town, Scope.READ)).key
        times: dict[str, list[float]] = {"known": [], "unknown": []}
        for _ in range(8):
            for kind, shown in (("known", key[:-4] + "0000"), ("unknown", new_key())):
                # The time of this process, not that of a clock: whatever else the machine does.
                began = process_time()
                assert (await client.get("/read", headers={"x-api-key": shown})).status_code == 401
                times[kind].append(process_time() - began)

    # One Argon2 each: without it the answer would cost a tenth.
    assert median(times["unknown"]) > 0.5 * median(times["known"])
    assert median(times["known"]) > 0.5 * median(times["unknown"])


async def test_a_crowd_of_wrong_keys_is_held_off_and_a_known_client_goes_on(made: Path) -> None:
    settings = TownhallSettings(rates=RateSettings(reads=100_000, failed_logins=10_000))
    statuses: list[int] = []
    async with open_townhall(made, Visitors(), settings) as town:
        key = (await made_key(town, Scope.READ)).key
        async with town.bearer(key) as good:
            assert (await good.get("/read")).status_code == 200
            async with trio.open_nursery() as nursery:

                async def attack() -> None:
                    statuses.append((await town.raw("/read", f"X-API-Key: {new_key()}")).status)

                for _ in range(60):
                    nursery.start_soon(attack)
                for _ in range(50):
                    assert (await good.get("/read")).status_code == 200

    assert set(statuses) == {401, 429}


async def test_authentication_that_is_switched_off_lets_everybody_in(made: Path) -> None:
    settings = replace(TownhallSettings(), auth=AuthSettings(mode="none"))
    async with open_townhall(made, Visitors(), settings) as town, town.stranger() as client:
        assert {(await client.post(path)).status_code for path in SCOPED} == {200}
