"""The grammar of `tt`: every command with its signature, and what to say when a command line does not fit.

Only command lines that the fast path leaves come here, because cyclopts takes longer to import than everything
else together.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from cyclopts import App, CycloptsError, UnknownCommandError, UnknownOptionError, UnusedCliTokensError

from tinytown.cli.grammar import (
    agents,
    auth,
    backlog,
    conductor,
    dead_letters,
    insight,
    itself,
    mcp,
    messages,
    mission,
    plan,
    repair,
    saving,
    settings,
    tasks,
    town,
    trust,
)
from tinytown.cli.grammar.options import Options
from tinytown.cli.invocation import Invocation
from tinytown.errors import Invalid
from tinytown.text import nearest
from tinytown.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TITLE = "Tinytown - Simple multi-agent orchestration using Redis"

_LITERAL = re.compile(r"-+(?:[^A-Za-z0-9-].*)?", re.DOTALL)
"""What begins with a dash and can be no option: `-`, and texts like `- first point`."""

_NO_NUMBER = re.compile(r'unable to convert (".*") into (int|float)$', re.DOTALL)
_NUMBERS = {"int": "no whole number", "float": "no number"}
"""What cyclopts says in words of a programmer, and what a person reads."""

_TASK_HELP = "Manage individual tasks.\n\nExample: tt task list --state running"

_BACKLOG_HELP = (
    'Manage the global backlog of unassigned tasks.\n\nExample: tt backlog add "Review the API" --tags review'
)

_MISSION_HELP = (
    "Let agents work through GitHub issues until their pull requests are merged.\n\n"
    "Example: tt mission start --issue 23 --issue 24"
)

_AUTH_HELP = (
    "Authentication management for townhall.\n\nExample: tt auth gen-key --name phone --scopes town.read --days 90"
)

_DLQ_HELP = "Messages that failed too often: list, show, retry, drop.\n\nExample: tt dlq"

_TRUST_HELP = "What tinytown.toml may run: show, accept, revoke.\n\nExample: tt trust"

_MEANT = re.compile(r' Did you mean "?([^"?\s]+)"?\?$')
"""Cyclopts' guess, which is made of very little: it counts the dashes."""

_MARK = "\0"
"""Stands before such a text while cyclopts reads it; no argument of a process can hold it."""


def build() -> App:
    """The application with all its commands."""
    app = App(name="tt", help="", version=__version__)
    commands: tuple[tuple[str, Callable[..., Invocation] | App], ...] = (
        ("init", town.init),
        ("spawn", agents.spawn),
        ("restart", agents.restart),
        ("assign", tasks.assign),
        ("task", _tasks_app()),
        ("list", agents.list_agents),
        ("status", town.status),
        ("inbox", messages.inbox),
        ("answer", messages.answer),
        ("dismiss", messages.dismiss),
        ("send", messages.send),
        ("kill", agents.kill),
        ("interrupt", agents.interrupt),
        ("resume", agents.resume),
        ("close", agents.close),
        ("wait", agents.wait),
        ("conductor", conductor.conductor),
        ("start", town.start),
        ("stop", town.stop),
        ("top", insight.top),
        ("why", insight.why),
        ("history", insight.history),
        ("logs", insight.logs),
        ("events", town.events),
        ("backlog", _backlog_app()),
        ("mission", _mission_app()),
        ("plan", plan.plan),
        ("sync", plan.sync),
        ("dlq", _dead_letters_app()),
        ("recover", repair.recover),
        ("reclaim", repair.reclaim),
        ("prune", repair.prune),
        ("reset", repair.reset),
        ("save", saving.save),
        ("restore", saving.restore),
        ("migrate", saving.migrate),
        ("bootstrap", settings.bootstrap),
        ("config", settings.config),
        ("towns", settings.towns),
        ("auth", _auth_app()),
        ("audit", auth.audit),
        ("mcp", _mcp_app()),
        ("doctor", town.doctor),
        ("trust", _trust_app()),
        ("demo", town.demo),
    )
    for place, (name, command) in enumerate(commands):
        if isinstance(command, App):
            command.sort_key = place
            app.command(command)
        else:
            app.command(command, name=name, sort_key=place)
    app.command(messages.tasks, name="tasks", show=False)
    app.command(auth.gen_key, name="generate-api-key", show=False)
    app.command(itself.install_completion, name="--install-completion")
    return app


def _tasks_app() -> App:
    task = App(name="task", help=_TASK_HELP)
    for command in (tasks.show, tasks.complete, tasks.fail, tasks.cancel, tasks.current):
        task.command(command)
    task.command(tasks.list_tasks, name="list")
    return task


def _backlog_app() -> App:
    group = App(name="backlog", help=_BACKLOG_HELP)
    for command in (backlog.add, backlog.claim, backlog.assign_all, backlog.remove):
        group.command(command)
    group.command(backlog.list_items, name="list")
    return group


def _mission_app() -> App:
    group = App(name="mission", help=_MISSION_HELP)
    commands: tuple[tuple[str, Callable[..., Invocation]], ...] = (
        ("start", mission.start),
        ("status", mission.status),
        ("list", mission.list_missions),
        ("stop", mission.stop),
        ("resume", mission.resume),
        ("note", mission.note),
        ("why", mission.why),
        ("approve", mission.approve),
        ("reject", mission.reject),
        ("events", mission.events),
        ("dispatch", mission.dispatch),
    )
    for name, command in commands:
        group.command(command, name=name)
    return group


def _dead_letters_app() -> App:
    group = App(name="dlq", help=_DLQ_HELP)
    group.default(dead_letters.show_all)
    group.command(dead_letters.show_all, name="list")
    for command in (dead_letters.show, dead_letters.retry, dead_letters.drop):
        group.command(command)
    return group


def _auth_app() -> App:
    group = App(name="auth", help=_AUTH_HELP)
    group.command(auth.gen_key, name="gen-key")
    group.command(auth.list_keys, name="list")
    group.command(auth.revoke)
    group.command(auth.token)
    return group


def _mcp_app() -> App:
    group = App(name="mcp", help="Let MCP clients use the town.\n\nExample: tt mcp install claude")
    group.command(mcp.install)
    return group


def _trust_app() -> App:
    group = App(name="trust", help=_TRUST_HELP)
    group.default(trust.show)
    for command in (trust.show, trust.accept, trust.revoke):
        group.command(command)
    return group


def bind(argv: Sequence[str]) -> Invocation:
    """What these arguments ask for. Raises `Invalid`, with a suggestion, for what does not fit."""
    app = build()
    try:
        command, bound, _ = app.parse_args(_marked(argv), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise _explained(error) from None
    name = getattr(command, "__name__", "")
    if name == "_run_complete":
        return Invocation("__complete", tuple(argv[1:]))
    if name == "version_print":
        return Invocation("--version")
    if name == "help_print":
        words = tuple(word for word in argv if word not in app.help_flags)
        if words and len(words) == len(argv):
            # A group without a command: cyclopts would show its help and succeed.
            raise Invalid(f"'tt {words[0]}' needs a command", hint=f"See: tt {words[0]} --help")
        return Invocation("--help", words)
    arguments = [_unmarked(value) for value in bound.args]
    options = {key: _unmarked(value) for key, value in bound.kwargs.items()}
    return cast("Invocation", command(*arguments, **options))


def print_help(words: Sequence[str]) -> None:
    """Print the help of the command that these words name, of `tt` itself for none."""
    if not words:
        print(f"{TITLE}\n")
    build().help_print(list(words))


def complete(words: Sequence[str]) -> None:
    """Answer the completion script of a shell: what may follow these words."""
    command, bound, _ = build().parse_args(["__complete", *words])
    command(*bound.args, **bound.kwargs)


def _marked(argv: Sequence[str]) -> list[str]:
    """The arguments, with the mark before each that is a text in spite of its dash."""
    end = argv.index("--") if "--" in argv else len(argv)
    return [_MARK + word if at < end and _LITERAL.fullmatch(word) else word for at, word in enumerate(argv)]


def _unmarked(value: object) -> object:
    if isinstance(value, str):
        return value.removeprefix(_MARK)
    if isinstance(value, Options) and value.town:
        return replace(value, town=value.town.removeprefix(_MARK))
    return value


def _explained(error: CycloptsError) -> Invalid:
    error.verbose = False
    chain = " ".join(("tt", *(error.command_chain or ())))
    hint = f"See: {chain} --help"
    if isinstance(error, UnusedCliTokensError):
        extra = " ".join(error.unused_tokens or ())
        return Invalid(f"Too many arguments for '{chain}': {extra}", hint=f"Put a text into quotes. {hint}")
    message, _, _ = str(error).replace(_MARK, "").partition(" Available commands:")
    message = _without_wild_guess(error, message)
    message = _NO_NUMBER.sub(lambda found: f"{found[1]} is {_NUMBERS[found[2]]}", message.removesuffix("."))
    return Invalid(message, hint=hint)


def _without_wild_guess(error: CycloptsError, message: str) -> str:
    """The message, without a guess at what was meant that is not much like what was typed."""
    guess = _MEANT.search(message)
    if isinstance(error, UnknownOptionError):
        typed = error.token.keyword or error.token.value
    elif isinstance(error, UnknownCommandError) and error.unused_tokens:
        typed = error.unused_tokens[0]
    else:
        return message
    if guess is None or nearest(typed.partition("=")[0], [guess[1]]) is not None:
        return message
    return message[: guess.start()].removesuffix(".")
