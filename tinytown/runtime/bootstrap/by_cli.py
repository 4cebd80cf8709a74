"""Redis by a coding CLI: it is told what to do, and what it has made is checked like everything else.

It runs without being asked for consent, as agents do, so it is used only when somebody wants it. It works in an
empty directory, and is told to leave `~/.tt/bin` to us: what is there stays until what it has made was seen to work.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tinytown.actors.drivers.choice import resolve_cli
from tinytown.actors.drivers.presets import root_refusal
from tinytown.actors.drivers.text import split_command
from tinytown.actors.environment import child_environment
from tinytown.errors import RuntimeFailed
from tinytown.runtime.bootstrap.place import SERVER, alternatives
from tinytown.text import term_safe
from tinytown.transport.disk import atomic_write, repoint
from tinytown.transport.server_binary import MINIMUM, dotted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.config import Settings
    from tinytown.runtime.bootstrap.place import Place, Wanted

PROMPT_NAME = "bootstrap_prompt.md"
MOST_SECONDS = 1800.0
"""A build takes some minutes; a CLI that is not done by then goes round in circles."""

_PROMPT = """\
# Build a Redis server

Build Redis {version} from source on this machine. Work only in the directory {scratch}, which is yours.

1. Find the release at https://github.com/redis/redis/releases ({which}).
2. Download its source archive, and check its SHA-256 against https://github.com/redis/redis-hashes.
3. Unpack it and run make. Where OpenSSL's headers are missing, build without TLS.
4. Copy redis-server, and redis-cli if there is one, to {scratch}/bin/.
5. Run {scratch}/bin/redis-server --version. It must be {minimum} or newer.

Install nothing anywhere else, use no sudo, change no other file, and start no server that outlives you.
Say at the end which version you have built, or why you could not.
"""


def build(place: Place, settings: Settings, cli: str | None, wanted: Wanted, scratch: Path, *, quiet: bool) -> Path:
    """The directory of the programs that the CLI has made; its output goes to ours, with `quiet` to the errors.

    Raises `UnknownCli`, `InvalidConfig`, and `RuntimeFailed` when it cannot be run, ends badly or makes no server.
    """
    preset = resolve_cli(settings, cli or settings.default_cli)
    env = child_environment(os.environ, passed=preset.env_pass, extra=preset.env, identity={})
    prompt = place.root / PROMPT_NAME
    argv = split_command(preset.command, str(prompt))
    refusal = root_refusal(preset, env, os.geteuid())
    if refusal is not None:
        raise RuntimeFailed(refusal, hint=alternatives())
    if shutil.which(argv[0], path=env["PATH"]) is None:
        raise RuntimeFailed(
            f"'{term_safe(argv[0], lines=False)}' is not installed",
            hint=f"Choose another with --cli.\n{alternatives()}",
        )
    by_file = "{prompt_file}" in preset.command
    shown = f"{shlex.join(argv)}{'' if by_file else f' < {prompt}'}"
    place.tell("")
    place.tell(f"📋 Running: {term_safe(shown, lines=False)}")
    place.tell("   (This may take a few minutes to download and compile)")
    place.tell("")
    before = _identity(place.server)
    link = place.server.readlink() if place.server.is_symlink() else None
    atomic_write(prompt, _prompt(wanted, scratch).encode())
    try:
        code = _run(argv, scratch, env, None if by_file else prompt, quiet=quiet)
    finally:
        prompt.unlink(missing_ok=True)
    if code != 0:
        raise RuntimeFailed(f"{preset.name} ended with exit status {code}", hint=alternatives())
    if (scratch / "bin" / SERVER).is_file():
        return scratch / "bin"
    if _identity(place.server) not in (None, before):
        # It did not listen, and put it where it belongs in the end. It goes there when it was seen to work.
        _take_back(place.server, scratch / "bin", link)
        return scratch / "bin"
    raise RuntimeFailed(f"{preset.name} says that it is done, and has made no {SERVER}", hint=alternatives())


def _prompt(wanted: Wanted, scratch: Path) -> str:
    which = "the newest stable one" if not wanted.numbers else f"the newest stable {wanted}"
    return _PROMPT.format(version=wanted, scratch=scratch, which=which, minimum=dotted(MINIMUM))


def _take_back(server: Path, to: Path, link: Path | None) -> None:
    to.mkdir(exist_ok=True)
    shutil.copyfile(server, to / SERVER)
    server.unlink()
    if link is not None:
        repoint(server, link)


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _run(argv: list[str], cwd: Path, env: Mapping[str, str], stdin: Path | None, *, quiet: bool) -> int:
    sys.stdout.flush()
    with Path(stdin or os.devnull).open("rb") as given:
        try:
            process = subprocess.Popen(
                argv, cwd=cwd, env=env, stdin=given, stdout=sys.stderr if quiet else None, start_new_session=True
            )
        except OSError as error:
            raise RuntimeFailed(f"'{argv[0]}' cannot be run: {error.strerror}", hint=alternatives()) from None
    with process:
        try:
            return process.wait(MOST_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise RuntimeFailed(f"It was not done after {MOST_SECONDS / 60:.0f} minutes", hint=alternatives()) from None
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
