"""What of a project's file may run or reach something, and which of it the user has accepted.

A `tinytown.toml` may have come with a repository. The part of it that names programs, their environment or
addresses has no effect until the user has accepted exactly this part, for exactly this directory. What is
remembered is the SHA-256 of the part in one canonical form, with the directory: the directory alone would accept
whatever the next pull brings, the hash alone would accept a copy elsewhere whose `./agent.sh` is another program.

The trust file is the user's own, `~/.tt/trust.json`, and is believed only if nobody else can write it.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from tinytown import times
from tinytown.config_rules import dotted
from tinytown.config_sections import DEFAULT_AOF, DEFAULT_SOCKET, LOOPBACK
from tinytown.errors import Forbidden, InvalidConfig
from tinytown.text import term_safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tinytown.config_rules import ConfigValue, Table
    from tinytown.times import Timestamp

TRUST_NAME = "trust.json"

_WHOLE = ("agent_clis", "env", "hooks", "setup", "townhall", "verify")
_COMMAND = (("agent", "setup"),)
_ADDRESS = (
    "url",
    "use_socket",
    "socket_path",
    "host",
    "port",
    "bind",
    "password",
    "tls_enabled",
    "tls_cert",
    "tls_key",
    "tls_ca_cert",
    "server",
    "aof_path",
)
# What is in effect anyway needs nobody's consent; the socket's second name is that of the book's first examples.
_HARMLESS: Mapping[tuple[str, str], tuple[ConfigValue, ...]] = {
    ("redis", "use_socket"): (True,),
    ("redis", "socket_path"): (DEFAULT_SOCKET, "redis.sock"),
    ("redis", "host"): (LOOPBACK, "localhost"),
    ("redis", "port"): (6379,),
    ("redis", "bind"): (LOOPBACK, "localhost"),
    ("redis", "tls_enabled"): (False,),
    ("redis", "aof_path"): (DEFAULT_AOF,),
    ("townhall", "bind"): (LOOPBACK, "localhost"),
    ("townhall", "rest_port"): (8787,),
    ("townhall", "mcp_port"): (8788,),
}
_SECRETS = (("redis", "password"), ("redis", "url"), ("townhall", "auth", "api_key_hash"))


class Accepted(NamedTuple):
    """One acceptance: which part, for which project directory, when."""

    digest: str
    path: str
    at: Timestamp


def split_table(table: Mapping[str, ConfigValue]) -> tuple[Table, Table]:
    """A project's table in two: what needs the user's trust, and the rest. Neither has empty tables."""
    executable: Table = {}
    rest: Table = {}
    for section, value in table.items():
        if not isinstance(value, dict):
            (executable if section in _WHOLE else rest)[section] = value
            continue
        for key, item in value.items():
            needs = section in _WHOLE or (section, key) in _COMMAND or (section == "redis" and key in _ADDRESS)
            harmless = needs and item in _HARMLESS.get((section, key), ())
            side = executable if needs and not harmless else rest
            cast("Table", side.setdefault(section, {}))[key] = item
    return executable, rest


def executable_part(table: Mapping[str, ConfigValue]) -> str:
    """The part that needs trust as canonical JSON (keys sorted, ASCII, no spaces); empty when nothing does."""
    executable, _ = split_table(table)
    return json.dumps(executable, sort_keys=True, separators=(",", ":")) if executable else ""


def trust_hash(part: str) -> str:
    """The SHA-256 of a canonical part, as `sha256sum` shows it."""
    from hashlib import sha256

    return sha256(part.encode()).hexdigest()


def names(part: str) -> tuple[str, ...]:
    """The dotted keys of a canonical part, one for each thing that can be named."""
    return tuple(
        dotted(path)
        for section, value in _loaded(part).items()
        for path in ([(section, key) for key in value] if isinstance(value, dict) else [(section,)])
    )


def show(part: str) -> list[str]:
    """A canonical part for people, one line for each value: whole, harmless on a terminal, passwords hidden.

    Nothing that runs is cut short: what is accepted must have been readable.
    """
    return [
        f"{'.'.join(term_safe(key, lines=False) for key in path)} = {_for_people(path, value)}"
        for path, value in _leaves(_loaded(part), ())
    ]


def is_trusted(part: str, root: Path, *, home: Path) -> bool:
    """Whether the user has accepted this part for this project directory. An empty part needs no acceptance."""
    if not part:
        return True
    digest, path = trust_hash(part), str(root.resolve())
    return any(entry.digest == digest and entry.path == path for entry in accepted(home=home))


def accepted(*, home: Path) -> tuple[Accepted, ...]:
    """All acceptances, oldest first. `InvalidConfig` for a broken file, `Forbidden` if others can write it."""
    return _read(home / ".tt" / TRUST_NAME)


def accept(part: str, root: Path, *, home: Path) -> Accepted:
    """Remembers that the user accepts this part for this project directory.

    Give the part that the user has seen, never one read again afterwards. Acceptances for directories that are
    gone are forgotten on the way: what comes to stand there later is something else.
    """
    entry = Accepted(trust_hash(part), str(root.resolve()), times.now())
    with _writing(home) as file:
        kept = [
            old
            for old in _read(file)
            if Path(old.path).is_dir() and (old.digest, old.path) != (entry.digest, entry.path)
        ]
        _replace(file, [*kept, entry])
    return entry


def revoke(root: Path, *, home: Path) -> int:
    """Forgets every acceptance for this project directory; says how many there were."""
    path = str(root.resolve())
    with _writing(home) as file:
        found = _read(file)
        kept = [entry for entry in found if entry.path != path]
        if len(kept) < len(found):
            _replace(file, kept)
    return len(found) - len(kept)


def _loaded(part: str) -> dict[str, ConfigValue]:
    return cast("dict[str, ConfigValue]", json.loads(part)) if part else {}


def _leaves(value: ConfigValue, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], ConfigValue]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    else:
        yield path, value


def _for_people(path: tuple[str, ...], value: ConfigValue) -> str:
    if path in _SECRETS and isinstance(value, str):
        return json.dumps(mask(value))
    return term_safe(json.dumps(value, ensure_ascii=False), lines=False)


HIDDEN = "***"
"""What is shown in place of a secret."""


def mask(secret: str) -> str:
    """A URL without its password; `HIDDEN` for any other text."""
    scheme, separator, rest = secret.partition("://")
    if not separator:
        return HIDDEN
    end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    who, at, host = rest[:end].rpartition("@")
    shown = f"{who.partition(':')[0]}:{HIDDEN}@" if at and ":" in who else who + at
    return term_safe(f"{scheme}://{shown}{host}{rest[end:]}", lines=False)


def _read(file: Path) -> tuple[Accepted, ...]:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _unreadable(file, error.strerror or "it cannot be opened") from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        os.close(descriptor)
        raise Forbidden(
            f"{_name(file)} is not believed: it is not a file that only you can write",
            hint=f"Look into it, then: chown $USER {_name(file)}; chmod 600 {_name(file)}",
        )
    with os.fdopen(descriptor, "rb") as opened:
        raw = opened.read()
    try:
        entries = json.loads(raw)["accepted"]
        return tuple(
            Accepted(str(entry["sha256"]), str(entry["path"]), times.Timestamp(str(entry["at"]))) for entry in entries
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _unreadable(file, "it is no trust file of Tinytown") from None


def _replace(file: Path, entries: list[Accepted]) -> None:
    content = {"accepted": [{"sha256": entry.digest, "path": entry.path, "at": entry.at} for entry in entries]}
    temporary = file.with_name(f".{file.name}.{os.urandom(8).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(json.dumps(content, indent=2) + "\n")
            opened.flush()
            os.fsync(descriptor)
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def _writing(home: Path) -> Iterator[Path]:
    # The lock is a file of its own: the trust file is replaced, and a lock on a replaced file locks nobody out.
    import fcntl

    directory = home / ".tt"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(directory / f"{TRUST_NAME}.lock", flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield directory / TRUST_NAME
    finally:
        os.close(descriptor)


def _name(file: Path) -> str:
    return term_safe(str(file), lines=False)


def _unreadable(file: Path, reason: str) -> InvalidConfig:
    return InvalidConfig(
        f"{_name(file)} cannot be read: {reason}",
        hint="Remove it, then accept your projects again with 'tt trust accept'.",
    )
