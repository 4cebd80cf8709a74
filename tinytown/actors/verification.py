"""The proof that a task is done: commands that must succeed where the agent has worked.

That an agent says "done" is a claim. The commands of the configuration are run one after the other, without a
shell; what came of each is kept as evidence, with the commit it was about. The first that fails ends the row, and
goes back to the agent in words.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, cast

import trio

from tinytown import times
from tinytown.actors.child import ChildSpec, Ladder, run_child
from tinytown.actors.child_exit import ChildExit
from tinytown.actors.commands import split_line
from tinytown.actors.output import plain_text
from tinytown.actors.worktree_state import Tree, head_of, look_at_changes
from tinytown.config_sections import VerifyCommand
from tinytown.errors import BadMessage
from tinytown.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tinytown.messages import JsonObject, JsonValue
    from tinytown.times import Timestamp

__all__ = ("Evidence", "VerifyCommand", "feedback", "verify")

TAIL_BYTES = 4096
_NAME_WIDTH = 60
_COMMIT_WIDTH = 12


@dataclass(frozen=True, slots=True)
class Evidence:
    """What came of one command."""

    name: str
    command: str
    code: int | None
    """Its exit status; None when it has none: killed, cut off, or not started."""
    failure: str | None
    """Why it has no proper exit status."""
    seconds: float
    tail: str
    """The last 4 KiB of what it printed, as clean text."""
    commit: str | None
    """What was checked out; None outside git and before the first commit."""
    dirty: bool
    """There were changes beside that commit."""
    at: Timestamp
    """When it began."""

    @property
    def passed(self) -> bool:
        """It ran to its end and said 0."""
        return self.code == 0 and self.failure is None

    @property
    def outcome(self) -> str:
        """For people: `exit status 2`, `no such program: foo`."""
        return self.failure or ChildExit(code=self.code).describe()

    def to_json(self) -> JsonObject:
        """The JSON object; what is None is left out."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, value: JsonValue) -> Evidence:
        """The evidence of a JSON object; `BadMessage` names the field that is wrong."""
        if not isinstance(value, dict):
            raise BadMessage("evidence is a JSON object")
        given = {item.name: value.get(item.name) for item in fields(cls)}
        for name, found in given.items():
            if not _fits(name, found):
                raise BadMessage(f"evidence: '{name}' cannot be {one_line(repr(found), _NAME_WIDTH)}")
        return cls(**{**given, "seconds": float(cast("float", given["seconds"]))})  # type: ignore[arg-type]


async def verify(
    commands: Sequence[VerifyCommand],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log_path: Path,
    ladder: Ladder | None = None,
) -> list[Evidence]:
    """Run the commands in order, up to the first that fails; the evidence of those that ran.

    `cwd` is where the agent works, `env` the whole environment of the commands; all output is appended to the log.
    Raises `InvalidConfig`, before anything runs, for a command that cannot be split, and `RuntimeFailed` when the
    log cannot be written. When cancelled, the tree of the running command is ended first, by `ladder`.
    """
    split = [(command, split_line(command.command, key="The command of [[verify]]")) for command in commands]
    await trio.lowlevel.checkpoint()
    evidence: list[Evidence] = []
    for command, argv in split:
        evidence.append(await _verify(command, argv, cwd, env, log_path, ladder or Ladder()))
        if not evidence[-1].passed:
            break
    return evidence


def feedback(evidence: Sequence[Evidence]) -> str:
    """What the agent is told of a verification that failed; empty when all has passed."""
    failed = next((each for each in evidence if not each.passed), None)
    if failed is None:
        return ""
    name = one_line(failed.name, _NAME_WIDTH)
    how = f"{failed.outcome}, after {times.span(failed.seconds)}{_about(failed)}"
    parts = [
        f"The task is not accepted yet: the check '{name}' failed ({how}).",
        f"The command:\n\n{_indented(failed.command)}",
        f"The end of its output:\n\n{_indented(failed.tail)}" if failed.tail else "It printed nothing.",
    ]
    passed = [f"'{one_line(each.name, _NAME_WIDTH)}'" for each in evidence if each.passed]
    if passed:
        parts.append(f"Passed before it: {', '.join(passed)}.")
    parts.append("Find the cause, mend it, run the command yourself, and then end the task again.")
    return "\n\n".join(parts)


async def _verify(
    command: VerifyCommand,
    argv: tuple[str, ...],
    cwd: Path,
    env: Mapping[str, str],
    log_path: Path,
    ladder: Ladder,
) -> Evidence:
    commit, dirty = await _what_is_there(cwd)
    at, began, log_begins = times.now(), trio.current_time(), _size(log_path)
    where = cwd / (command.workdir or ".")
    ended = ChildExit(failure=f"it ran for longer than {times.span(command.timeout)} and was ended")
    if not where.resolve().is_relative_to(cwd.resolve()):
        # The agent could have put a link there, to a place where the command always succeeds.
        ended = ChildExit(failure=f"{command.workdir} leads out of the directory of the agent")
    else:
        with trio.move_on_after(command.timeout):
            ended = await run_child(ChildSpec(argv=argv, cwd=where, env=env, log_path=log_path, ladder=ladder))
    return Evidence(
        name=command.name,
        command=command.command,
        code=ended.code,
        failure=None if ended.code is not None and ended.failure is None else ended.describe(),
        seconds=round(trio.current_time() - began, 3),
        tail=_tail(log_path, log_begins),
        commit=commit,
        dirty=dirty,
        at=at,
    )


async def _what_is_there(cwd: Path) -> tuple[str | None, bool]:
    tree = await Tree.around(cwd)
    if tree is None:
        return None, False
    return await head_of(tree), (await look_at_changes(tree)).any


def _about(evidence: Evidence) -> str:
    if evidence.commit is None:
        return ""
    beside = " with changes that are not committed" if evidence.dirty else ""
    return f", at commit {evidence.commit[:_COMMIT_WIDTH]}{beside}"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _tail(log_path: Path, begins: int) -> str:
    """The end of what was appended to the log, which has both outputs in their order."""
    try:
        with log_path.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(begins, end - TAIL_BYTES))
            return plain_text(file.read(), TAIL_BYTES)
    except OSError:
        return ""


def _fits(name: str, value: JsonValue) -> bool:
    if value is None:
        return name in ("code", "failure", "commit")
    if name == "dirty":
        return isinstance(value, bool)
    if name in ("code", "seconds"):
        kinds = int if name == "code" else int | float
        return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, str)
