"""Plans, as `tt plan` shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.cli.render.tasks import ICONS
from tinytown.cli.terminal import cells, fit
from tinytown.graph import mermaid
from tinytown.text import one_line, term_safe

if TYPE_CHECKING:
    from tinytown.plan import Plan, PlanEntry

_LABEL = 60
"""Characters of a description in a node of the drawing."""


def listing(plan: Plan, name: str) -> list[str]:
    """The entries in the order of the file."""
    if not plan.entries:
        return [f"No tasks in plan ({name}). Add one under [[tasks]]."]
    return [f"📋 Tasks in plan ({name}):", *(_line(entry) for entry in plan.entries)]


def _line(entry: PlanEntry) -> str:
    before = f"  {ICONS[entry.status]} {_agent(entry)} {entry.id} - "
    return before + fit(entry.description, cells(before))


def _agent(entry: PlanEntry) -> str:
    return f"[{term_safe(entry.agent or 'unassigned', lines=False)}]"


def graph(plan: Plan, name: str) -> list[str]:
    """The order: in stages as text, whose tasks can run at the same time, and as a Mermaid drawing."""
    if not plan.entries:
        return listing(plan, name)
    entries = {entry.id: entry for entry in plan.entries}
    lines = [f"📋 Order of the plan ({name}):"]
    for number, stage in enumerate(plan.stages(), 1):
        for plan_id in stage:
            entry = entries[plan_id]
            after = f" ← {', '.join(entry.depends_on)}" if entry.depends_on else ""
            lines.append(f"  {number}. {ICONS[entry.status]} {_agent(entry)} {plan_id}{after}")
    return [*lines, "", "```mermaid", drawing(plan), "```"]


def drawing(plan: Plan) -> str:
    """The plan as a Mermaid flow chart."""
    labels = {entry.id: f"{entry.id}: {one_line(entry.description, _LABEL)} {_agent(entry)}" for entry in plan.entries}
    return mermaid(labels, [(needed, entry.id) for entry in plan.entries for needed in entry.depends_on])


def flat(plan: Plan, *, graph: bool) -> dict[str, object]:
    """The plan for programs."""
    shown: dict[str, object] = {
        "description": plan.description,
        "default_agent": plan.default_agent,
        "tasks": plan.entries,
    }
    if graph:
        shown |= {"stages": plan.stages(), "mermaid": drawing(plan)}
    return shown
