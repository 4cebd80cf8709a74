"""A town is open only when Redis holds this very town; and who asks is known."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from runtime_parts import add, credential_of
from servers import RunningServer, valkey_server

from tinytown.errors import (
    Forbidden,
    NotInitialized,
    RedisRefused,
    RedisUnreachable,
    TownDataLost,
    TownNameTaken,
)
from tinytown.ids import SUPERVISOR_ID, new_id
from tinytown.runtime.caller import PERSON, Scope
from tinytown.runtime.opening import open_async, open_blocking
from tinytown.runtime.operations.initialize import InitRequest, initialize
from tinytown.runtime.town import Town


def open_and_close(start: Path, **environ: str) -> None:
    with open_blocking(start, environ={**os.environ, **environ}):
        pass


def test_a_person_opens_the_town_from_any_directory_below_it(made: Path) -> None:
    below = made / "src" / "deep"
    below.mkdir(parents=True)
    with open_blocking(below, environ=os.environ) as town:
        assert (town.name, town.root, town.caller) == ("demo", made.resolve(), PERSON)


async def test_it_opens_under_trio_too(made: Path) -> None:
    async with open_async(made, environ=os.environ) as town:
        assert await town.list_agents() == []


async def test_what_the_block_raises_comes_out_in_no_group(made: Path) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with open_async(made, environ=os.environ):
            raise KeyError("mine")


def test_without_a_town_it_says_so(project: Path) -> None:
    with pytest.raises(NotInitialized, match="Run 'tt init' first"):
        open_and_close(project)


def test_a_town_whose_init_was_broken_off_is_none_yet(made: Path, town: Town) -> None:
    (town.ground.state.directory / "incarnation").unlink()
    with pytest.raises(NotInitialized):
        open_and_close(made)


def test_deleted_data_is_reported_and_never_an_empty_town(made: Path, server: RunningServer) -> None:
    server.flush()
    with pytest.raises(TownDataLost, match="its data was deleted or lost") as caught:
        open_and_close(made)
    assert "tt init --fresh" in caught.value.hint


def test_a_lost_town_can_be_begun_anew_on_demand(made: Path, server: RunningServer) -> None:
    server.flush()
    initialize(InitRequest(made, fresh=True), environ=os.environ)
    open_and_close(made)


def test_data_of_another_life_is_reported(made: Path, town: Town, server: RunningServer) -> None:
    server.command("SET", town.keys("incarnation"), new_id())
    with pytest.raises(TownDataLost, match="begun anew or restored elsewhere") as caught:
        open_and_close(made)
    assert "tt init --join" in caught.value.hint
    initialize(InitRequest(made, join=True), environ=os.environ)
    open_and_close(made)


def test_data_of_another_town_of_this_name_is_reported(made: Path, town: Town, server: RunningServer) -> None:
    server.command("SET", town.keys("town_id"), new_id())
    with pytest.raises(TownNameTaken, match="another town that is called 'demo'"):
        open_and_close(made)


def test_a_changed_name_is_told_from_lost_data(made: Path) -> None:
    config = made / "tinytown.toml"
    config.write_text(config.read_text().replace('name = "demo"', 'name = "other"', 1))
    with pytest.raises(TownDataLost, match="called 'demo' in Redis, and 'other'") as caught:
        open_and_close(made)
    assert 'name = "demo"' in caught.value.hint


def test_an_external_server_that_does_not_answer_is_named_without_its_password(made: Path) -> None:
    with pytest.raises(RedisUnreachable) as caught:
        open_and_close(made, REDIS_URL="redis://someone:hidden@127.0.0.1:1/0")
    assert "127.0.0.1:1" in caught.value.message
    assert "hidden" not in f"{caught.value.message}{caught.value.hint}"


def test_an_external_server_that_evicts_is_refused(made: Path) -> None:
    with (
        valkey_server("maxmemory-policy allkeys-lru") as evicting,
        pytest.raises(RedisRefused, match="allkeys-lru"),
    ):
        open_and_close(made, REDIS_URL=f"unix://{evicting.socket_path}")


def test_an_agent_is_known_by_its_credential_and_may_only_read(made: Path, town: Town) -> None:
    ada = add(town, "ada")
    with open_blocking(made, environ=credential_of(town, ada.id)) as hers:
        assert (hers.caller.kind, hers.caller.agent_id, hers.caller.name) == ("agent", ada.id, "ada")
        assert hers.caller.scopes == {Scope.READ}
        assert hers.caller.is_worker


def test_the_conductor_may_do_all_but_administer(made: Path, town: Town) -> None:
    with open_blocking(made, environ=credential_of(town, SUPERVISOR_ID)) as his:
        assert his.caller.scopes == set(Scope) - {Scope.ADMIN}
        assert not his.caller.is_worker


@pytest.mark.parametrize(
    "change",
    [
        {"TINYTOWN_AGENT_TOKEN": "another"},
        {"TINYTOWN_AGENT_TOKEN": ""},
        {"TINYTOWN_AGENT_ID": ""},
        {"TINYTOWN_AGENT_ID": "not an id"},
        {"TINYTOWN_AGENT_ID": new_id()},
        {"TINYTOWN_TOWN_ID": new_id()},
        {"TINYTOWN_AGENT_TOKEN": "not \udcff UTF-8"},
    ],
)
def test_a_credential_that_does_not_fit_opens_nothing(made: Path, town: Town, change: dict[str, str]) -> None:
    environ = credential_of(town, add(town, "ada").id)
    with pytest.raises(Forbidden) as caught, open_blocking(made, environ={**environ, **change}):
        pass
    assert "a secret" not in caught.value.message
    assert caught.value.hint


async def test_a_credential_that_does_not_fit_opens_nothing_under_trio(made: Path) -> None:
    environ = {**os.environ, "TINYTOWN_AGENT_ID": new_id(), "TINYTOWN_AGENT_TOKEN": "made up"}
    with pytest.raises(Forbidden):
        async with open_async(made, environ=environ):
            pass


@pytest.fixture
def managed(user: Path) -> Path:
    """The directory of a town with a server of its own, which the test may kill."""
    project = user / "project"
    initialize(InitRequest(project, "own"), environ=os.environ)
    return project


def stop_server(project: Path) -> None:
    from tinytown.runtime.ground import survey

    server = survey(project, environ=os.environ).server
    assert server is not None
    server.stop()


def test_our_own_server_is_started_when_it_does_not_run(managed: Path) -> None:
    try:
        with open_blocking(managed, environ=os.environ) as town:
            add(town, "ada")
        stop_server(managed)
        with open_blocking(managed, environ=os.environ) as town:
            from tinytown.transport.blocking import run_sync

            assert [agent.name for agent in run_sync(town.store.agents())] == ["ada"]
    finally:
        stop_server(managed)


async def test_our_own_server_is_started_under_trio_too(managed: Path) -> None:
    import trio

    try:
        await trio.to_thread.run_sync(stop_server, managed)
        async with open_async(managed, environ=os.environ, grouped=True) as town:
            assert await town.list_agents() == []
    finally:
        stop_server(managed)


def test_opening_a_town_imports_neither_trio_nor_asyncio(made: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from tinytown.runtime.opening import open_blocking\n"
        "import tinytown.runtime.operations.status, tinytown.runtime.operations.messages\n"
        "with open_blocking(Path('.'), environ=os.environ): pass\n"
        "slow = ('trio', 'asyncio', 'redis', 'pydantic', 'rich', 'subprocess')\n"
        "print([name for name in slow if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=made, capture_output=True, text=True, check=False)
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")
