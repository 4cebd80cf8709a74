"""Reviews: what a reviewer is told, and how its answer is read.

A review is a task of its own, in the reviewer's hands. Completing it approves of the work, failing it rejects the
work with the error as the reason. A reviewer whose CLI ends without saying either is taken at its word: the last
line that begins with APPROVED or REJECTED.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from tinytown.records import Task, TaskSource

if TYPE_CHECKING:
    from tinytown.messages import JsonObject

NO_VERDICT = "no verdict"
"""The error of a review that came to no decision."""

TAG = "review"

_VERDICT = re.compile(r"^[ \t*_#`]*(APPROVED|REJECTED)\b", re.MULTILINE)
"""A verdict may be printed as a heading or in bold; a quoted line (`>`) is somebody else's."""


def review_of(task: Task, worker: str) -> Task:
    """A new task, in nobody's hands yet: to review what `worker` claims to have done on this one."""
    # Its own id has to stand in its description, so it is made first.
    review = Task("", tags=(TAG,), parent_id=task.id, review_of=task.id, source=TaskSource.ASSIGN)
    parts = [
        f"Review the work of '{worker}' on task {task.id}. You decide whether it is done; change nothing of it.",
        f"The task was:\n\n{_quoted(task.description)}",
        f"'{worker}' says of the result:\n\n{_quoted(task.claim or '(nothing)')}",
    ]
    if task.evidence:
        parts.append("Checks that were run on it:\n\n" + "\n".join(_check(each) for each in task.evidence))
    if task.note:
        parts.append(f"It was sent back before, because:\n\n{_quoted(task.note)}")
    parts.append(
        "Look at the work itself (the files, `git log --all`), not only at what is said of it. Then decide:\n"
        f'    tt task complete {review.id} --result "why it is good"     # approve\n'
        f'    tt task fail {review.id} --error "what has to change"      # reject\n'
        "Or end your answer with a line that begins with the word APPROVED, or with the word REJECTED and what has "
        "to change."
    )
    return replace(review, description="\n\n".join(parts))


def verdict(answer: str) -> bool | None:
    """Whether this answer of a reviewer approves; None when it does not say."""
    found = _VERDICT.findall(answer)
    return None if not found else found[-1] == "APPROVED"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.split("\n"))


def _check(evidence: JsonObject) -> str:
    commit = str(evidence.get("commit") or "")[:12]
    at = f" (at commit {commit})" if commit else ""
    outcome = evidence.get("failure") or f"exit status {evidence.get('code')}"
    return f"- {evidence.get('name')}: {outcome}{at}"
