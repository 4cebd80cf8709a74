"""From a prompt to a run: environment, credential, files, logs, directory."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from tinytown.actors.child import Ladder
from tinytown.actors.drivers.text import TurnResult
from tinytown.actors.shims import Shims
from tinytown.errors import Forbidden, UnknownCli
from tinytown.records import Agent
from tinytown.runtime.caller import credential, verified
from tinytown.runtime.current import CurrentSettings
from tinytown.runtime.ground import Ground, survey
from tinytown.runtime.launch import Launcher
from tinytown.transport.multiplexed import MultiplexedConnection
from tinytown.transport.placement import new_runtime_id

FAKE = f"{sys.executable} {Path(__file__).parents[1] / 'fake_cli.py'}"


class Launch:
    """Launches rounds of one agent in a town whose user has configured some CLIs."""

    def __init__(self, ground: Ground, connection: MultiplexedConnection, nursery: trio.Nursery) -> None:
        self.ground = ground
        self.connection = connection
        self.runtime = new_runtime_id()
        self.reports: list[str] = []
        self.launcher = Launcher(
            files=ground.files,
            state=ground.state,
            settings=CurrentSettings(ground.settings, ground.root, os.environ, self.reports.append),
            connection=connection,
            keys=ground.keys,
            runtime=self.runtime,
            shims=Shims(nursery),
            environ=os.environ,
            report=self.reports.append,
        )

    async def __call__(self, cli: str, *, number: int = 1, prompt: str = "a prompt", **agent: Any) -> TurnResult:
        self.agent = Agent(name="ada", cli=cli, **agent)
        return await self.launcher(self.agent, number, prompt, Ladder(interrupt_s=0.1, terminate_s=0.1))

    def log(self) -> str:
        """What the agent's own log says."""
        return self.ground.files.agent_log("ada").read_text()

    def prompts(self) -> list[Path]:
        """What lies where prompts are put."""
        return list((self.ground.state.directory / "prompts").glob("*"))


@pytest.fixture
def launch(
    made: Path, connection: MultiplexedConnection, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> Launch:
    script = made.parent / "litter.sh"
    script.write_text('cat "$1"; touch "$1~"; pwd')
    (made / "sub").mkdir()
    settings = Path(os.environ["HOME"]) / ".tt" / "config.toml"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(
        f"""
        [agent_clis]
        env = {{ command = "{FAKE} env", env = {{ EXTRA = "1" }}, env_pass = ["PASSED"] }}
        echo = {{ command = "{FAKE} echo" }}
        bad = {{ command = "{FAKE} err=oops exit=3" }}
        waits = {{ command = "{FAKE} say=begun wait" }}
        litter = {{ command = "sh {script} {{prompt_file}}" }}
        elsewhere = {{ command = "pwd", workdir = "sub" }}
        here = {{ command = "pwd" }}
        """
    )
    monkeypatch.setenv("PASSED", "for all to see")
    monkeypatch.setenv("SOME_SECRET", "not for them")
    return Launch(survey(made, environ=os.environ), connection, nursery)


async def test_the_cli_learns_who_it_is_and_nothing_that_is_not_meant_for_it(launch: Launch) -> None:
    result = await launch("env", number=3, incarnation=2)

    seen = json.loads(result.answer)
    assert result.ok
    assert seen["TINYTOWN_TOWN"] == str(launch.ground.root)
    assert seen["TINYTOWN_TOWN_ID"] == launch.ground.state.town_id
    assert seen["TINYTOWN_RUNTIME_ID"] == launch.runtime
    assert (seen["TINYTOWN_AGENT"], seen["TINYTOWN_AGENT_ID"]) == ("ada", launch.agent.id)
    assert (seen["TINYTOWN_ROUND"], seen["TINYTOWN_INCARNATION"]) == ("3", "2")
    assert (seen["EXTRA"], seen["PASSED"]) == ("1", "for all to see")
    assert "SOME_SECRET" not in seen
    assert "REDIS_URL" not in seen


async def test_a_cli_that_is_configured_while_the_runtime_lives_works_from_the_next_round_on(launch: Launch) -> None:
    with pytest.raises(UnknownCli):
        await launch("newcomer")
    settings = Path(os.environ["HOME"]) / ".tt" / "config.toml"
    settings.write_text(f'[agent_clis.newcomer]\ncommand = "{FAKE} echo"\n')

    assert (await launch("newcomer")).answer == "a prompt"

    # What cannot be used changes nothing, and is told once.
    settings.write_text("agent_clis = 7")
    for _ in range(2):
        assert (await launch("newcomer")).ok
    assert sum("stay as they were" in report for report in launch.reports) == 1


async def test_what_nobody_has_accepted_gets_no_cli_while_the_runtime_lives(launch: Launch) -> None:
    project = launch.ground.files.config
    project.write_text(project.read_text() + f'\n[agent_clis.stranger]\ncommand = "{FAKE} echo"\n')

    with pytest.raises(UnknownCli):
        await launch("stranger")


async def test_the_cli_holds_a_credential_that_is_good_for_its_agent_until_the_next_round(launch: Launch) -> None:
    async def digest_in_redis() -> bytes:
        found = await launch.connection.execute("HGET", launch.ground.keys("tokens"), launch.agent.id)
        assert isinstance(found, bytes)
        return found

    async def shown() -> Any:
        return credential(json.loads((await launch("env", id=one.id)).answer))

    one = Agent(name="ada", cli="env")
    first = await shown()
    caller = verified(first, await digest_in_redis(), "ada")
    assert (caller.kind, caller.agent_id) == ("agent", one.id)

    second = await shown()
    verified(second, await digest_in_redis(), "ada")
    with pytest.raises(Forbidden):
        verified(first, await digest_in_redis(), "ada")


async def test_the_prompt_is_read_whole_and_leaves_nothing_behind(launch: Launch) -> None:
    prompt = "whole\nprompt with ünïcode\n" + "x" * 200_000

    result = await launch("echo", prompt=prompt)

    # The answer is the end of what was printed.
    assert prompt.strip().endswith(result.answer.strip()[-1000:])
    assert launch.prompts() == []


async def test_what_a_cli_left_beside_its_prompt_goes_with_it(launch: Launch) -> None:
    result = await launch("litter", prompt="the prompt")

    assert result.ok
    assert result.answer.startswith("the prompt")
    assert launch.prompts() == []


async def test_a_round_is_told_in_the_log_of_the_agent_and_its_output_kept(launch: Launch) -> None:
    await launch("echo", number=2, prompt="said by the CLI", max_rounds=7)

    lines = launch.log().splitlines()
    round_log = launch.ground.files.round_log("ada", 2)
    assert [line.partition(" ")[2] for line in lines] == ["Round 2 of 7 begins: echo", "Round 2 completed"]
    assert "said by the CLI" in round_log.read_text()
    for path in (launch.ground.files.agent_log("ada"), round_log):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert launch.reports == ["ada: Round 2 of 7 begins: echo", "ada: Round 2 completed"]


async def test_a_round_that_fails_says_why(launch: Launch) -> None:
    result = await launch("bad")

    assert (result.ok, result.reason) == (False, "exit status 3")
    assert launch.log().endswith("Round 1 failed: exit status 3\n")
    assert "oops" in launch.ground.files.round_log("ada", 1).read_text()
    assert launch.prompts() == []


@pytest.mark.parametrize(
    ("cli", "workdir", "expected"),
    [
        ("here", None, lambda root: root),
        ("here", "sub", lambda root: root / "sub"),
        ("elsewhere", None, lambda root: root / "sub"),
        ("elsewhere", ".", lambda root: root),
        ("here", "/", lambda _: Path("/")),
        ("here", "~", lambda _: Path(os.environ["HOME"])),
    ],
)
async def test_it_works_in_the_project_unless_the_agent_or_the_configuration_says_otherwise(
    launch: Launch, cli: str, workdir: str | None, expected: Callable[[Path], Path]
) -> None:
    result = await launch(cli, workdir=workdir)

    assert Path(result.answer.strip()).samefile(expected(launch.ground.root))


async def test_a_log_that_cannot_be_written_is_reported_and_the_round_is_worth_more(launch: Launch, user: Path) -> None:
    target = user / "somebody elses file"
    target.write_text("precious")
    launch.ground.files.agent_log("ada").symlink_to(target)

    result = await launch("echo")

    assert result.ok
    assert target.read_text() == "precious"
    assert any("its log cannot be written" in report for report in launch.reports)


async def test_an_unknown_cli_is_refused(launch: Launch) -> None:
    with pytest.raises(UnknownCli, match="Unknown agent CLI 'nothing'"):
        await launch("nothing")


async def test_a_round_that_is_cut_ends_its_cli_and_says_so(launch: Launch) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(launch, "waits")
        log = launch.ground.files.round_log("ada", 1)
        with trio.fail_after(30):
            while not log.exists() or "begun" not in log.read_text():
                await trio.sleep(0.005)
        nursery.cancel_scope.cancel()

    assert launch.log().endswith("Round 1 was ended: Cancelled\n")
    assert launch.prompts() == []
