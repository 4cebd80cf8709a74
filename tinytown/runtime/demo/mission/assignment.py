"""A task of a mission, read: what is to be done, for which issue, and where.

It reads what `tinytown.actors.missions.telling` writes, as a model would. What stands in the quoted text is data: it
counts for nothing here but as the text of the issue.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_HEAD = re.compile(r"\[mission\] (?:(?P<kind>Review|Repair) of )?(?P<key>\S+#\d+): (?P<title>.*)")
_QUOTED = re.compile(r"^--- (?P<mark>[0-9a-f]{16}) ---\n(?P<text>.*?)\n--- (?P=mark) ---$", re.MULTILINE | re.DOTALL)
_BRANCH = re.compile(r"(?:Work on|push to) the branch (\S+?)\.?(?: |$)", re.MULTILINE)
_TRAILER = re.compile(r"^Tinytown-Work-Item: \S+$", re.MULTILINE)
_PULL = re.compile(r"pull request (\S+#\d+)")


class Assignment(NamedTuple):
    """One task. `kind` is `work`, `review` or `repair`; what the task does not name is empty.

    `key` is that of the issue, `owner/name#number`, and `pull` that of the pull request. `trailer` is the line that
    the text of the pull request has to have, and `text` what was quoted: the issue, or what has to be mended.
    """

    kind: str
    key: str
    title: str
    text: str
    branch: str
    trailer: str
    pull: str

    @property
    def repository(self) -> str:
        """`owner/name`."""
        return self.key.partition("#")[0]

    @property
    def number(self) -> int:
        """The number of the issue."""
        return int(self.key.partition("#")[2])


def read_assignment(task: str) -> Assignment | None:
    """What a task of a mission asks for; None for any other text."""
    head = _HEAD.match(task)
    if head is None:
        return None
    quoted = _QUOTED.search(task)
    said = task if quoted is None else task[: quoted.start()] + task[quoted.end() :]
    branch, trailer, pull = _BRANCH.search(said), _TRAILER.search(said), _PULL.search(said)
    return Assignment(
        kind=(head["kind"] or "work").lower(),
        key=head["key"],
        title=head["title"],
        text=quoted["text"] if quoted is not None else "",
        branch=branch[1] if branch is not None else "",
        trailer=trailer[0] if trailer is not None else "",
        pull=pull[1] if pull is not None else "",
    )
