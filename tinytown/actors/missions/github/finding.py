"""The pull request of an item whose agent is done.

What must be true: it is found by what GitHub has, never by what the agent says; and when GitHub cannot be asked, that
raises, since an item without a pull request goes another way than one with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from tinytown.actors.missions.github.failures import GitHubFailed
from tinytown.actors.missions.github.reading import details
from tinytown.actors.missions.linking import belongs, suggested
from tinytown.actors.missions.references import Reference, reference_of

if TYPE_CHECKING:
    from tinytown.actors.missions.github.client import GitHub
    from tinytown.actors.missions.github.pulls import Pull
    from tinytown.actors.missions.references import Repository
    from tinytown.mission_records import WorkItem


async def find_pull(github: GitHub, item: WorkItem, result: str, home: Repository) -> Pull | None:
    """The pull request that belongs to an item, or None when GitHub has none.

    `result` is what its agent said; what that names is looked at, what there is of the item's branch, and the one that
    was found before: who mends it need not name it again. Of several it is the newest that is open or merged. Raises
    what `GitHub.get` raises.
    """
    issue = reference_of(item.source_ref) if item.source_ref else None
    known = [reference_of(item.pull)] if item.pull is not None else []
    named = [each for each in suggested(result, home, issue) if each.repository == home]
    references = dict.fromkeys([*known, *named, *await _of_branch(github, item, home)])
    found = await details(github, list(references))
    if len(found) < len(references):
        raise GitHubFailed(f"GitHub could not tell of the pull requests of {item.key or item.title}")
    own = [pull for pull in found.values() if pull is not None and _is_own(pull, item, home)]
    return max(own, key=_rank, default=None)


def _is_own(pull: Pull, item: WorkItem, home: Repository) -> bool:
    """One that was its own stays so, whatever somebody makes of its branch and its text."""
    return pull.glance.reference.key == item.pull or belongs(pull, item, home)


async def _of_branch(github: GitHub, item: WorkItem, home: Repository) -> list[Reference]:
    if item.branch is None:
        return []
    head = quote(f"{home.owner}:{item.branch}", safe=":/")
    listed = await github.pages(f"/repos/{home.full_name}/pulls?state=all&head={head}&per_page=100", background=True)
    numbers = [each.get("number") for each in listed if isinstance(each, dict)]
    return [Reference(home, number) for number in numbers if isinstance(number, int)]


def _rank(pull: Pull) -> tuple[bool, bool, int]:
    """The larger is taken: what is not closed; what nobody outside can have made; the newer."""
    return pull.glance.state != "CLOSED", not pull.foreign, pull.glance.reference.number
