"""One configuration file on the disk: read whole or refused, and closed to others when it holds a password."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from tinytown.config_rules import Rules, Table, read_table
from tinytown.errors import InvalidConfig
from tinytown.text import term_safe

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES = 1 << 20
"""Far above any file written by hand; a larger one was not meant for us."""


def read_file(path: Path) -> str:
    """The text of a configuration file, empty if there is none; `InvalidConfig` for what is no text file."""
    shown = term_safe(str(path), lines=False)
    try:
        # Without O_NONBLOCK the opening of a planted pipe would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise InvalidConfig(f"{shown} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidConfig(f"{shown} cannot be read: it is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        raw = file.read(_MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        raise InvalidConfig(f"{shown} cannot be read: it has more than {_MAX_BYTES:,} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InvalidConfig(f"{shown} is not readable as UTF-8 (line {line})") from None


def read_toml(text: str, source: str, rules: Rules) -> Table:
    """The table of a TOML text, checked against the rules; `InvalidConfig` names `source`, key and reason."""
    if not text:
        return {}
    import tomllib

    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise InvalidConfig(f"{source} is not readable as TOML: it is nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        reason = term_safe(str(error), lines=False)
        raise InvalidConfig(f"{source} is not readable as TOML: {reason}") from None
    except ValueError:
        # Python's own bound on the digits of a number; its text talks of an interpreter setting.
        raise InvalidConfig(f"{source} is not readable as TOML: it holds a number of thousands of digits") from None
    return read_table(source, table, rules)


def keep_private(path: Path) -> str:
    """Closes a file that holds a password to everybody but its owner (mode 0600).

    Returns a line to show when that was needed or could not be done, else an empty text.
    """
    shown = term_safe(str(path), lines=False)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if not mode & 0o077:
            return ""
        os.fchmod(descriptor, 0o600)
    except OSError:
        return f"{shown} holds a password and others may read it (mode {mode:04o}). Close it: chmod 600 {shown}"
    finally:
        os.close(descriptor)
    return f"{shown} holds a password and others could read it (mode {mode:04o}); it has mode 0600 now."
