"""What a town is called when nobody says: after the git repository and its branch, or after the directory.

Git's own files are read; git is not run. It need not be installed, and a repository's configuration can make it
run programs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.errors import InvalidName
from tinytown.ids import town_name

if TYPE_CHECKING:
    from pathlib import Path

_FALLBACK = "town"
_HEAD = "ref: refs/heads/"
_READ = 4096
_LONGEST = 100


def default_name(root: Path) -> str:
    """`<repository>-<branch>`, the repository alone without a branch, the directory outside a repository."""
    here = root.resolve()
    for directory in (here, *here.parents):
        dot_git = directory / ".git"
        if dot_git.exists():
            repository, branch = _git(directory, dot_git)
            return _usable(f"{repository}-{branch}" if branch else repository)
    return _usable(here.name)


def _git(directory: Path, dot_git: Path) -> tuple[str, str]:
    """The names of repository and branch; in a linked work tree those of the repository it belongs to."""
    git, repository = dot_git, directory.name
    if dot_git.is_file():
        git = directory / _first_line(dot_git).removeprefix("gitdir:").strip()
        common = _first_line(git / "commondir")
        if common:
            repository = (git / common).resolve().parent.name or repository
    head = _first_line(git / "HEAD")
    branch = head.removeprefix(_HEAD) if head.startswith(_HEAD) else ""
    # The placeholder of repositories that keep their references in another format.
    return repository, "" if branch == ".invalid" else branch


def _first_line(path: Path) -> str:
    try:
        if not path.is_file():
            return ""
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline(_READ).strip()
    except OSError:
        return ""


def _usable(name: str) -> str:
    printable = "".join(char for char in name if char.isprintable())[:_LONGEST].strip()
    try:
        return town_name(printable)
    except InvalidName:
        return _FALLBACK
