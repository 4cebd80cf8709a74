"""Rounds of a CLI that reads a prompt and prints an answer."""

from __future__ import annotations

import json
import os
import shlex
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from tinytown.actors.child import Ladder
from tinytown.actors.drivers.presets import PRESETS, CliPreset, Unhealable
from tinytown.actors.drivers.text import TextDriver, TurnInput, split_command
from tinytown.errors import InvalidConfig, RuntimeFailed

FAKE = shlex.join([sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "fake_cli.py")])


@pytest.fixture
def turn(tmp_path: Path) -> TurnInput:
    return TurnInput(
        prompt="Do it.\n",
        prompt_path=tmp_path / "the prompt's file",
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        log_path=tmp_path / "round.log",
    )


def driver(command: str, *unhealable: Unhealable) -> TextDriver:
    return TextDriver(CliPreset("fake", command, unhealable=unhealable))


async def test_the_prompt_goes_in_and_the_answer_comes_out(turn: TurnInput) -> None:
    result = await driver(f"{FAKE} echo 'say=\x1b[32mdone\x1b[0m'").run(turn)
    assert (result.ok, result.answer, result.reason, result.unhealable) == (True, "Do it.\ndone", None, False)


async def test_a_command_with_a_prompt_file_gets_its_path_and_an_empty_input(turn: TurnInput) -> None:
    result = await driver(f"{FAKE} argv echo x={{prompt_file}}").run(turn)
    assert json.loads(result.answer) == ["argv", "echo", f"x={turn.prompt_path}"]


async def test_the_prompt_is_private_and_gone_after_the_round(turn: TurnInput) -> None:
    turn.prompt_path.write_text("left by an earlier life")
    seen = []

    class Watch:
        def started(self, value: object = None) -> None:
            seen.append((stat.S_IMODE(turn.prompt_path.stat().st_mode), turn.prompt_path.read_text()))

    await driver(f"{FAKE} echo").run(turn, task_status=Watch())  # type: ignore[arg-type]
    assert seen == [(0o600, "Do it.\n")]
    assert not turn.prompt_path.exists()


async def test_the_prompt_is_gone_after_a_cancelled_round_too(turn: TurnInput) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(driver(f"{FAKE} wait").run, replace(turn, ladder=Ladder(interrupt_s=1)))
        assert turn.prompt_path.exists()
        nursery.cancel_scope.cancel()
    assert not turn.prompt_path.exists()


async def test_a_prompt_of_300_kilobytes_arrives_whole(turn: TurnInput) -> None:
    prompt = "".join(f"{number:06d} Zeile für Zeile\n" for number in range(14_000))
    result = await driver(f"{FAKE} echo").run(replace(turn, prompt=prompt))
    assert turn.log_path.read_text() == prompt
    assert len(prompt) > 300_000
    assert len(result.answer.encode()) <= 64 << 10
    assert result.answer.endswith("013999 Zeile für Zeile")


async def test_a_round_that_fails_says_why(turn: TurnInput) -> None:
    result = await driver(f"{FAKE} say=hm exit=3").run(turn)
    assert (result.ok, result.answer, result.reason, result.unhealable) == (False, "hm", "exit status 3", False)


@pytest.mark.parametrize("command", ["no-such-cli-xyz --go", "/no/such/cli", "/etc/passwd", f"{FAKE} exit=127"])
async def test_a_cli_that_is_not_there_cannot_be_healed_by_trying_again(turn: TurnInput, command: str) -> None:
    result = await driver(command).run(turn)
    assert not result.ok
    assert result.unhealable
    assert result.reason is not None


async def test_a_cli_that_is_not_logged_in_cannot_be_healed_by_trying_again(turn: TurnInput) -> None:
    claude = replace(PRESETS["claude"], command=f"{FAKE} 'say=Invalid API key · Please run /login' exit=1")
    result = await TextDriver(claude).run(turn)
    assert (result.ok, result.unhealable) == (False, True)
    assert result.reason == "claude: not logged in; run: claude /login"
    codex = replace(
        PRESETS["codex"], command=f"{FAKE} 'err=exceeded retry limit, last status: 401 Unauthorized, x' exit=1"
    )
    assert (await TextDriver(codex).run(turn)).reason == "codex: not logged in; run: codex login"
    gemini = replace(PRESETS["gemini"], command=f"{FAKE} exit=41")
    assert (await TextDriver(gemini).run(turn)).unhealable


async def test_an_agent_may_talk_about_logging_in_when_its_round_succeeds(turn: TurnInput) -> None:
    claude = replace(PRESETS["claude"], command=f"{FAKE} 'say=Invalid API key is now shown as an error.'")
    assert (await TextDriver(claude).run(turn)).ok


async def test_the_last_words_of_an_earlier_round_in_the_same_log_do_not_count(turn: TurnInput) -> None:
    turn.log_path.write_text("Please run /login\n")
    claude = replace(PRESETS["claude"], command=f"{FAKE} say=oops exit=1")
    assert (await TextDriver(claude).run(turn)).unhealable is False


async def test_some_clis_fail_with_exit_status_0(turn: TurnInput) -> None:
    aider = replace(PRESETS["aider"], command=f"{FAKE} 'say=litellm.AuthenticationError: no key'")
    result = await TextDriver(aider).run(turn)
    assert (result.ok, result.unhealable) == (False, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="about root")
async def test_claude_is_not_even_started_as_root(turn: TurnInput) -> None:
    result = await TextDriver(PRESETS["claude"]).run(turn)
    assert (result.ok, result.unhealable) == (False, True)
    assert "IS_SANDBOX=1" in (result.reason or "")
    assert not turn.log_path.exists()


async def test_a_prompt_that_cannot_be_written_is_an_error(turn: TurnInput) -> None:
    with pytest.raises(RuntimeFailed, match="Cannot write the prompt"):
        await driver(FAKE).run(replace(turn, prompt_path=turn.cwd / "gone" / "prompt"))


def test_a_command_is_split_like_a_shell_would_and_nothing_is_expanded() -> None:
    assert split_command("""cli --a 'b c' "d'e" $HOME `x` ; ~ *""", "p") == [
        *("cli", "--a", "b c", "d'e", "$HOME", "`x`", ";", "~", "*"),
    ]


def test_the_path_of_the_prompt_stays_one_item_whatever_it_is_called() -> None:
    assert split_command("cli -f {prompt_file} --x={prompt_file}", "a b'\"$(c)") == [
        *("cli", "-f", "a b'\"$(c)", "--x=a b'\"$(c)"),
    ]


def test_the_home_directory_is_expanded_in_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert split_command("~/bin/agent.sh ~/x", "p") == ["/home/ann/bin/agent.sh", "~/x"]
    assert split_command("./agent.sh", "p") == ["./agent.sh"]


@pytest.mark.parametrize("command", ["claude 'unclosed", 'x "', "x \\", "", "   ", "'' x"])
def test_a_command_that_cannot_be_split_is_a_mistake_of_the_configuration(command: str) -> None:
    with pytest.raises(InvalidConfig):
        split_command(command, "p")


async def test_what_a_cli_says_at_its_end_that_it_has_used_is_known(turn: TurnInput) -> None:
    codex = replace(PRESETS["codex"], command=f"{FAKE} say=done 'err=tokens used' err=12,345")

    result = await TextDriver(codex).run(turn)

    assert (result.ok, result.tokens) == (True, 12_345)
    assert (await driver(f"{FAKE} say=done").run(turn)).tokens is None
