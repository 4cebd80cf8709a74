"""How one value of a configuration file is read, and what is said when it cannot be.

A rule takes what TOML gave and returns the value we keep, or raises `ValueError`; it states what it expects in
words that fit behind "expected". A table of rules says which keys there are. Whatever is wrong is told with the
file, the dotted key, what was found and what was expected; what may be a secret is not repeated.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from tinytown.errors import InvalidConfig
from tinytown.text import nearest, one_line, term_safe
from tinytown.times import span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ConfigValue: TypeAlias = "str | int | float | bool | list[ConfigValue] | dict[str, ConfigValue] | None"
Table: TypeAlias = "dict[str, ConfigValue]"

KIB = 1024
MIB = 1024 * KIB

_MAX_TEXT = 8192
_SHOWN = 60
_READABLE_BITS = 200
# Patterns are compiled where they are first used: compiling all of them at the import would be felt in every `tt`.
_DURATION = r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+"
_DURATION_PART = r"(\d+(?:\.\d+)?)(ms|s|m|h|d)"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = r"(?i:(\d{1,15}) ?([KMG]i?)?B?)"
_BYTES = {"": 1, "k": 1000, "ki": KIB, "m": 1000**2, "mi": MIB, "g": 1000**3, "gi": 1024 * MIB}
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]{0,127}"


# The small types of this file are named tuples: a frozen dataclass takes ten times as long to make at the import.


class Rule(NamedTuple):
    """One key: what it expects, in words, and how its value is read. A secret is never repeated in an error."""

    expected: str
    read: Callable[[object], ConfigValue]
    secret: bool = False


class Alias(NamedTuple):
    """Another spelling of a key of the same table."""

    of: str


class Elsewhere(NamedTuple):
    """A key that exists, but not in this file; `reason` says where it belongs."""

    reason: str


class Named(NamedTuple):
    """A table whose keys are free names. A bare text as a value stands for the key `short` of its entry."""

    rules: Rules
    short: str


class Listed(NamedTuple):
    """A list of tables, each of which needs the key `needed`."""

    rules: Rules
    needed: str


Rules: TypeAlias = "Mapping[str, Rule | Alias | Elsewhere | Named | Listed | Rules]"


def text(expected: str = "text", *, secret: bool = False) -> Rule:
    """A text that is not empty."""
    return Rule(expected, _text, secret)


def name() -> Rule:
    """The name of an agent CLI."""
    return matching(_NAME, "a name of letters, digits, '.', '_' or '-'")


def matching(pattern: str, expected: str, *, secret: bool = False) -> Rule:
    """A text that fits the regular expression as a whole."""

    def read(value: object) -> str:
        if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
            raise ValueError
        return value

    return Rule(expected, read, secret)


def choice(*options: str) -> Rule:
    """One of some texts."""
    return matching(
        "|".join(re.escape(option) for option in options),
        " or ".join(f'"{option}"' for option in options),
    )


def flag() -> Rule:
    """`true` or `false`."""

    def read(value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError  # noqa: TRY004 - one error for all that is unfit
        return value

    return Rule("true or false", read)


def whole(low: int, high: int) -> Rule:
    """A whole number between two bounds, both included."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError
        return value

    return Rule(f"a whole number from {low} to {high}", read)


def duration(low: float, high: float) -> Rule:
    """Seconds: a number, or a text such as `90s`, `1h30m`, `500ms`. The bounds are in seconds."""

    def read(value: object) -> float:
        if isinstance(value, str) and re.fullmatch(_DURATION, value):
            value = sum(float(count) * _SECONDS[unit] for count, unit in re.findall(_DURATION_PART, value))
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError
        if not isfinite(value):
            raise ValueError
        return float(value)

    return Rule(f'seconds, or a text like "90s" or "1h30m", from {_seconds(low)} to {_seconds(high)}', read)


def size(low: int, high: int) -> Rule:
    """Bytes: a number, or a text such as `256KiB` (1,024 each) or `64MB` (1,000 each). The bounds are in bytes."""

    def read(value: object) -> int:
        if isinstance(value, str):
            found = re.fullmatch(_SIZE, value)
            if found is None:
                raise ValueError
            value = int(found[1]) * _BYTES[(found[2] or "").lower()]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError
        return value

    return Rule(f'bytes, or a text like "256KiB" or "64MiB", from {_bytes(low)} to {_bytes(high)}', read)


def inside(example: str = ".tt/redis.sock") -> Rule:
    """A path below the town's directory: relative, and never upwards."""

    def read(value: object) -> str:
        path = _text(value)
        if path.startswith(("/", "~")) or ".." in path.split("/") or path.endswith("/"):
            raise ValueError
        return path

    return Rule(f'a path inside the town\'s directory, such as "{example}"', read)


def texts(each: Rule) -> Rule:
    """A list, each item of which obeys a rule."""

    def read(value: object) -> list[ConfigValue]:
        if not isinstance(value, list):
            raise ValueError  # noqa: TRY004
        return [each.read(item) for item in value]

    return Rule(f"a list; each item is {each.expected}", read)


def variable() -> Rule:
    """The name of an environment variable."""
    return matching(_VARIABLE, "the name of an environment variable")


def variables() -> Rule:
    """A table of environment variables. Its values are taken for secrets."""

    def read(value: object) -> Table:
        if not isinstance(value, dict) or not all(re.fullmatch(_VARIABLE, key) for key in value):
            raise ValueError
        return {key: _value_of_variable(item) for key, item in value.items()}

    return Rule('a table of environment variables, name = "text"', read, secret=True)


def read_table(source: str, table: Mapping[str, object], rules: Rules) -> Table:
    """The table with every value read and every alias resolved; `InvalidConfig` for the first key that is wrong.

    `source` is the file's name for people.
    """
    return _read(source, table, rules, rules, ())


def known_keys(rules: Rules, above: str = "") -> Iterator[str]:
    """Every key in dotted form; a free name shows as `<name>`."""
    for key, rule in rules.items():
        if isinstance(rule, Alias | Elsewhere):
            continue
        if isinstance(rule, Named):
            yield from known_keys(rule.rules, f"{above}{key}.<name>.")
        elif isinstance(rule, Listed):
            yield from known_keys(rule.rules, f"{above}{key}[].")
        elif isinstance(rule, Rule):
            yield above + key
        else:
            yield from known_keys(rule, f"{above}{key}.")


def dotted(path: tuple[str, ...]) -> str:
    """A key as it is shown to people, harmless on a terminal."""
    return ".".join(one_line(part, _SHOWN) for part in path)


def invalid(source: str, path: tuple[str, ...], found: str, expected: str) -> InvalidConfig:
    """The error for a value that is read, but cannot be used."""
    return InvalidConfig(f"{term_safe(source, lines=False)}: {dotted(path)} is {found}; expected {expected}")


def _read(source: str, table: Mapping[str, object], rules: Rules, root: Rules, above: tuple[str, ...]) -> Table:
    out: Table = {}
    spelled: dict[str, str] = {}
    for key, value in table.items():
        path = (*above, key)
        kept, rule = key, rules.get(key)
        if isinstance(rule, Alias):
            kept, rule = rule.of, rules[rule.of]
        first = spelled.setdefault(kept, key)
        if first != key:
            raise InvalidConfig(f"{source}: {dotted((*above, first))} and {dotted(path)} say the same; keep one")
        if rule is None:
            raise _unknown(source, path, rules, root)
        if isinstance(rule, Elsewhere):
            raise InvalidConfig(f"{source}: {dotted(path)} cannot be set here", hint=rule.reason)
        if isinstance(rule, Rule):
            out[kept] = _one(source, path, value, rule)
            continue
        if isinstance(rule, Listed):
            out[kept] = _listed(source, value, rule, root, path)
            continue
        if not isinstance(value, dict):
            raise invalid(source, path, _shown(value), f"a table: [{dotted(path)}]")
        if isinstance(rule, Named):
            out[kept] = _named(source, value, rule, root, path)
        else:
            out[kept] = _read(source, value, cast("Rules", rule), root, path)
    return out


def _named(source: str, table: Mapping[str, object], rule: Named, root: Rules, above: tuple[str, ...]) -> Table:
    out: Table = {}
    for key, value in table.items():
        path = (*above, key)
        if re.fullmatch(_NAME, key) is None:
            raise invalid(source, path, "no usable name", "a name of letters, digits, '.', '_' or '-'")
        entry = {rule.short: value} if isinstance(value, str) else value
        if not isinstance(entry, dict):
            raise invalid(source, path, _shown(value), f"a text (its {rule.short}) or a table: [{dotted(path)}]")
        out[key] = _read(source, entry, rule.rules, root, path)
    return out


def _listed(source: str, value: object, rule: Listed, root: Rules, above: tuple[str, ...]) -> list[ConfigValue]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise invalid(source, above, _shown(value), f"tables: [[{dotted(above)}]]")
    out: list[ConfigValue] = []
    for number, item in enumerate(cast("list[dict[str, object]]", value), 1):
        path = (*above[:-1], f"{above[-1]}[{number}]")
        if rule.needed not in item:
            raise InvalidConfig(f"{source}: {dotted(path)} has no '{rule.needed}'")
        out.append(_read(source, item, rule.rules, root, path))
    return out


def _one(source: str, path: tuple[str, ...], value: object, rule: Rule) -> ConfigValue:
    try:
        return rule.read(value)
    except ValueError:
        found = _kind(value) if rule.secret else _shown(value)
        raise invalid(source, path, found, rule.expected) from None


def _unknown(source: str, path: tuple[str, ...], rules: Rules, root: Rules) -> InvalidConfig:
    near = _nearest(path, rules, root)
    asked = f"; did you mean {near}?" if near else ""
    here = ", ".join(key for key, rule in rules.items() if not isinstance(rule, Alias | Elsewhere))
    return InvalidConfig(
        f"{source}: {dotted(path)} is no key that Tinytown knows{asked}",
        hint=f"Known {f'in [{dotted(path[:-1])}]' if path[1:] else 'at the top of the file'}: {here}",
    )


def _nearest(path: tuple[str, ...], rules: Rules, root: Rules) -> str | None:
    key = path[-1][:_SHOWN]
    beside = nearest(key, [known for known in rules if not isinstance(rules[known], Elsewhere)])
    if beside:
        return dotted((*path[:-1], beside))
    everywhere = list(known_keys(root))
    # A key without its table is the commonest slip: `port` at the top of the file.
    by_last = {known.rpartition(".")[2]: known for known in reversed(everywhere)}
    last = nearest(key, by_last)
    return None if last is None else by_last[last]


def _seconds(seconds: float) -> str:
    return span(seconds) if seconds >= 1 else f"{seconds:g}s"


def _bytes(count: int) -> str:
    unit, of = next((unit, of) for unit, of in (("GiB", 1024 * MIB), ("MiB", MIB), ("KiB", KIB)) if count >= of)
    return f"{count // of}{unit}"


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value or len(value) > _MAX_TEXT:
        raise ValueError
    return value


def _value_of_variable(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return value


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    for kind, shown in ((str, "a text"), (int | float, "a number"), (list, "a list"), (dict, "a table")):
        if isinstance(value, kind):
            return f"{shown} that cannot be used" if kind in (str, dict) else shown
    return "a date or a time"


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f'"{one_line(value, _SHOWN)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    # Python refuses to write integers of thousands of digits, and TOML's hexadecimal ones have no bound.
    if isinstance(value, int) and value.bit_length() > _READABLE_BITS:
        return "a very large number"
    return str(value) if isinstance(value, int | float) else _kind(value)
