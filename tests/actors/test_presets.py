"""The built-in CLIs can be run by a machine."""

from __future__ import annotations

import re

import pytest

from tinytown.actors.drivers.presets import PRESETS, CliPreset, root_refusal
from tinytown.actors.drivers.text import split_command


def test_the_clis_of_the_book_and_their_successors_are_known() -> None:
    assert list(PRESETS) == [
        *("claude", "auggie", "codex", "aider", "gemini", "copilot", "cursor"),
        *("agy", "opencode", "amp"),
    ]
    assert all(name == preset.name for name, preset in PRESETS.items())


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_every_command_can_be_split_and_every_pattern_compiled(preset: CliPreset) -> None:
    argv = split_command(preset.command, "/state/a b/prompt")
    assert "{" not in "".join(argv)
    assert (preset.command.count("{prompt_file}") == 1) == ("/state/a b/prompt" in " ".join(argv))
    for case in preset.unhealable:
        re.compile(case.text)
        assert case.text or case.codes


def test_codex_is_told_to_read_its_prompt_from_standard_input() -> None:
    assert split_command(PRESETS["codex"].command, "p")[-1] == "-"


def test_clis_that_read_no_standard_input_get_a_file() -> None:
    assert {name for name, preset in PRESETS.items() if "{prompt_file}" in preset.command} == {
        *("aider", "agy", "auggie"),
    }


def test_claude_as_root_is_refused_with_the_ways_out() -> None:
    refusal = root_refusal(PRESETS["claude"], {}, 0)
    assert refusal is not None
    assert "--dangerously-skip-permissions as root" in refusal
    assert "IS_SANDBOX=1" in refusal


@pytest.mark.parametrize(
    ("preset", "env", "uid"),
    [
        (PRESETS["claude"], {"IS_SANDBOX": "1"}, 0),
        (PRESETS["claude"], {}, 1000),
        (CliPreset("claude", "claude --print", refuses_root="--dangerously-skip-permissions"), {}, 0),
        (PRESETS["codex"], {}, 0),
    ],
)
def test_others_are_not_refused(preset: CliPreset, env: dict[str, str], uid: int) -> None:
    assert root_refusal(preset, env, uid) is None


def test_only_a_clear_yes_counts_as_a_sandbox() -> None:
    assert root_refusal(PRESETS["claude"], {"IS_SANDBOX": "0"}, 0) is not None
