"""Which logs an agent has."""

from __future__ import annotations

import os

import pytest
from runtime_parts import add

from tinytown.errors import AgentNotFound, Invalid, NotFound
from tinytown.runtime.operations.logs import Logs, find_logs
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync


def written(town: Town, name: str, *rounds: int) -> None:
    town.files.logs.mkdir(parents=True, exist_ok=True)
    town.files.agent_log(name).write_text("log\n")
    for number in rounds:
        town.files.round_log(name, number).write_text("output\n")


def test_an_agent_that_has_done_nothing_has_none(town: Town) -> None:
    add(town, "ada")

    found = run_sync(find_logs(town, Logs("ada")))

    assert (found.agent_name, found.files, found.rounds) == ("ada", (), ())


def test_its_log_and_the_latest_round_are_shown_and_no_other_agents(town: Town) -> None:
    ada = add(town, "ada")
    written(town, "ada", 1, 2, 10)
    written(town, "ada_round_x", 3)
    written(town, "bob", 11)

    found = run_sync(find_logs(town, Logs(ada.id[:8])))

    assert found.rounds == (1, 2, 10)
    assert found.files == (town.files.agent_log("ada"), town.files.round_log("ada", 10))


def test_the_latest_round_is_the_one_written_last_since_each_life_counts_its_rounds_anew(town: Town) -> None:
    add(town, "ada")
    written(town, "ada", 1, 2, 3)
    for number, seconds in ((1, 300), (2, 100), (3, 200)):
        os.utime(town.files.round_log("ada", number), (seconds, seconds))

    assert run_sync(find_logs(town, Logs("ada"))).files[-1] == town.files.round_log("ada", 1)


def test_one_round_can_be_asked_for(town: Town) -> None:
    add(town, "ada")
    written(town, "ada", 1, 2)

    assert run_sync(find_logs(town, Logs("ada", 1))).files == (town.files.round_log("ada", 1),)
    with pytest.raises(NotFound, match="no output of round 3") as caught:
        run_sync(find_logs(town, Logs("ada", 3)))
    assert "1, 2" in caught.value.hint
    with pytest.raises(Invalid):
        run_sync(find_logs(town, Logs("ada", 0)))


def test_the_logs_of_an_agent_that_is_gone_are_found_by_its_name(town: Town) -> None:
    written(town, "ada", 1)

    assert run_sync(find_logs(town, Logs("ada"))).agent_name == "ada"
    for name in ("nobody", "../ada", "runtime/../ada"):
        with pytest.raises(AgentNotFound):
            run_sync(find_logs(town, Logs(name)))
