"""What a command line asks for, once it is understood, and who does it.

They are named tuples and not dataclasses, because a dataclass takes five times as long to make.

Both ways of reading a command line (`fast`, and the grammar behind `app`) end in the same `Invocation`; nothing
else passes from reading to doing. So a test can compare the two, and a command never sees an argument.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, cast

from tinytown.transport.whereabouts import beginning

if TYPE_CHECKING:
    from collections.abc import Callable

ACTIONS: dict[str, str] = {
    "init": "town:init",
    "start": "town:start",
    "stop": "town:stop",
    "status": "town:status",
    "demo": "town:demo",
    "doctor": "town:doctor",
    "spawn": "agents:spawn",
    "restart": "agents:restart",
    "list": "agents:list_agents",
    "kill": "agents:kill",
    "interrupt": "agents:interrupt",
    "resume": "agents:resume",
    "close": "agents:close",
    "wait": "waiting:wait",
    "conductor": "conductor:conductor",
    "events": "events:events",
    "history": "insight:history",
    "why": "insight:why",
    "logs": "logs:logs",
    "top": "top:top",
    "dlq list": "dead_letters:show_all",
    "dlq show": "dead_letters:show",
    "dlq retry": "dead_letters:retry",
    "dlq drop": "dead_letters:drop",
    "assign": "tasks:assign",
    "task show": "tasks:show",
    "task list": "tasks:list_tasks",
    "task current": "tasks:current",
    "task complete": "tasks:complete",
    "task fail": "tasks:fail",
    "task cancel": "tasks:cancel",
    "send": "messages:send",
    "inbox": "messages:inbox",
    "answer": "messages:answer",
    "dismiss": "messages:dismiss",
    "inbox --all": "messages:inboxes",
    "tasks": "messages:tasks",
    "backlog add": "backlog:add",
    "backlog list": "backlog:list_items",
    "backlog claim": "backlog:claim",
    "backlog assign-all": "backlog:assign_all",
    "backlog remove": "backlog:remove",
    "mission start": "mission:start",
    "mission status": "mission:status",
    "mission list": "mission:list_missions",
    "mission stop": "mission:stop",
    "mission resume": "mission:resume",
    "mission note": "mission:note_mission",
    "mission why": "mission:why",
    "mission approve": "mission:approve",
    "mission reject": "mission:reject",
    "mission events": "mission:events",
    "mission dispatch": "mission:dispatch",
    "plan": "plan:plan",
    "sync": "plan:sync",
    "recover": "repair:recover",
    "reclaim": "repair:reclaim",
    "reclaim --orphan-tasks": "repair:orphans",
    "prune": "clearing:prune",
    "reset": "clearing:reset",
    "save": "saving:save",
    "restore": "saving:restore",
    "migrate": "migrating:migrate",
    "bootstrap": "bootstrap:bootstrap",
    "config": "config:config",
    "towns": "towns:towns",
    "auth gen-key": "auth:gen_key",
    "auth list": "auth:list_keys",
    "auth revoke": "auth:revoke",
    "auth token": "auth:token",
    "audit": "auth:audit",
    "mcp install": "mcp:install_client",
    "trust show": "trust:show",
    "trust accept": "trust:accept",
    "trust revoke": "trust:revoke",
    "--version": "itself:version",
    "--help": "itself:show_help",
    "--install-completion": "itself:install_completion",
    "__complete": "itself:complete",
}
"""Each command with the module in `commands/` and the function there that does it."""


class Common(NamedTuple):
    """What every command takes: the directory of the town as typed, how much to say, and for whom."""

    town: str | None = None
    verbose: bool = False
    json: bool = False

    @property
    def start(self) -> str:
        """Where to look for the town."""
        return beginning(self.town, os.environ)


class Invocation(NamedTuple):
    """One command with its request, a dataclass of `runtime.operations` or of `asked`."""

    command: str
    request: object = None
    common: Common = Common()


def perform(invocation: Invocation) -> int:
    """Do it; gives the exit status. Raises `TownError` for what went wrong."""
    module, _, function = ACTIONS[invocation.command].partition(":")
    # Not importlib: it would be imported for this alone.
    home = __import__(f"tinytown.cli.commands.{module}", fromlist=[function])
    action = cast("Callable[[object, Common], int]", getattr(home, function))
    return action(invocation.request, invocation.common)
