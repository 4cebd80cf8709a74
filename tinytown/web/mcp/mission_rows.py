"""The tools of missions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.web.mcp.row import Row
from tinytown.web.schemas.requests import Wire

if TYPE_CHECKING:
    from collections.abc import Mapping

_MISSION = {"mission": "mission_id"}
_NAMED = Wire(names=_MISSION)
_ITEM = Wire(names={**_MISSION, "item": "work_item_id"})

MISSION_ROWS: tuple[Row, ...] = (
    Row(
        "mission.list",
        "mission.list",
        "List missions",
        "List the missions that are not over, with how many of their work items are done. With all: every mission.",
        wire=Wire(names={"everything": "all"}),
    ),
    Row(
        "mission.status",
        "mission.status",
        "Show a mission",
        "See one mission: its work items with whose they are and what each waits for, and what is watched on GitHub.",
        wire=_NAMED,
    ),
    Row(
        "mission.events",
        "mission.events",
        "Read a mission's events",
        "Read what happened in a mission, oldest first. Use it to find out how it came to be as it is.",
        wire=Wire(names={**_MISSION, "count": "limit"}),
    ),
    Row(
        "mission.why",
        "mission.why",
        "Explain a mission",
        "Ask why a mission, or one work item of it, does not get on. The answer is one sentence and what to do. Use it "
        "before you stop or resume anything.",
        wire=_ITEM,
    ),
    Row(
        "mission.note",
        "mission.note",
        "Tell a mission's workers",
        "Write something that every agent is told who gets work of this mission from now on.",
        wire=_NAMED,
    ),
    Row(
        "mission.start",
        "mission.start",
        "Start a mission",
        "Let the town work through a set of GitHub issues, in the order of their dependencies, until their pull "
        "requests are merged. With dry_run nothing is stored, and you see the order. Spawn agents first.",
        wire=Wire(fixed={"runtime": True}),
    ),
    Row(
        "mission.stop",
        "mission.stop",
        "Stop a mission",
        "Give out nothing new of a mission; what agents have goes on to its end. With force it fails for good, and its "
        "open tasks are cancelled.",
        destructive=True,
        wire=_NAMED,
    ),
    Row(
        "mission.resume",
        "mission.resume",
        "Resume a mission",
        "Let a stopped or blocked mission go on. All that it watches is looked at anew.",
        idempotent=True,
        wire=Wire(names=_MISSION, fixed={"runtime": True}),
    ),
    Row(
        "mission.approve",
        "mission.approve",
        "Approve a work item",
        "Let pass what waits for a person: a stranger's text, a result that waits for its review, an item that nobody "
        "could finish. With show you only read the text. Use it when the person has decided so.",
        wire=_ITEM,
    ),
    Row(
        "mission.reject",
        "mission.reject",
        "Reject a work item",
        "Send a work item back to its agent, with what has to change. One whose text is a stranger's fails for good.",
        destructive=True,
        wire=_ITEM,
    ),
)

MISSION_DOCS: Mapping[str, str] = {
    "mission_id": "The mission's id, or its first characters (4 or more). Where it may be left out: the only one.",
    "work_item_id": "The work item: the number of its issue, its key such as owner/repo#23, or its id.",
    "issues": "The issues: 23, owner/repo#23, or their addresses.",
    "docs": "Paths of documents in the project; each open entry of a checklist in them becomes a work item.",
    "manifest": "The path of a mission.toml in the project that overrides what the issues say.",
    "depends": "Texts such as 24:23, when issue 24 has to wait for issue 23.",
    "max_parallel": "How many work items may be in work at once.",
    "no_reviewer": "What is done waits for no review.",
    "auto_merge": "Merge what is approved and green.",
    "dry_run": "Only show what would be done.",
    "show": "Only show the text; approve nothing.",
}
"""What a field means, by its name on the wire."""
