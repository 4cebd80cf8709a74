"""The journal of a mission, told as a story."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.errors import RuntimeFailed
from tinytown.runtime.demo.narrator import Narrator

if TYPE_CHECKING:
    from tinytown.records import Event

_MARKS = {
    "item_ready": "🔵",
    "item_assigned": "📌",
    "item_done": "✅",
    "item_blocked": "🚧",
    "review_asked": "🔍",
    "repair_asked": "🔧",
    "merging": "🔀",
}
"""What is shown of a mission's events, by their kinds."""


@dataclass(slots=True)
class MissionNarrator(Narrator):
    """Tells events; it is over when the mission is, whose id is `mission`."""

    mission: str = ""

    async def tell(self, event: Event) -> None:
        """One event. Raises `RuntimeFailed` for one of failure."""
        family, _, kind = event.type.partition(".")
        if family != "mission":
            # What is handed out stands in the mission's own events, in fewer words.
            if event.type != "task.assigned":
                await Narrator.tell(self, event)
            return
        self.mission = event.mission or self.mission
        detail = event.detail or ""
        if kind == "completed":
            self.view.happened("🎉", "The mission is completed")
            self.over = True
        elif kind in ("failed", "stopped"):
            raise RuntimeFailed(f"The mission has {kind}: {detail}", hint="See above, and .tt/logs there.")
        elif mark := _MARKS.get(kind):
            to = f" → {self._name(event.agent)}" if event.agent and kind.endswith(("assigned", "asked")) else ""
            self.view.happened(mark, self.view.text(detail) + to)
