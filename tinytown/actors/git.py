"""Git, run by us: what it may do, and what it may not.

Every run gets an environment made for it. A `GIT_DIR` or `GIT_INDEX_FILE` of whoever started the runtime (a hook,
say) would send our commands to another repository. It never asks, neither on a terminal, which it does not have,
nor in an editor; it never pages; its messages are in English, since some of them are read.

Hooks do not run: they are made for what a person does, and a `post-checkout` that an agent has written would
run with the rights of the runtime and hold up the start of another agent. `core.fsmonitor`, a command as well, is
off for the same reason. Filters (`filter.*.smudge`) do run, since without them a checkout would be wrong: git-lfs
is one. They come from the configuration of the user and his clone, which no repository can bring along. What
agents call by themselves runs with everything.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from typing import TYPE_CHECKING

import trio

from tinytown.actors.environment import child_environment
from tinytown.actors.output import plain_text
from tinytown.errors import RuntimeFailed
from tinytown.text import one_line

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

    from tinytown.transport.locks import FileLock

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.pager=cat",
    "gc.auto=0",
    "maintenance.auto=false",
    # Our checkouts would fetch submodules otherwise, or fail for want of them; the setup command may do that.
    "submodule.recurse=false",
)
_OPTIONS = tuple(item for setting in _SETTINGS for item in ("-c", setting))
_ENVIRONMENT = {
    "LC_ALL": "C",
    "LANGUAGE": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_EDITOR": "false",
    "GIT_SEQUENCE_EDITOR": "false",
    "GIT_PAGER": "cat",
    # A look at a worktree must not take the lock of the index from the agent that works in it.
    "GIT_OPTIONAL_LOCKS": "0",
    # For the rescue commits: the user may have told git no name, and they are not his anyway.
    "GIT_AUTHOR_NAME": "Tinytown",
    "GIT_AUTHOR_EMAIL": "tinytown@localhost",
    "GIT_COMMITTER_NAME": "Tinytown",
    "GIT_COMMITTER_EMAIL": "tinytown@localhost",
}
_PASSED = ("SSH_AUTH_SOCK",)
"""A partial clone fetches what a checkout needs."""
_END_S = 5.0
"""Between asking git to end, when it removes what it has half made, and killing it."""
_SAID = 300


class GitFailed(RuntimeFailed):
    """Git ended with an error; `said` is what it printed."""

    def __init__(self, verb: str, said: str) -> None:
        super().__init__(f"git {verb} failed: {one_line(said, _SAID)}")
        self.said = said


async def git(
    cwd: Path,
    *arguments: str,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    lock: FileLock | None = None,
) -> bytes:
    """Run git in a directory and return what it prints.

    `env` are variables for this run (`GIT_INDEX_FILE`). Git holds `lock` with us, so that nobody else goes on while
    it still works, should we die. Raises `GitFailed` for any other exit status than 0 and `RuntimeFailed` when git
    cannot be run. When cancelled, git and what it started are ended first.
    """
    done = await _run(cwd, arguments, stdin, env, lock)
    if done.returncode != 0:
        said = plain_text(done.stderr or done.stdout, 4096)
        raise GitFailed(arguments[0], said or f"killed by signal {-done.returncode}")
    return done.stdout


async def git_or_none(cwd: Path, *arguments: str, env: Mapping[str, str] | None = None) -> bytes | None:
    """What git prints, or None when it says no by its exit status; for questions that have two answers."""
    done = await _run(cwd, arguments, b"", env, None)
    return done.stdout if done.returncode == 0 else None


def line_of(output: bytes) -> str:
    """The one line that git printed, as a text that may name a file."""
    return os.fsdecode(output.removesuffix(b"\n"))


def entries_of(output: bytes) -> list[str]:
    """What git printed with `-z`."""
    return [os.fsdecode(entry) for entry in output.split(b"\0") if entry]


async def _run(
    cwd: Path, arguments: tuple[str, ...], stdin: bytes, env: Mapping[str, str] | None, lock: FileLock | None
) -> subprocess.CompletedProcess[bytes]:
    environment = child_environment(
        os.environ, passed=_PASSED, extra={**_ENVIRONMENT, **(env or {})}, identity={}, find_path=lambda path: path
    )
    program = shutil.which("git", path=environment["PATH"])
    if program is None:
        raise RuntimeFailed("git is not installed", hint="Install git, or let agents share the project directory.")
    try:
        return await trio.run_process(
            [program, *_OPTIONS, *arguments],
            stdin=stdin,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            cwd=cwd,
            env=environment,
            # A session of its own: no terminal to ask on, and one group to end.
            start_new_session=True,
            pass_fds=(lock.fileno(),) if lock is not None else (),
            deliver_cancel=_end,
        )
    except OSError as error:
        raise RuntimeFailed(f"git cannot be run in {cwd}: {error.strerror}") from error


async def _end(process: trio.Process) -> None:
    # Git itself does not end what it has started. The group has the pid of its leader, which is not reaped yet.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
        await trio.sleep(_END_S)
        os.killpg(process.pid, signal.SIGKILL)
