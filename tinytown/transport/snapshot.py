"""Save and restore: a town as a file, and back.

What must be true:

* `take` reads at one moment, and changes nothing. The same town gives the same bytes, whether it runs or not.
* `load` puts everything in its place at one moment, or changes nothing. After it no runtime acts under an epoch
  from before, and nothing runs that was not started by somebody.
* Of a file nothing is believed: see `snapshot_file` for what may be written there and `snapshot_rules` for the
  values. We never let a server load one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from tinytown.errors import BadSnapshot, Conflict
from tinytown.ids import SUPERVISOR_ID, new_id
from tinytown.lifecycle import TaskState
from tinytown.records import Agent, Task
from tinytown.text import one_line
from tinytown.transport import scripts, snapshot_file
from tinytown.transport.clearing import KEPT
from tinytown.transport.keys import CATALOGUE, STATES
from tinytown.transport.snapshot_content import GATHERED, Content, Place, Stream, bring_to_rest, messages
from tinytown.transport.snapshot_rules import Fault, check, shown
from tinytown.transport.store import Seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tinytown.transport.connection import Connection, Reply, Value
    from tinytown.transport.keys import Key, Keys

_PER = ("", "agent", "task", "mission")
"""What the keys of a snapshot are of, in the order of the scripts."""

_GROUP = 250
"""Elements in one command of a restore: a script passes on some thousand words at most."""


@dataclass(frozen=True, slots=True)
class Restored:
    """How much a snapshot holds."""

    agents: int
    tasks: int
    missions: int
    messages: int
    dead_letters: int
    events: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A town at rest that was read from a file and found right. `town` is its name there."""

    town: str
    content: Content

    def counts(self) -> Restored:
        """How much there is."""
        streams = {place.name: len(stream.entries) for place, stream in self.content.streams.items()}
        return Restored(
            agents=len(self.content.hashes.get(Place("names"), ())),
            tasks=len(self.content.zsets.get(Place("tasks"), ())),
            missions=len(self.content.zsets.get(Place("missions"), ())),
            messages=sum(1 for _ in messages(self.content)),
            dead_letters=streams.get("dlq", 0) + streams.get("quarantine", 0),
            events=streams.get("events", 0),
        )

    def tasks(self) -> list[Task]:
        """Its tasks, oldest first."""
        found = [Task.decode(self.content.strings[place]) for place in self.content.parts("task")]
        return sorted(found, key=lambda task: (task.created_at, task.id))

    def drop_commands(self) -> None:
        """Take from every task the commands that would verify it; nothing in the snapshot runs anything then."""
        for place in self.content.parts("task"):
            raw = self.content.strings[place]
            task = Task.decode(raw)
            if task.verify:
                self.content.strings[place] = Seen(task, raw).overwrite(replace(task, verify=()))


async def take(connection: Connection, keys: Keys) -> bytes:
    """The whole town as the bytes of a save file.

    `BadSnapshot` when something damaged is in it, that could not be brought back; `TooLarge`.
    """
    return snapshot_file.write(await _at_rest(connection, keys), keys)


def parse(data: bytes, keys: Keys, *, rename: bool = False) -> Snapshot:
    """The snapshot in a save file of this town; with `rename`, of a town of any name.

    `BadSnapshot` says what is wrong, and where.
    """
    try:
        town, content = snapshot_file.read(data)
        bring_to_rest(content, check(content))
    except Fault as fault:
        raise BadSnapshot(
            f"The save file cannot be used: {fault}",
            hint="Nothing was changed. Take the file as 'tt save' wrote it, from another commit perhaps.",
        ) from None
    if town is not None and town != keys.town and not rename:
        raise BadSnapshot(
            f"The save file is of town '{shown(town)[1:-1]}', and this is town '{shown(keys.town)[1:-1]}'",
            hint="Nothing was changed. If that is meant, restore it under this name.",
        )
    return Snapshot(keys.town if town is None else town, content)


async def load(connection: Connection, keys: Keys, snapshot: Snapshot, *, force: bool) -> Restored:
    """Put the snapshot in the place of all that the town holds.

    Without `force`: `Conflict` while a runtime lives, or when agents, tasks, missions or messages are there. Always:
    `Conflict` when the town is of another version than the snapshot. Nothing was changed then.
    """
    content = snapshot.content
    supervisor = Place("agent", SUPERVISOR_ID)
    cleared = [key for key in CATALOGUE if key.type != "channel" and key.name not in KEPT]
    epochs = content.hashes.get(Place("epochs"), {})
    writes = list(snapshot_file.commands(content, keys, most=_GROUP, without=frozenset({"epochs", "tags", "roster"})))
    arguments: list[Value] = [
        *_knowing(),
        int(force),
        content.strings.get(Place("schema"), b""),
        new_id(),
        "" if supervisor in content.strings else keys(*supervisor),
        content.strings.get(Place("tags"), b"0"),
        *(word for per in _PER for word in _counted(_ends(cleared, keys, per))),
        *_counted([word for pair in epochs.items() for word in pair]),
        len(writes),
    ]
    for command in writes:
        arguments += _counted(command)
    # A second time, without force, it would find what it had put there.
    reply = await scripts.REPLACE.run(connection, keys.prefix, arguments, repeat=force)
    _refuse(cast("list[int | bytes]", reply), keys)
    return snapshot.counts()


def _refuse(reply: list[int | bytes], keys: Keys) -> None:
    """Raise what a refusal of the replacing script means."""
    code, *told = (part.decode() if isinstance(part, bytes) else part for part in reply)
    town = one_line(keys.town, 60)
    if code == -1:
        raise Conflict(
            f"Town '{town}' is running (runtimes alive: {told[0]})",
            hint="Stop it first with 'tt stop', or replace it under them: tt restore --force",
        )
    if code == -2:
        agents, tasks, missions, waiting = told
        what = f"agents: {agents}, tasks: {tasks}, missions: {missions}, messages: {waiting}"
        raise Conflict(
            f"Town '{town}' is not empty ({what})",
            hint="To replace all of it: tt restore --force (and before that, to keep it: tt save)",
        )
    if code == -3:
        raise Conflict(
            f"Town '{town}' has layout {told[0]}, the save file another",
            hint="Use the version of Tinytown that wrote the file.",
        )


def describe(snapshot: Snapshot) -> list[str]:
    """What a restore would bring, a line a thing, for people."""
    content, counts = snapshot.content, snapshot.counts()
    waiting: dict[str, int] = {}
    for agent_id, _ in messages(content):
        waiting[agent_id] = waiting.get(agent_id, 0) + 1
    lines = [f"Town '{one_line(snapshot.town, 100)}'", f"Agents: {counts.agents}"]
    agents = [Agent.decode(content.strings[place]) for place in content.parts("agent")]
    for agent in sorted(agents, key=lambda agent: (agent.created_at, agent.name)):
        if agent.id != SUPERVISOR_ID:
            where = f", works in {agent.workdir}" if agent.workdir else ""
            line = f"{agent.name}: {agent.cli}, {agent.state}, {waiting.get(agent.id, 0)} messages{where}"
            lines.append("  " + one_line(line, 200))
    states = {state: len(content.sets.get(Place("tasks_in", state), ())) for state in TaskState}
    parts = ", ".join(f"{count} {state}" for state, count in states.items() if count)
    lines.append(f"Tasks: {counts.tasks}{f' ({parts})' if parts else ''}")
    lines.append(f"Backlog: {len(content.lists.get(Place('backlog'), ()))}")
    if counts.missions:
        lines.append(f"Missions: {counts.missions}, each at rest until 'tt mission resume'")
    snoozed = len(content.zsets.get(Place("snoozed"), ()))
    lines.append(f"Messages: {counts.messages} ({snoozed} snoozed), {counts.dead_letters} set aside")
    lines.append(f"Events: {counts.events}")
    return lines


async def dump(connection: Connection, keys: Keys) -> dict[str, object]:
    """All that is lasting in a town, in a form in which equal towns are equal, by key without the town's prefix.

    It is the town at rest: what a restored save gives. For comparisons, by tests and by people.
    """
    content = await _at_rest(connection, keys)
    out: dict[str, object] = {}
    for place, value in sorted(content.everything().items()):
        name = keys(*place).removeprefix(keys.prefix)
        if isinstance(value, Stream):
            out[name] = (list(value.entries.items()), value.last, value.added, value.deleted)
        else:
            out[name] = sorted(value) if isinstance(value, set) else value
    return out


async def _at_rest(connection: Connection, keys: Keys) -> Content:
    """The content of a town, read at one moment."""
    rows = [key for per in _PER for key in _rows(GATHERED, keys, per)]
    arguments: list[Value] = [*_knowing()]
    for per in _PER:
        arguments += _counted([word for _, *words in _rows(GATHERED, keys, per) for word in words])
    reply = await scripts.GATHER.run(connection, keys.prefix, arguments, repeat=True)
    try:
        content = _content([row[:2] for row in rows], cast("list[tuple[int, bytes, Reply]]", reply))
        bring_to_rest(content, check(content))
    except Fault as fault:
        raise BadSnapshot(
            f"The town cannot be saved: {fault}", hint="Something else wrote there. See what with: tt doctor"
        ) from None
    return content


def _knowing() -> list[Value]:
    """The first words of the scripts that find all keys of a town."""
    return [SUPERVISOR_ID, *_counted(list(TaskState))]


def _counted(words: Sequence[Value]) -> list[Value]:
    return [len(words), *words]


def _rows(catalogue: Iterable[Key], keys: Keys, per: str) -> list[tuple[Place, str, str, str]]:
    """The place and the type of each row that a town has one of, or that each agent (task, mission) has; and how its
    key begins and ends."""
    found = []
    for key in catalogue:
        if key.per in STATES and not per:
            found += [(Place(key.name, state), key.type, keys(key.name, state), "") for state in STATES[key.per]]
        elif key.per == per:
            found.append((Place(key.name), key.type, keys.prefix + key.suffix, key.tail))
    return found


def _ends(catalogue: Iterable[Key], keys: Keys, per: str) -> list[str]:
    return [word for _, _, *ends in _rows(catalogue, keys, per) for word in ends]


def _content(rows: Sequence[tuple[Place, str]], found: Iterable[tuple[int, bytes, Reply]]) -> Content:
    """What the gathering script gave, by type."""
    content = Content()
    for number, raw_part, value in found:
        place, kind = rows[number - 1]
        place = Place(place.name, place.part or raw_part.decode("ascii", "replace"))
        if kind == "string":
            content.strings[place] = cast("bytes", value)
            continue
        if kind == "stream":
            _add_stream(content, place, cast("tuple[list[tuple[bytes, list[bytes]]], bytes, int, bytes]", value))
            continue
        words = cast("list[bytes]", value)
        if kind == "list":
            content.lists[place] = words
        elif kind == "set":
            content.sets[place] = set(words)
        elif kind == "hash":
            content.hashes[place] = dict(zip(words[::2], words[1::2], strict=True))
        else:
            content.zsets[place] = {
                member: snapshot_file.whole(score) for member, score in zip(words[::2], words[1::2], strict=True)
            }
    return content


def _add_stream(
    content: Content, place: Place, told: tuple[list[tuple[bytes, list[bytes]]], bytes, int, bytes]
) -> None:
    entries, last, added, deleted = told
    if last != b"0-0":
        content.streams[place] = Stream({name: tuple(fields) for name, fields in entries}, last, added, deleted)
