"""Writes the pages of `docs/cli/`, one for each command, from the grammar of `tt` and the sessions in `examples/`.

Run `python docs/make_cli.py` after a command was added or changed; with `--check` it only says whether a page is
stale (exit 1). A page's examples are `docs/cli/examples/<command>.md`: the tests run these sessions, and fail when
`tt` prints something else.
"""

# ruff: noqa: INP001 - a script, not part of a package

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tinytown.cli.app import build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cyclopts import App, Argument

PAGES = Path(__file__).with_name("cli")
EXAMPLES = PAGES / "examples"

_EXIT = {
    0: "done",
    1: "refused or failed; also when what was named is not there",
    2: "the command line was wrong",
    3: "Redis cannot be reached, or does not serve",
    4: "the time of `--timeout` was over",
    130: "interrupted with Ctrl+C",
}
_HIDDEN = re.compile(r"^<!-- .*? -->\n", re.MULTILINE)


def commands(app: App) -> Iterator[tuple[str, App]]:
    """The commands that `tt --help` shows, with their names, in its order."""
    named = [(name, app[name]) for name in app if not name.startswith("-")]
    for name, command in sorted(named, key=lambda each: _order(each[1])):
        if command.show:
            yield name, command


def leaves(name: str, command: App) -> Iterator[tuple[str, App]]:
    """What can be run of a command: itself, or the commands of a group, with what stands behind `tt`."""
    within = [(f"{name} {each}", command[each]) for each in command if not each.startswith("-")]
    if command.default_command is not None:
        yield name, command
    yield from within


def page(name: str, command: App) -> str:
    """The page of one command."""
    title, _, rest = _prose(command).partition("\n\n")
    parts = [f"# tt {name}", title]
    if rest:
        parts.append(rest)
    runnable = list(leaves(name, command))
    for each, leaf in runnable:
        parts += _reference(each, leaf, alone=len(runnable) == 1)
    codes = [code for code in _EXIT if code != 4 or any(_has_limit(leaf) for _, leaf in runnable)]
    parts += [
        "## Exit codes",
        "\n".join(["| code | |", "| --: | --- |", *(f"| {code} | {_EXIT[code]} |" for code in codes)]),
    ]
    examples = EXAMPLES / f"{name}.md"
    if examples.exists():
        parts += ["## Examples", _HIDDEN.sub("", examples.read_text(encoding="utf-8")).strip()]
    return "\n\n".join(["<!-- made by docs/make_cli.py -->", *parts]) + "\n"


def index(app: App) -> str:
    """The page that lists the commands."""
    rows = [
        f"| [`tt {name}`]({name}.md) | {_prose(command).partition(chr(10))[0]} |" for name, command in commands(app)
    ]
    head = (
        "<!-- made by docs/make_cli.py -->\n\n# The commands of `tt`\n\n"
        "Every command takes `--town PATH` (`-t`) and `--verbose` (`-v`), and `--json` where it shows something. Data "
        "go to the standard output, notes and errors to the standard error. An id may be cut to any unique beginning "
        "of at least four characters; an agent is named by its name, too."
    )
    return "\n".join([head, "", "| command | |", "| --- | --- |", *rows]) + "\n"


def _order(command: App) -> int:
    place = command.sort_key
    return place if isinstance(place, int) else 0


def _prose(command: App) -> str:
    text = command.help or ""
    parts = (part for part in text.strip().split("\n\n") if not part.lstrip().startswith("Example: "))
    return "\n\n".join(parts).strip()


def _shown(command: App) -> list[Argument]:
    return [each for each in command.assemble_argument_collection(parse_docstring=True) if each.show]


def _has_limit(command: App) -> bool:
    return any("--timeout" in each.names for each in _shown(command))


def _reference(name: str, command: App, *, alone: bool) -> list[str]:
    shown = _shown(command)
    positional = [each for each in shown if not each.name.startswith("-")]
    options = [each for each in shown if each.name.startswith("-")]
    words = [_placed(each) for each in positional]
    usage = " ".join(["tt", name, *words, *(["[OPTIONS]"] if options else [])])
    parts = [f"## {'Usage' if alone else f'tt {name}'}"]
    if not alone and _prose(command):
        parts.append(_prose(command))
    parts.append(f"    {usage}")
    if positional:
        rows = [f"| `{each.name}` | {_meaning(each)} |" for each in positional]
        parts.append("\n".join(["| argument | |", "| --- | --- |", *rows]))
    if options:
        rows = [f"| `{'`, `'.join(_spelled(each))}` | {_meaning(each)} |" for each in options]
        parts.append("\n".join(["| option | |", "| --- | --- |", *rows]))
    return parts


def _placed(argument: Argument) -> str:
    name = argument.name
    return name if argument.required else f"[{name}]"


def _spelled(argument: Argument) -> list[str]:
    value = (
        ""
        if argument.hint in (bool, bool | None) or "--no-" in str(argument.names)
        else " " + argument.names[0].lstrip("-").upper().replace("-", "_")
    )
    return [f"{name}{value}" for name in argument.names]


def _meaning(argument: Argument) -> str:
    return (argument.parameter.help or "").replace("|", "\\|")


def pages() -> dict[str, str]:
    """The text of every page by the name of its file."""
    app = build()
    found = {f"{name}.md": page(name, command) for name, command in commands(app)}
    return found | {"README.md": index(app)}


def main() -> int:
    """Write the pages and take away those of commands that are gone."""
    wanted = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in PAGES.glob("*.md")}
    if "--check" in sys.argv[1:]:
        return int(wanted != there)
    for name in there.keys() - wanted.keys():
        (PAGES / name).unlink()
    for name, text in wanted.items():
        (PAGES / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
