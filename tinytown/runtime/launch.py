"""From a prompt to a run: everything a round's CLI needs from this host.

Its environment names the town and the agent and holds a credential made for this very round; with it `tt`, called
by the CLI, speaks as this agent and as nobody else.
"""

from __future__ import annotations

import secrets
import shutil
from hashlib import sha256
from typing import TYPE_CHECKING

from tinytown import times
from tinytown.actors.acceptance import check
from tinytown.actors.drivers.choice import resolve_cli
from tinytown.actors.drivers.text import TextDriver, TurnInput, TurnResult
from tinytown.actors.environment import child_environment
from tinytown.errors import Forbidden, TownError
from tinytown.records import Event
from tinytown.runtime.workplace import workplace_of
from tinytown.transport.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tinytown.actors.acceptance import Checked
    from tinytown.actors.child import Ladder
    from tinytown.actors.drivers.presets import CliPreset
    from tinytown.actors.shims import Shims
    from tinytown.config import Settings
    from tinytown.ids import RuntimeId
    from tinytown.records import Agent, Task
    from tinytown.runtime.workplace import Workplace
    from tinytown.transport.connection import Connection
    from tinytown.transport.files import TownFiles, TownState
    from tinytown.transport.keys import Keys


class Launcher:
    """Runs the rounds of all agents of one runtime.

    `settings` gives those that hold when a round begins. The CLIs start under the spare of `shims`; what is run
    around them, setup and checks, takes too long for that to matter.
    """

    def __init__(
        self,
        *,
        files: TownFiles,
        state: TownState,
        settings: Callable[[], Settings],
        connection: Connection,
        keys: Keys,
        runtime: RuntimeId,
        shims: Shims,
        environ: Mapping[str, str],
        report: Callable[[str], None],
    ) -> None:
        self._files = files
        self._state = state
        self._settings = settings
        self._connection = connection
        self._keys = keys
        self._runtime = runtime
        self._shims = shims
        self._environ = environ
        self._report = report
        self._journal = Journal(connection, keys, length=settings().limits.events)

    async def __call__(self, agent: Agent, number: int, prompt: str, ladder: Ladder) -> TurnResult:
        """Run the agent's CLI once; see `AgentActor`."""
        settings = self._settings()
        preset = resolve_cli(settings, agent.cli)
        workplace = await self._workplace(agent, preset, settings, ladder)
        token = secrets.token_urlsafe(32)
        digest = sha256(token.encode()).hexdigest()
        await self._connection.execute("HSET", self._keys("tokens"), agent.id, digest, repeat=True)
        env = self._environment(preset, {**workplace.identity, **self._identity(agent, number, token)})
        directory = self._state.round_directory(agent.id, number)
        turn = TurnInput(
            prompt=prompt,
            prompt_path=directory / "prompt.md",
            cwd=workplace.cwd,
            env=env,
            log_path=self._files.round_log(agent.name, number),
            log_cap_bytes=settings.limits.round_log_bytes,
            ladder=ladder,
        )
        self._log(agent, f"Round {number} of {agent.max_rounds} begins: {preset.name}")
        try:
            result = await TextDriver(preset, self._shims).run(turn)
        except BaseException as error:
            self._log(agent, f"Round {number} was ended: {type(error).__name__}")
            raise
        finally:
            # A CLI may have left something beside its prompt.
            shutil.rmtree(directory, ignore_errors=True)
        outcome = "completed" if result.ok else f"failed: {result.reason}"
        self._log(agent, f"Round {number} {outcome}")
        return result

    async def check(self, agent: Agent, number: int, tasks: Sequence[Task], ladder: Ladder) -> Checked:
        """Run the checks of these tasks where the agent has worked; see `AgentActor`.

        They get the environment of its CLI, without its credential. What they print follows the round in its log.
        """
        settings = self._settings()
        if not (settings.verify or any(task.verify for task in tasks)):
            return {}
        preset = resolve_cli(settings, agent.cli)
        workplace = await self._workplace(agent, preset, settings, ladder)
        return await check(
            tasks,
            settings.verify,
            cwd=workplace.cwd,
            env=self._environment(preset, workplace.identity),
            log_path=self._files.round_log(agent.name, number),
            ladder=ladder,
        )

    def _identity(self, agent: Agent, number: int, token: str) -> dict[str, str]:
        return {
            "TINYTOWN_TOWN": str(self._files.root),
            "TINYTOWN_TOWN_ID": self._state.town_id,
            "TINYTOWN_RUNTIME_ID": self._runtime,
            "TINYTOWN_AGENT": agent.name,
            "TINYTOWN_AGENT_ID": agent.id,
            "TINYTOWN_AGENT_TOKEN": token,
            "TINYTOWN_INCARNATION": str(agent.incarnation),
            "TINYTOWN_ROUND": str(number),
        }

    def _environment(self, preset: CliPreset, identity: Mapping[str, str]) -> dict[str, str]:
        return child_environment(self._environ, passed=preset.env_pass, extra=preset.env, identity=identity)

    async def _workplace(self, agent: Agent, preset: CliPreset, settings: Settings, ladder: Ladder) -> Workplace:
        """Where it works, made ready; its log says what a person should know of that."""
        try:
            found = await workplace_of(
                agent,
                agent.workdir or preset.workdir,
                files=self._files,
                settings=settings,
                env=self._environment(preset, {}),
                ladder=ladder,
            )
        except TownError as error:
            self._log(agent, f"It has no place to work: {error.message}")
            raise
        for note in (*([found.news] if found.news else []), *found.notes):
            self._log(agent, note)
        if found.news:
            detail = f"{agent.name} {found.news}"
            await self._journal.append(Event("agent.worktree", agent=agent.id, detail=detail))
        return found

    def _log(self, agent: Agent, text: str) -> None:
        self._report(f"{agent.name}: {text}")
        try:
            with self._files.open_log(self._files.agent_log(agent.name)) as log:
                log.write(f"{times.now()} {text}\n".encode())
        except (OSError, Forbidden) as error:
            # A line for people; a round that has been worked is worth more.
            self._report(f"{agent.name}: its log cannot be written: {error}")
