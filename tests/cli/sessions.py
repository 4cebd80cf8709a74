"""Shell sessions in Markdown: run as they stand, and compared with the output they show.

A block ```` ```console ```` holds commands behind `$ ` with what each prints on both its outputs. `tt` runs in this
process by its own `main`, and as a child where it gets a signal; `cat FILE` and `echo $?` are known, too. A comment
before a block makes it different:

    <!-- given: agents backend reviewer -->   agents of another host that no runtime runs
    <!-- given: a runtime elsewhere -->       one of another host, which does nothing
    <!-- given: file tasks.toml -->           the next block, of any language, becomes that file
    <!-- given: failed message -->            a message of the agent `backend` that failed for good
    <!-- given: a runtime -->                 a runtime that stays, and `claude` on the PATH, scripted
    <!-- given: a GitHub -->                  a clone of acme/shop, whose issues are those of `hub.SHOP`
    <!-- given: no town -->                   an empty directory
    <!-- until: backend is idle -->           wait for it
    <!-- until: mission is running -->        the same for the one mission
    <!-- on a terminal -->                the commands have a terminal of their own
    <!-- ctrl-c after: TEXT -->               the last command gets Ctrl-C when it has printed this
    <!-- varies -->                           compare each line only up to its first colon
    <!-- varies in order -->                  compare the lines in any order, whatever numbers and commits they hold
    <!-- not run -->                          it needs a terminal, a network or much time

Ids, times and places differ from run to run, so what was printed is made canonical first: the first id that appears
becomes the first of a fixed list, and so on; in commands the listed ids are turned back into the true ones.
`RECORD_EXAMPLES=1` writes what was printed into the files instead of comparing it.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shlex
import signal
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path
from uuid import UUID

from living import wait_until
from person import LONG, TT, Person

from tinytown.cli.main import main
from tinytown.ids import SUPERVISOR_ID
from tinytown.messages import Message, Work
from tinytown.runtime.opening import open_blocking
from tinytown.transport.blocking import run_sync
from tinytown.transport.delivery import DeadLetter
from tinytown.transport.placement import RuntimeCard, new_runtime_id

BLOCK = re.compile(
    r"(?P<notes>(?:<!-- [^\n]* -->\n)*)(?P<fence>`{3,})(?P<language>\w+)\n(?P<text>.*?)^(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)
_NOTE = re.compile(r"<!-- (.*?) -->")
_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})?\b")
_FIXED = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"), "2026-01-15T09:30:00.000Z"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?"), "2026-01-15 09:30"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b(?!T)"), "2026-01-15"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "09:30:00"),
    (re.compile(r"(?<!interval: )\b\d+(?:\.\d+)?s\b"), "2s"),
    (re.compile(r"\btt_[A-Za-z0-9_-]{43}"), "tt_" + "x" * 43),
    (re.compile(r"(?<=\btt_)[A-Za-z0-9_-]{5}(?=\.\.\.)"), "xxxxx"),
    (re.compile(r"(?<=Id: )[A-Za-z0-9_-]{8}$|(?<=' \()[A-Za-z0-9_-]{8}(?=\)$)", re.MULTILINE), "k3yId123"),
    (re.compile(r"\b[\d,]+ bytes\b"), "1,024 bytes"),
    (re.compile(r"\b\d+ Redis keys\b"), "6 Redis keys"),
    (re.compile(r"(?<=\bpid )\d+\b"), "4711"),
    (re.compile(r"\b[\d,]+ MiB\b"), "80,000 MiB"),
    (re.compile(r"(?i)(?<=\bvalkey )\d+\.\d+\.\d+\b"), "9.1.2"),
    (re.compile(r"(?<=\bPython )\d+\.\d+\.\d+\b"), "3.13.1"),
    (re.compile(r"\$argon2id\$[^\s\"']+"), "$argon2id$v=19$..."),
)

_ELSEWHERE = RuntimeCard(new_runtime_id(), "elsewhere", 1, "2026-01-01T00:00:00.000Z")


def sample_id(number: int) -> str:
    """The `number`th id of the documentation."""
    return str(UUID(bytes=hashlib.sha256(b"%d" % number).digest()[:16], version=4))


@dataclass
class Session:
    """One file's commands, run one after the other in a person's directory."""

    person: Person
    status: int = 0
    ids: dict[str, str] = field(default_factory=dict)

    def run(self, command: str) -> str:
        """What a command prints, made canonical."""
        return self.canonical(self.raw(command))

    def raw(self, command: str) -> str:
        """What a command prints."""
        words = shlex.split(self._true(command), comments=True)
        if command.strip() == "echo $?":
            return f"{self.status}\n"
        if words[0] == "cat":
            return (self.person.directory / words[1]).read_text()
        assert words[0] == "tt", f"a session knows tt, cat and echo $?, not {command!r}"
        kept = io.BytesIO()
        printed = io.TextIOWrapper(kept, encoding="utf-8", write_through=True)
        with redirect_stdout(printed), redirect_stderr(printed):
            try:
                self.status = main(words[1:])
            except SystemExit as end:
                self.status = int(end.code or 0)
        printed.flush()
        return kept.getvalue().decode()

    def interrupted(self, command: str, after: str) -> str:
        """What a command prints that gets Ctrl-C once it has printed a text, with `^C` where that came."""
        words = shlex.split(self._true(command), comments=True)
        process = self.person.begin(*words[1:], stderr=subprocess.STDOUT)
        assert process.stdout is not None
        seen = b""
        while after.encode() not in seen:
            line = process.stdout.readline()
            assert line, f"it ended without {after!r}:\n{seen.decode()}"
            seen += line
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=LONG)
        self.status = process.returncode
        return self.canonical(f"{seen.decode()}^C\n{rest.decode()}")

    def on_terminal(self, command: str) -> str:
        """What a command prints on a terminal."""
        said = self.person.on_terminal(*shlex.split(self._true(command), comments=True)[1:])
        self.status = said.code
        return self.canonical(said.out)

    def canonical(self, text: str) -> str:
        """The text with the places, times and ids of the documentation."""
        base = str(self.person.directory.parent)
        text = text.replace(str(self.person.directory), "/home/me/my-project").replace(f"{base}/home", "/home/me")
        text = re.sub(
            re.escape(f"{base}/state/tinytown/") + r"\S*?(?=/|\s|$)", "/home/me/.local/state/tinytown/1", text
        )
        text = text.replace(f"{TT.parent}/", "/home/me/.local/bin/")
        text = _ID.sub(self._shown, text)
        for pattern, shown in _FIXED:
            text = pattern.sub(lambda _, shown=shown: shown, text)
        return text

    def _shown(self, found: re.Match[str]) -> str:
        """The id of the documentation for a true one, or for the first eight characters of one."""
        if found[0] == SUPERVISOR_ID or found[0] in SUPERVISOR_ID:
            return found[0]
        sample = self.ids.setdefault(found[0][:8], sample_id(len(self.ids) + 1))
        return sample if len(found[0]) == len(sample) else sample[:8]

    def _true(self, command: str) -> str:
        for true, shown in self.ids.items():
            command = command.replace(shown[:8], true)
        return command

    def given(self, what: str) -> None:
        """Make what a session starts from."""
        if what.startswith("agents "):
            for name in what.split()[1:]:
                self.person.agent(name)
        elif what == "a runtime elsewhere":
            with open_blocking(self.person.directory, environ=self.person.environ) as town:
                run_sync(town.placement.begin(_ELSEWHERE, lease=600))
        elif what == "failed message":
            self._bury()
        else:
            assert what in ("no town", "a runtime", "a GitHub"), f"nobody knows how to give {what!r}"

    def until(self, name: str, state: str) -> None:
        """Wait until an agent, or the mission, is in a state."""

        def stands() -> str:
            if name == "mission":
                return run_sync(town.missions.all())[0].state
            return run_sync(town.store.find_agent(name)).state

        with open_blocking(self.person.directory, environ=self.person.environ) as town:
            wait_until(lambda: stands() == state, what=f"{name} is {state}")

    def _bury(self) -> None:
        agent = self.person.agent("backend")
        with open_blocking(self.person.directory, environ=self.person.environ) as town:
            run_sync(town.mailbox.send(Message(agent.id, agent.id, Work("Read the disk that is gone"))))
            run_sync(town.placement.begin(_ELSEWHERE, lease=60))
            (placed,) = run_sync(town.placement.place(_ELSEWHERE.id, [agent.id]))
            assert placed.fence is not None
            claim = run_sync(town.mailbox.claim(placed.fence, count=50, size=1 << 20, lease=60))
            outcomes = [(each, DeadLetter("exit status 3")) for each in claim.deliveries]
            run_sync(town.mailbox.settle(placed.fence, outcomes))
            run_sync(town.placement.unplace(placed.fence, wanted=True))
            run_sync(town.placement.end(_ELSEWHERE.id))


def play(document: Path, person: Person) -> None:
    """Run the sessions of a file; an `AssertionError` shows where what is printed differs from what it says."""
    before = document.read_text(encoding="utf-8")
    session = Session(person)
    after = BLOCK.sub(lambda found: _played(found, session), before)
    if os.environ.get("RECORD_EXAMPLES"):
        document.write_text(after, encoding="utf-8")
    else:
        wrong = "".join(unified_diff(before.splitlines(True), after.splitlines(True), "it says", "tt prints", n=2))
        assert not wrong, f"{document.name}; RECORD_EXAMPLES=1 takes over what is printed\n{wrong}"


def _played(found: re.Match[str], session: Session) -> str:
    notes = _NOTE.findall(found["notes"])
    for note in notes:
        verb, _, what = note.partition(": ")
        if verb == "given" and what.startswith("file "):
            (session.person.directory / what.removeprefix("file ")).write_text(found["text"])
        elif verb == "given":
            session.given(what)
        elif verb == "until":
            name, _, state = what.partition(" is ")
            session.until(name, state)
    if found["language"] != "console" or "not run" in notes:
        return found[0]
    parts: list[str] = []
    commands = _commands(found["text"])
    (ends,) = [note.partition(": ")[2] for note in notes if note.startswith("ctrl-c after: ")] or [""]
    alike = [seen for note, seen in (("varies", _heads), ("varies in order", _gist)) if note in notes]
    for number, (command, said) in enumerate(commands, start=1):
        cut = ends and number == len(commands)
        run = session.on_terminal if "on a terminal" in notes else session.run
        printed = session.interrupted(command, ends) if cut else run(command)
        if any(seen(printed) == seen(said) for seen in alike) and not os.environ.get("RECORD_EXAMPLES"):
            printed = said
        parts.append(f"$ {command}\n{printed}")
    return f"{found['notes']}{found['fence']}console\n{''.join(parts)}{found['fence']}"


def _gist(text: str) -> list[str]:
    lines = (re.sub(r"\b[0-9a-f]{7}\b|\d+(?:\.\d+)?", "#", line).split() for line in text.splitlines())
    return sorted(" ".join(words) for words in lines)


def _heads(text: str) -> list[str]:
    return [line.partition(":")[0] for line in text.splitlines()]


def _commands(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for line in text.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:].rstrip("\n"), ""))
        else:
            command, said = found[-1]
            found[-1] = (command, said + line)
    return found


def commands_of(document: str) -> list[str]:
    """Every command line that the sessions of a document show."""
    return [
        command
        for found in BLOCK.finditer(document)
        if found["language"] == "console"
        for command, _ in _commands(found["text"])
    ]
