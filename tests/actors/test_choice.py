"""Which CLI a name means."""

from __future__ import annotations

import pytest

from tinytown.actors.drivers.choice import known_clis, resolve_cli
from tinytown.actors.drivers.presets import PRESETS
from tinytown.config import AgentCli, Settings
from tinytown.errors import UnknownCli


def settings(**own: AgentCli) -> Settings:
    return Settings(name="test", agent_clis=own)


def test_a_built_in_cli_is_what_its_preset_says() -> None:
    assert resolve_cli(settings(), "claude") == PRESETS["claude"]


def test_a_cli_of_the_configuration_needs_only_a_command() -> None:
    own = AgentCli("mine", command="mine --now", workdir="sub", env={"A": "b"}, env_pass=("TOKEN",))

    found = resolve_cli(settings(mine=own), "mine")

    assert (found.name, found.command, found.workdir) == ("mine", "mine --now", "sub")
    assert found.env["A"] == "b"
    assert "TOKEN" in found.env_pass


def test_a_table_without_a_command_changes_only_what_it_says_about_a_built_in_cli() -> None:
    preset = PRESETS["claude"]

    found = resolve_cli(settings(claude=AgentCli("claude", env={"EXTRA": "1"}, env_pass=("X",))), "claude")

    assert found.command == preset.command
    assert found.env == {**preset.env, "EXTRA": "1"}
    assert found.env_pass == (*preset.env_pass, "X")
    assert found.unhealable == preset.unhealable


def test_a_command_of_the_configuration_goes_before_the_built_in_one() -> None:
    own = AgentCli("claude", command="wrapper claude")

    assert resolve_cli(settings(claude=own), "claude").command == "wrapper claude"


@pytest.mark.parametrize("own", [None, AgentCli("clod", env={"A": "b"})])
def test_an_unknown_cli_is_refused_with_the_names_there_are(own: AgentCli | None) -> None:
    given = settings(mine=AgentCli("mine", command="mine"), **({"clod": own} if own else {}))

    with pytest.raises(UnknownCli, match="Unknown agent CLI 'clod'") as caught:
        resolve_cli(given, "clod")

    assert "claude" in caught.value.hint
    assert "mine" in caught.value.hint
    assert "[agent_clis.<name>]" in caught.value.hint


def test_a_name_with_control_characters_does_not_reach_the_terminal_raw() -> None:
    with pytest.raises(UnknownCli) as caught:
        resolve_cli(settings(), "\x1b[31mred" + "x" * 100)

    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 100


def test_the_known_ones_are_listed_in_order_and_only_if_they_can_be_run() -> None:
    given = settings(zeta=AgentCli("zeta", command="z"), empty=AgentCli("empty"), claude=AgentCli("claude"))

    assert known_clis(given) == sorted({*PRESETS, "zeta"})
