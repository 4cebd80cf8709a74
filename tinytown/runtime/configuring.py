"""Change one value of a configuration file and leave the rest as its owner wrote it.

What must be true: comments, order and what we do not know stay. The file is checked as a whole before it is put in
place, in one step and under a lock, so of two changes at once none is lost and a reader never meets a half file.
What was written here is trusted; what was there before and had not been accepted does not become trusted by it.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tinytown import config_trust
from tinytown.config import PROJECT_FILE, USER_FILE, load, parse_settings, redacted
from tinytown.config import Sources as SourceNames
from tinytown.config_file import read_file
from tinytown.errors import Invalid, InvalidConfig, NotFound
from tinytown.text import one_line, term_safe
from tinytown.transport.disk import atomic_write
from tinytown.transport.locks import locked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tinytown.config import Settings
    from tinytown.config_rules import ConfigValue, Table
    from tinytown.transport.files import TownFiles

_SHOWN_NOT = ("withheld", "notices")
_SECRETS = ("redis.password", "redis.url")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One of the two files: the user's, or with `files` that of a town. `home` is the user's home directory."""

    home: Path
    files: TownFiles | None = None

    @property
    def path(self) -> Path:
        """Where it is, links of the user's own file followed."""
        if self.files is not None:
            return self.files.root / PROJECT_FILE
        return (self.home / ".tt" / USER_FILE).resolve()

    def settings(self, environ: Mapping[str, str]) -> Settings:
        """What is in effect: in the town, or for the user where no town says otherwise. Raises `InvalidConfig`."""
        if self.files is not None:
            return load(self.files.root, environ=environ, home=self.home)
        return parse_settings("", read_file(self.path), {}, sources=self._names())

    def check(self, text: str) -> Settings:
        """The settings if the file had this text. Raises `InvalidConfig`."""
        if self.files is None:
            return parse_settings("", text, {}, sources=self._names())
        user = read_file(self.home / ".tt" / USER_FILE)
        return parse_settings(text, user, {}, sources=self._names(), trusted=lambda _: True)

    def _names(self) -> SourceNames:
        user = str(self.home / ".tt" / USER_FILE)
        return SourceNames(str(self.path), user) if self.files is not None else SourceNames(user=user)


@dataclass(frozen=True, slots=True)
class Changed:
    """What was written. `untrusted`: the file runs or reaches things that nobody has accepted."""

    key: str
    value: ConfigValue
    path: str
    untrusted: bool = False


def effective(file: ConfigFile, key: str, environ: Mapping[str, str]) -> ConfigValue:
    """The value in effect for a dotted key, secrets hidden; the default where no file says anything.

    Raises `NotFound` for a key that there is not.
    """
    found: ConfigValue = {
        name: value for name, value in redacted(file.settings(environ)).items() if name not in _SHOWN_NOT
    }
    for part in _parts(key):
        if not isinstance(found, dict) or part not in found:
            raise NotFound(f"There is no value for '{one_line(key, 100)}'", hint="See what there is with: tt config")
        found = found[part]
    # A CLI that says no more than its command was written as that text, and is read back as it.
    if isinstance(found, dict) and key.startswith("agent_clis.") and isinstance(found.get("command"), str):
        return found["command"]
    return found


def shown(file: ConfigFile) -> str:
    """The text of the file for people: secrets and the values of environments hidden, harmless on a terminal."""
    import tomlkit

    text = read_file(file.path)
    file.check(text)
    document = tomlkit.parse(text)
    _hide(cast("Table", document), ())
    return term_safe(tomlkit.dumps(document)).strip("\n")


def change(file: ConfigFile, key: str, value: str) -> Changed:
    """Set a dotted key. The value is taken as text, or as TOML writes it where the key expects no text.

    Raises `InvalidConfig` for a key or value that does not fit; then nothing was changed.
    """
    parts = _parts(key)
    path = file.path
    with locked(_lock(file)):
        before = read_file(path)
        text, kept = _fitting(file, before, parts, value)
        was_trusted = file.files is None or _trusted(file, before)
        mode = path.stat().st_mode & 0o777 if path.exists() else (0o600 if file.files is None else 0o644)
        atomic_write(path, text.encode(), mode=0o600 if key in _SECRETS else mode)
        untrusted = False
        if file.files is not None:
            part = file.check(text).executable
            if was_trusted and part:
                config_trust.accept(part, file.files.root, home=file.home)
            untrusted = bool(part) and not was_trusted
    return Changed(key, _hidden(parts, kept), str(path), untrusted)


def reveals(key: str, value: str) -> bool:
    """Whether the value is a secret, that must not stand on a command line."""
    return key == "redis.password" or (key == "redis.url" and config_trust.mask(value) != term_safe(value, lines=False))


def _fitting(file: ConfigFile, before: str, parts: tuple[str, ...], value: str) -> tuple[str, ConfigValue]:
    """The new text, and the value as it stands there: the first reading of the value that the file may have."""
    file.check(before)
    failure: InvalidConfig | None = None
    for candidate in (value, *_literal(value)):
        text = _replaced(before, parts, candidate)
        try:
            file.check(text)
        except InvalidConfig as error:
            failure = error
        else:
            return text, candidate
    assert failure is not None
    raise failure


def _literal(value: str) -> list[ConfigValue]:
    try:
        table = tomllib.loads(f"value = {value}")
    except ValueError:
        return []
    found = table["value"]
    return [] if len(table) > 1 or isinstance(found, str) else [cast("ConfigValue", found)]


def _replaced(before: str, parts: tuple[str, ...], value: ConfigValue) -> str:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    document = tomlkit.parse(before)
    table = cast("dict[str, object]", document)
    *above, last = parts
    try:
        for part in above:
            if part not in table:
                table[part] = tomlkit.table()
            below = table[part]
            if not isinstance(below, dict):
                raise InvalidConfig(f"'{part}' of '{'.'.join(parts)}' is a value in the file, and has no values below")
            table = below
        table[last] = value
    except TOMLKitError as error:
        raise InvalidConfig(f"'{'.'.join(parts)}' cannot be set: {one_line(str(error), 200)}") from None
    return tomlkit.dumps(document)


def _trusted(file: ConfigFile, text: str) -> bool:
    assert file.files is not None
    return config_trust.is_trusted(file.check(text).executable, file.files.root, home=file.home)


def _lock(file: ConfigFile) -> Path:
    if file.files is not None:
        return file.files.state().directory / "config.lock"
    directory = file.home / ".tt"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory / "config.lock"


def _parts(key: str) -> tuple[str, ...]:
    parts = tuple(key.split("."))
    # A name of an agent CLI may hold dots; nothing below it is set by this command.
    if parts[0] == "agent_clis" and len(parts) > 2 and parts[-1] not in ("command", "workdir", "env", "env_pass"):
        parts = (parts[0], ".".join(parts[1:]))
    if not all(parts):
        raise Invalid(f"'{one_line(key, 100)}' is no key", hint="A key is like default_cli or limits.max_message.")
    return parts


def _hide(table: Table, path: tuple[str, ...]) -> None:
    for name, value in table.items():
        here = (*path, name)
        if isinstance(value, dict):
            _hide(value, here)
        elif _hidden(here, value) != value:
            table[name] = _hidden(here, value)


def _hidden(path: tuple[str, ...], value: ConfigValue) -> ConfigValue:
    if path[-1] in ("password", "api_key_hash") or (len(path) > 1 and path[-2] == "env"):
        return config_trust.HIDDEN
    return config_trust.mask(value) if path == ("redis", "url") and isinstance(value, str) else value
