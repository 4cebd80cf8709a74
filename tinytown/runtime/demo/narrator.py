"""The journal, told as a story: who works, who writes to whom, what is done; and the sums for the end."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tinytown import times
from tinytown.errors import RuntimeFailed
from tinytown.ids import SUPERVISOR_ID, AgentId, TaskId
from tinytown.messages import Informational
from tinytown.runtime.operations.messages import said

if TYPE_CHECKING:
    from pathlib import Path

    from tinytown.messages import Message
    from tinytown.records import Agent, Event
    from tinytown.runtime.demo.view import View
    from tinytown.runtime.town import Town

_MARKS = {"task": "💬", "query": "❓", "informational": "📣", "confirmation": "👍"}
"""What is shown of messages. Assignments and their ends have events of their own."""


@dataclass(slots=True)
class _Life:
    """One agent as the story knows it."""

    name: str
    messages: int = 0
    worked: float = 0.0
    since: str = ""
    log: Path | None = None
    read: int = 0
    reported: bool = False


@dataclass(slots=True)
class Narrator:
    """Tells events. `over` is when an agent that reported to the conductor has ended its round."""

    town: Town
    view: View
    lives: dict[str, _Life] = field(default_factory=dict)
    over: bool = False

    def meet(self, agent: Agent) -> None:
        """An agent takes part."""
        self.lives[agent.id] = _Life(agent.name)

    async def tell(self, event: Event) -> None:
        """One event, after what the agents have printed until now. Raises `RuntimeFailed` for one of failure."""
        for each in self.lives.values():
            self._tell_output(each)
        life = self.lives.get(event.agent or "")
        if event.type == "message.sent":
            await self._tell_message(event)
        elif event.type == "task.assigned" and life is not None and event.task is not None:
            task = await self.town.store.task(TaskId(event.task))
            self.view.happened("📋", f"{self.view.name('you')} → {self.view.name(life.name)}:")
            for line in task.description.splitlines():
                self.view.said("you", line)
        elif life is not None:
            self._tell_work(life, event)

    def _tell_work(self, life: _Life, event: Event) -> None:
        view, name, detail = self.view, self.view.name(life.name), event.detail or ""
        match event.type:
            case "round.started":
                number = _number(detail)
                life.log, life.read, life.since = self.town.files.round_log(life.name, number), 0, event.at
                view.happened("👷", f"{name} works, round {number}")
            case "task.completed":
                view.happened("✅", f"{name} has done its task: {view.text(detail)}")
            case "round.finished":
                took = times.seconds_of(event.at) - times.seconds_of(life.since or event.at)
                life.worked += took
                life.log = None
                view.happened("🏁", f"{name} is done with round {_number(detail)}, {took:.1f} s")
                self.over = self.over or life.reported
            case "task.failed" | "round.failed" | "round.cut" | "agent.failed":
                raise RuntimeFailed(f"{life.name} failed. {detail}", hint="See above, and .tt/logs there.")
            case _:
                return

    async def _tell_message(self, event: Event) -> None:
        kind, _, sender = (event.detail or "").partition(" from ")
        mark = _MARKS.get(kind)
        if mark is None:
            return
        message = await self._find(event)
        life = self.lives.get(sender)
        if life is not None:
            life.messages += 1
            life.reported = life.reported or (
                event.agent == SUPERVISOR_ID and (message is None or isinstance(message.body, Informational))
            )
        text = "…" if message is None else said(message.body, {})
        self.view.happened(mark, f"{self._name(sender)} → {self._name(event.agent or '')}: {self.view.text(text)}")

    async def _find(self, event: Event) -> Message | None:
        """The message itself, as long as its recipient is not done with it."""
        waiting = await self.town.mailbox.peek(AgentId(event.agent)) if event.agent else []
        return next((message for message in waiting if message.id == event.message), None)

    def _name(self, agent_id: str) -> str:
        life = self.lives.get(agent_id)
        return self.view.name(life.name if life is not None else "conductor")

    def _tell_output(self, life: _Life) -> None:
        """What the agent has printed since the last look, whole lines only."""
        if life.log is None:
            return
        try:
            with life.log.open("rb") as log:
                log.seek(life.read)
                lines, newline, _ = log.read().rpartition(b"\n")
        except OSError:
            # The round has begun in the journal and not yet on the disk.
            return
        life.read += len(lines) + len(newline)
        for line in lines.decode("utf-8", "replace").splitlines():
            self.view.said(life.name, line)


def _number(detail: str) -> int:
    found = re.search(r"\d+", detail)
    return int(found[0]) if found else 0
