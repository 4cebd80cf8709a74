"""`mission.toml`: what a person knows better than the issues. No I/O.

[[overrides]]
issue = 2                # or "owner/repo#2", or an address
depends_on = [1]         # replaces all that is said elsewhere; [] cuts every edge
owner_role = "backend"
priority = 10            # higher is earlier
kind = "test"
skip = true              # not part of the mission
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.actors.missions.references import Reference, Repository, objective
from tinytown.errors import Invalid, InvalidConfig
from tinytown.mission_records import ITEM_KINDS
from tinytown.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_PRIORITY = 1_000_000
_KNOWN = ("issue", "depends_on", "owner_role", "priority", "kind", "skip")


@dataclass(frozen=True, slots=True)
class Override:
    """What the manifest says of one issue; None where it says nothing."""

    issue: Reference
    depends_on: tuple[Reference, ...] | None = None
    owner_role: str | None = None
    priority: int = 0
    kind: str | None = None
    skip: bool = False


def manifest(text: str, name: str, default: Repository | None) -> dict[str, Override]:
    """The overrides by the key of their issue. `InvalidConfig` names the file, the entry and what is wrong with it."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfig(f"{name}: not TOML: {error}") from None
    entries = table.pop("overrides", [])
    if table:
        raise InvalidConfig(f"{name}: unknown key '{one_line(next(iter(table)), 40)}'; known is overrides")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidConfig(f"{name}: overrides must be written as [[overrides]]")
    found: dict[str, Override] = {}
    for place, entry in enumerate(entries, 1):
        try:
            override = _override(entry, default)
        except Invalid as error:
            raise InvalidConfig(f"{name}: overrides {place}: {error.message}", hint=error.hint) from None
        if override.issue.key in found:
            raise InvalidConfig(f"{name}: overrides {place}: {override.issue} has an entry already")
        found[override.issue.key] = override
    return found


def _override(entry: Mapping[str, object], default: Repository | None) -> Override:
    unknown = next((key for key in entry if key not in _KNOWN), None)
    if unknown is not None:
        raise Invalid(f"unknown key '{one_line(unknown, 40)}'; known are {', '.join(_KNOWN)}", hint="")
    if "issue" not in entry:
        raise Invalid("it names no issue", hint="Write issue = 23.")
    on = entry.get("depends_on")
    if on is not None and not isinstance(on, list):
        raise Invalid("depends_on must be a list of issues", hint="Write depends_on = [1, 2].")
    priority = entry.get("priority", 0)
    if not isinstance(priority, int) or isinstance(priority, bool) or abs(priority) > _MOST_PRIORITY:
        raise Invalid(f"priority must be a whole number up to {_MOST_PRIORITY}", hint="")
    skip = entry.get("skip", False)
    if not isinstance(skip, bool):
        raise Invalid("skip must be true or false", hint="")
    kind = _text(entry, "kind")
    if kind is not None and kind not in ITEM_KINDS:
        raise Invalid(f"kind cannot be '{one_line(kind, 40)}'; known are {', '.join(ITEM_KINDS)}", hint="")
    return Override(
        _issue(entry["issue"], default),
        None if on is None else tuple(dict.fromkeys(_issue(each, default) for each in on)),
        _text(entry, "owner_role"),
        priority,
        kind,
        skip,
    )


def _issue(value: object, default: Repository | None) -> Reference:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Invalid("an issue is a number or a text", hint="Write issue = 23.")
    return objective(str(value), default)


def _text(entry: Mapping[str, object], key: str) -> str | None:
    value = entry.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > 64:
        raise Invalid(f"{key} must be a text of 1 to 64 printable characters", hint="")
    return value
