"""Every key in Redis: what it is called, what it holds, who writes it, when it goes.

Nothing else spells a key. The Lua scripts get theirs from here too: `lua_names` turns the same table into local
names that `scripts.py` puts in front of each script.

All keys of a town begin with `tt:<town>:`, the town's name escaped so that it can hold no separator and no glob.
No key expires by itself: what a town accepted leaves only by being settled, dropped or reset.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from tinytown.lifecycle import AgentState, TaskState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum


class Key(NamedTuple):
    """One row of the catalogue. `per` names what stands behind the suffix, empty for one key a town."""

    name: str
    suffix: str
    per: str
    type: str
    owner: str
    purpose: str
    tail: str = ""
    """Ends the key, behind what it is of."""


CATALOGUE: tuple[Key, ...] = (
    Key("town_id", "id", "", "string", "init", "the id that tells two towns of one name apart"),
    Key("incarnation", "incarnation", "", "string", "init", "mark that shows whether the data vanished"),
    Key("schema", "schema", "", "string", "init", "version of this layout"),
    Key("agent", "agent:", "agent", "string", "store", "record (JSON)"),
    Key("task", "task:", "task", "string", "store", "record (JSON)"),
    Key("names", "names", "", "hash", "store", "agent name -> id; the index of agents"),
    Key("roster", "roster", "", "string", "store", "changes whenever an agent begins a life; guards max_agents"),
    Key("tasks", "tasks", "", "zset", "store", "task ids by creation; the index of tasks"),
    Key("tasks_in", "tasks:", "task state", "set", "store", "task ids by state"),
    Key("agent_tasks", "agent_tasks:", "agent", "set", "store", "ids of tasks that the agent has or had"),
    Key("agents_in", "agents:", "agent state", "zset", "store", "agent ids by state, by creation"),
    Key("at_work", "at_work", "", "zset", "store", "ids of agents in a round, by creation"),
    Key("held", "held", "", "set", "store", "agents that may claim nothing now"),
    Key("tokens", "tokens", "", "hash", "store", "agent id -> SHA-256 of its credential"),
    Key("urgent", "urgent:", "agent", "list", "mailbox", "lane: message JSON"),
    Key("high", "high:", "agent", "list", "mailbox", "lane: message JSON"),
    Key("inbox", "inbox:", "agent", "list", "mailbox", "lane of normal priority: message JSON"),
    Key("low", "low:", "agent", "list", "mailbox", "lane: message JSON"),
    Key("control", "control:", "agent", "list", "mailbox", "control messages for the actor (JSON)"),
    Key("inflight", "inflight:", "agent", "hash", "mailbox", "tag -> claimed message"),
    Key("leases", "leases:", "agent", "zset", "mailbox", "tag -> deadline (ms, server time)"),
    Key("prompted", "prompted:", "agent", "set", "mailbox", "tags that stand in the prompt of a running turn"),
    Key("tags", "tags", "", "string", "mailbox", "last tag given to a claimed message"),
    Key("snoozed", "snoozed", "", "zset", "mailbox", "messages that wait for a time (ms, server time)"),
    Key("attempts", "attempts", "", "hash", "mailbox", "message id -> failed turns"),
    Key("recoveries", "recoveries", "", "hash", "mailbox", "message id -> deaths of a runtime during its turn"),
    Key("live", "live", "", "set", "mailbox", "ids of messages accepted and not yet settled"),
    Key("seen", "seen", "", "zset", "mailbox", "ids accepted in the last day, for de-duplication"),
    Key("ready", "ready", "", "set", "mailbox", "agents with something to read"),
    Key("standing", "standing", "", "hash", "mailbox", "actor that waits with empty hands -> what it takes, and where"),
    Key("dlq", "dlq", "", "stream", "mailbox", "dead letters, with the reason"),
    Key("quarantine", "quarantine", "", "stream", "mailbox", "messages that cannot be read or killed runtimes"),
    Key("waiting", "waiting", "", "set", "store", "ids of tasks that wait for other tasks"),
    Key("dependents", "dependents:", "task", "set", "store", "ids of the tasks that wait for this one"),
    Key("backlog", "backlog", "", "list", "store", "ids of tasks that nobody has"),
    Key("epochs", "epochs", "", "hash", "placement", "actor -> epoch, the fencing token; never falls"),
    Key("placed", "placed", "", "hash", "placement", "actor -> runtime that holds it"),
    Key("unplaced", "unplaced", "", "set", "placement", "agents that wait for a runtime"),
    Key("runtimes", "runtimes", "", "zset", "placement", "runtime -> end of its lease (ms, server time)"),
    Key("runtime", "runtime:", "runtime", "string", "placement", "what a runtime is (JSON)"),
    Key("mission", "mission:", "mission", "string", "missions", "record (JSON); guards all that is of the mission"),
    Key("mission_work", "mission:", "mission", "hash", "missions", "work item id -> record (JSON)", ":work"),
    Key("mission_watch", "mission:", "mission", "hash", "missions", "watch id -> record (JSON)", ":watch"),
    Key("mission_text", "mission:", "mission", "hash", "missions", "work item id -> its source (JSON)", ":text"),
    Key("mission_events", "mission:", "mission", "list", "missions", "its last events (JSON)", ":events"),
    Key("mission_active", "mission:active", "", "set", "missions", "ids of missions that a scheduler works on"),
    Key("missions", "missions", "", "zset", "missions", "mission ids by creation; the index of missions"),
    Key("events", "events", "", "stream", "journal", "what happened, bounded"),
    Key("api_keys", "api_keys", "", "hash", "api_keys", "id -> an API key: its hash, its scopes, its end (JSON)"),
    Key("api_key_uses", "api_key_uses", "", "hash", "api_keys", "id -> when an API key was last used (ms)"),
    Key("audit", "audit", "", "stream", "audit", "calls over HTTP that changed something or were refused, bounded"),
    Key("answers", "answers", "", "hash", "townhall", "name of a request that may come again -> mark or answer"),
    Key("answers_until", "answers_until", "", "zset", "townhall", "the same names by when they go (ms, server time)"),
    Key("activity", "activity:", "agent", "list", "migrate", "what the original wrote; nothing reads it"),
    Key("stop", "stop:", "agent", "string", "migrate", "a flag of the original; nothing reads it"),
    Key("bell", "bell", "", "channel", "mailbox", "ids of agents with something new"),
    Key("handed", "handed:", "runtime", "channel", "mailbox", "messages, claimed for actors that stood ready"),
    Key("broadcast", "broadcast", "", "channel", "mailbox", "messages to everybody (JSON)"),
)

STATES: Mapping[str, type[StrEnum]] = {"task state": TaskState, "agent state": AgentState}
"""The kinds of keys of which there is one a state."""

_BY_NAME = {key.name: key for key in CATALOGUE}
_WHOLE = {key.suffix: key for key in CATALOGUE if not key.per}
_BY_HEAD: dict[str, list[Key]] = {}
for _row in sorted(CATALOGUE, key=lambda row: -len(row.tail)):
    if _row.per:
        _BY_HEAD.setdefault(_row.suffix, []).append(_row)

LANE_KEYS = ("urgent", "high", "inbox", "low")
"""Names of the lanes' keys in the order of reading."""

OF_ANY_TOWN = "tt:*"
"""A pattern for `SCAN`: the keys of all towns. Nothing but a migration looks for them."""

OLD_KINDS = ("agent", "inbox", "urgent", "task", "activity", "stop")
"""What the first version of the original kept for each agent or task, under `tt:<kind>:<id>`, for all towns in one."""
OLD_BACKLOG = "tt:backlog"
"""The one key beside them."""

_OLD = re.compile(rf"tt:({'|'.join(OLD_KINDS)}):([A-Za-z0-9-]{{1,64}})")
_PLAIN = re.compile(r"[A-Za-z0-9._~-]+")
_USED = re.compile(r"\bK_([a-z_]+)\b")
_TOWN = re.compile(r"tt:([A-Za-z0-9._~%-]+):")


def escape(town: str) -> str:
    """The town's name as it stands in keys: anything but letters, digits and `._~-` becomes `%XX` of its UTF-8."""
    if _PLAIN.fullmatch(town):
        return town
    return "".join(
        chr(byte) if _PLAIN.fullmatch(chr(byte)) and byte < 0x80 else f"%{byte:02X}" for byte in town.encode()
    )


def town_of(key: str) -> str | None:
    """The name of the town whose key this is; None when no town can have it."""
    from urllib.parse import unquote

    found = _TOWN.match(key)
    town = unquote(found[1]) if found else ""
    return town if found and escape(town) == found[1] else None


def old_key(key: str) -> tuple[str, str] | None:
    """The kind and the last part of a key from before there were towns in keys; None for any other.

    A town may be called like a kind: what it may have under such a key is its own.
    """
    if key == OLD_BACKLOG:
        return "backlog", ""
    found = _OLD.fullmatch(key)
    return (found[1], found[2]) if found and Keys(found[1]).find(key) is None else None


class Keys:
    """The keys of one town: `keys("agent", agent_id)`, `keys("seen")`."""

    __slots__ = ("prefix", "town")

    def __init__(self, town: str) -> None:
        self.town = town
        self.prefix = f"tt:{escape(town)}:"

    def __call__(self, name: str, part: str = "") -> str:
        """The key of this name, for this agent, task, mission, runtime or state where the catalogue wants one."""
        key = _BY_NAME[name]
        if bool(key.per) != bool(part):
            raise ValueError(f"key {name!r} takes {'an ' + key.per if key.per else 'nothing more'}")
        return self.prefix + key.suffix + part + key.tail

    def find(self, key: str) -> tuple[Key, str] | None:
        """The row of the catalogue for a key of this town, and what it is of; None when there is no such key."""
        if not key.startswith(self.prefix):
            return None
        rest = key[len(self.prefix) :]
        if rest in _WHOLE:
            return _WHOLE[rest], ""
        head, colon, part = rest.partition(":")
        for row in _BY_HEAD.get(head + colon, ()):
            if part.endswith(row.tail) and len(part) > len(row.tail):
                return row, part.removesuffix(row.tail)
        return None

    def lanes(self, agent_id: str) -> list[str]:
        """The four lanes of an agent, in the order of reading."""
        return [self(name, agent_id) for name in LANE_KEYS]


def lua_names(source: str) -> str:
    """Lua lines that define each `K_<name>` which the source uses: a string, or a function of the last part.

    `KEYS[1]` is the town's prefix; it also carries the slot of the town on a cluster.
    """
    lines = []
    for name in dict.fromkeys(_USED.findall(source)):
        key = _BY_NAME[name]
        if key.per:
            tail = f" .. '{key.tail}'" if key.tail else ""
            lines.append(f"local function K_{name}(part) return KEYS[1] .. '{key.suffix}' .. part{tail} end")
        else:
            lines.append(f"local K_{name} = KEYS[1] .. '{key.suffix}'")
    return "\n".join(lines)
