"""How the parts of a mission are called for people. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.actors.missions.references import reference_of, repository_of
from tinytown.errors import Invalid

if TYPE_CHECKING:
    from tinytown.actors.missions.references import Reference, Repository
    from tinytown.mission_records import Mission, WorkItem


def home_text(repository: Repository | None) -> str | None:
    """The default repository as a mission keeps it."""
    return f"{repository.host}/{repository.full_name}" if repository is not None else None


def home_of(mission: Mission) -> Repository | None:
    """The repository that a bare number means in a mission."""
    return repository_of("", mission.home)


def label(item: WorkItem, home: Repository | None) -> str:
    """What an item comes from: `Issue #23` of the project's repository, the key of another, nothing for a document."""
    if item.source_ref is None:
        return ""
    reference = as_reference(item.source_ref)
    if reference is not None and reference.repository == home:
        return f"Issue #{reference.number}"
    return item.source_ref


def pull_label(target: str, home: Repository | None) -> str:
    """A pull request: `PR #42` of the project's repository, `PR o/r#42` of another."""
    reference = as_reference(target)
    return f"PR #{reference.number}" if reference is not None and reference.repository == home else f"PR {target}"


def address(target: str, *, pull: bool = True) -> str:
    """Where a person finds it in a browser; the key where that is no issue or pull request."""
    reference = as_reference(target)
    if reference is None:
        return target
    repository = reference.repository
    return f"https://{repository.host}/{repository.full_name}/{'pull' if pull else 'issues'}/{reference.number}"


def as_reference(key: str) -> Reference | None:
    """The reference of a key; None when it is of no issue and no pull request."""
    try:
        return reference_of(key)
    except Invalid:
        return None
