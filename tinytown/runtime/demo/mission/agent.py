"""The coding CLI of the demonstration's mission: reads a prompt on standard input, works on a branch, ends.

It is scripted: which file answers which issue stands in `story`. What it does with it follows from its prompt, from
the repository, and from GitHub; a round that is repeated finds what the first attempt has done and goes on from there.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from subprocess import CalledProcessError
from typing import TYPE_CHECKING

from tinytown.runtime.demo.brief import Brief, Item, read_brief
from tinytown.runtime.demo.mission.assignment import Assignment, read_assignment
from tinytown.runtime.demo.mission.bench import checkout, push
from tinytown.runtime.demo.mission.hub import Hub
from tinytown.runtime.demo.mission.story import CHAPTERS, Chapter
from tinytown.runtime.demo.workshop import commit, git, say, tt

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

ORIGIN_VARIABLE, HUB_VARIABLE = "DEMO_ORIGIN", "DEMO_HUB"
"""Where the repository and the GitHub of the demonstration are."""

_THINKING = 0.15
"""Seconds between reading and doing; a person shall be able to follow what happens."""


def main() -> int:
    """One round; gives the exit status."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    brief = read_brief(sys.stdin.buffer.read().decode())
    for item in brief.items:
        assignment = read_assignment(item.text) if item.asks else None
        if assignment is not None:
            time.sleep(_THINKING)
            {"work": work, "repair": repair, "review": review}[assignment.kind](brief, item, assignment)
        elif item.task:
            tt("task", "fail", item.task, "--error", "I am a script: I can only work on the demonstration's mission")
    return 0


def work(brief: Brief, item: Item, assignment: Assignment) -> None:
    """Write the file that the issue asks for, and open a pull request."""
    chapter = _chapter(assignment)
    with _bench(assignment) as where:
        if not (where / chapter.path).exists():
            say(f"I am to do #{assignment.number}: {chapter.title}")
            _write(where, chapter, 0)
        made = commit(brief.name, chapter.title, chapter.path, where=where)
        say(f"wrote {chapter.path}, commit {made}, on {assignment.branch}")
        address = _publish(where, assignment, chapter.title)
    tt("task", "complete", item.task, "--result", f"{address}\n{chapter.path} is written, commit {made}.")


def repair(brief: Brief, item: Item, assignment: Assignment) -> None:
    """Mend what was found: the next version of the file."""
    chapter = _chapter(assignment)
    with _bench(assignment) as where:
        now = (where / chapter.path).read_text(encoding="utf-8")
        following = chapter.versions.index(now) + 1
        if following < len(chapter.versions):
            _write(where, chapter, following)
        made = commit(brief.name, f"Mend {chapter.path}", chapter.path, where=where)
        say(f"mended {chapter.path}, commit {made}: {assignment.text.removeprefix('- ')}")
        _publish(where, assignment, chapter.title)
    tt("task", "complete", item.task, "--result", f"Mended, commit {made}.")


def review(_brief: Brief, item: Item, assignment: Assignment) -> None:
    """Read what a pull request changes, and say what is to be said of it."""
    number = assignment.pull.partition("#")[2]
    pull = Hub(os.environ[HUB_VARIABLE]).ask("GET", f"/repos/{assignment.repository}/pulls/{number}")
    assert isinstance(pull, dict)
    assert isinstance(pull["head"], dict)
    change = f"HEAD...{pull['head']['sha']}"
    with checkout(git, os.environ[ORIGIN_VARIABLE]) as where:
        changed = git("diff", "--stat=60", change, where=where)
        say(f"read the diff of {assignment.pull}: {changed.splitlines()[-1].strip() if changed else 'nothing'}")
    wanted = _chapter(assignment).path
    if wanted in changed:
        verdict = f"APPROVED: {wanted} is what the issue asks for."
    else:
        verdict = f"REJECTED: the issue asks for {wanted}, which it does not change."
    say(verdict)
    # What was pushed meanwhile takes a review back: then there is nothing left to end.
    with suppress(CalledProcessError):
        tt("task", "complete", item.task, "--result", verdict)


def _chapter(assignment: Assignment) -> Chapter:
    return CHAPTERS[assignment.number - 1]


def _bench(assignment: Assignment) -> AbstractContextManager[Path]:
    return checkout(git, os.environ[ORIGIN_VARIABLE], assignment.branch)


def _write(where: Path, chapter: Chapter, version: int) -> None:
    path = where / chapter.path
    path.parent.mkdir(exist_ok=True)
    path.write_text(chapter.versions[version], encoding="utf-8")


def _publish(where: Path, assignment: Assignment, title: str) -> str:
    """Push, and see that there is a pull request; gives its address."""
    hub = Hub(os.environ[HUB_VARIABLE])
    hub.push(assignment.repository, assignment.branch, push(git, where, assignment.branch))
    body = f"Closes #{assignment.number}\n\n{assignment.trailer}"
    return hub.open_pull(assignment.repository, assignment.branch, title, body)


if __name__ == "__main__":
    sys.exit(main())
