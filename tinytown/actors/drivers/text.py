"""The driver for any CLI that reads a prompt, works, prints an answer and ends.

Success is exit status 0 and no sign of the contrary; the answer is the end of what it printed. The prompt stands
in a file for as long as the run lasts, readable by its user only, and is removed however the run ends.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import trio

from tinytown.actors.child import ChildSpec, ChildStarted, Ladder, run_child
from tinytown.actors.child_exit import NOT_EXECUTABLE, NOT_FOUND, ChildExit
from tinytown.actors.drivers.presets import root_refusal
from tinytown.actors.drivers.usage import tokens_in
from tinytown.actors.output import plain_text
from tinytown.errors import InvalidConfig, RuntimeFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tinytown.actors.drivers.presets import CliPreset
    from tinytown.actors.shims import Shims

ANSWER_LIMIT_BYTES = 64 << 10
_LAST_WORDS_BYTES = 4096
"""A CLI says last why it gives up. Further up an agent may well talk about logging in."""
_PROMPT_FILE = "{prompt_file}"


@dataclass(frozen=True, slots=True)
class TurnInput:
    """One round as a driver gets it."""

    prompt: str
    prompt_path: Path
    """Where the prompt is put for the time of the run; in a directory of ours, outside the project."""
    cwd: Path
    env: Mapping[str, str]
    """The whole environment of the CLI; see `child_environment`."""
    log_path: Path
    log_cap_bytes: int = 64 << 20
    ladder: Ladder = field(default_factory=Ladder)
    on_output: Callable[[str], None] | None = None
    """Gets whole lines that are safe for a terminal, as they come; must not block."""


@dataclass(frozen=True, slots=True)
class TurnResult:
    """What came of a round."""

    ok: bool
    answer: str
    """The last 64 KiB of what it printed, as clean text."""
    exit: ChildExit
    reason: str | None = None
    """Why it is not ok."""
    unhealable: bool = False
    """Trying again is of no use: a person has to install, to log in, to configure."""
    tokens: int | None = None
    """What it says that it has used; None where it says nothing."""


class TextDriver:
    """Runs one CLI, round by round; holds nothing between rounds. `shims` as in `run_child`."""

    def __init__(self, preset: CliPreset, shims: Shims | None = None) -> None:
        self._preset = preset
        self._shims = shims

    async def run(
        self, turn: TurnInput, *, task_status: trio.TaskStatus[ChildStarted] = trio.TASK_STATUS_IGNORED
    ) -> TurnResult:
        """Run one round to its end.

        `task_status` as in `run_child`. Raises `InvalidConfig` for a command that cannot be split, `RuntimeFailed`
        if prompt or log cannot be written. Cancelling ends the whole tree of the CLI by `turn.ladder`.
        """
        preset = self._preset
        refusal = root_refusal(preset, turn.env, os.geteuid())
        if refusal is not None:
            await trio.lowlevel.checkpoint()
            return TurnResult(ok=False, answer="", exit=ChildExit(failure=refusal), reason=refusal, unhealable=True)
        argv = split_command(preset.command, str(turn.prompt_path))
        with _prompt_file(turn.prompt_path, turn.prompt):
            ended = await run_child(
                ChildSpec(
                    argv=tuple(argv),
                    cwd=turn.cwd,
                    env=turn.env,
                    log_path=turn.log_path,
                    stdin_path=None if _PROMPT_FILE in preset.command else turn.prompt_path,
                    log_cap_bytes=turn.log_cap_bytes,
                    ladder=turn.ladder,
                    on_output=turn.on_output,
                ),
                self._shims,
                task_status=task_status,
            )
        end = _end_of(turn.log_path, min(ended.log_bytes, ANSWER_LIMIT_BYTES))
        result = judge(preset, ended, last_words=end[-_LAST_WORDS_BYTES:])
        return replace(result, tokens=tokens_in(preset.tokens, end))


def split_command(command: str, prompt_file: str) -> list[str]:
    """The items of a command, as a shell would split it; no shell runs it, so `$` and `;` mean nothing.

    `{prompt_file}` in any item becomes that path, whatever characters it has. `~` is expanded in the program only.
    Raises `InvalidConfig` for an unclosed quote and for an empty command.
    """
    try:
        items = shlex.split(command)
    except ValueError as error:
        raise InvalidConfig(
            f"The command of a CLI cannot be split ({str(error).lower()}): {command}",
            hint="Close the quotes in the 'command' of its [agent_clis] section.",
        ) from error
    if not items or not items[0]:
        raise InvalidConfig("The command of a CLI is empty", hint="Set the 'command' of its [agent_clis] section.")
    program, *rest = (item.replace(_PROMPT_FILE, prompt_file) for item in items)
    return [os.path.expanduser(program), *rest]  # noqa: PTH111  (a path would lose the difference of x and ./x)


def judge(preset: CliPreset, ended: ChildExit, *, last_words: str) -> TurnResult:
    """What an exit means for a round. `last_words` is the end of both outputs, as clean text."""
    answer = plain_text(ended.answer, ANSWER_LIMIT_BYTES)
    for case in preset.unhealable:
        if ended.succeeded and not case.even_if_ok:
            continue
        said = bool(case.text) and re.search(case.text, last_words, re.IGNORECASE | re.MULTILINE) is not None
        if said or ended.code in case.codes:
            reason = f"{preset.name}: {case.reason}"
            return TurnResult(ok=False, answer=answer, exit=ended, reason=reason, unhealable=True)
    if ended.succeeded:
        return TurnResult(ok=True, answer=answer, exit=ended)
    return TurnResult(
        ok=False,
        answer=answer,
        exit=ended,
        reason=ended.describe(),
        unhealable=ended.code in (NOT_FOUND, NOT_EXECUTABLE),
    )


@contextlib.contextmanager
def _prompt_file(path: Path, prompt: str) -> Iterator[None]:
    try:
        path.unlink(missing_ok=True)  # an earlier life may have left it there
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            file.write(prompt)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise RuntimeFailed(f"Cannot write the prompt {path}: {error.strerror}") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _end_of(path: Path, size: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - size))
            return plain_text(file.read(), size)
    except OSError:
        return ""
