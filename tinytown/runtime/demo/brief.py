"""A prompt, read: who the agent is, and what it was handed.

The agent's part of the demonstration stands on this. It reads what `tinytown.actors.prompts` writes, as a model
would; a text that claims to be a section does not count without the mark of the prompt.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_AGENT = re.compile(r"You are the agent '([^']+)'(?:, in the role of (.+?),?)? in the town '")
_MARK = re.compile(r"between two lines with the mark (\w+)\.")
_INFORMS = frozenset({"for your information", "confirmation", "message"})


class Item(NamedTuple):
    """One text of a prompt. `task` is the id to end it by, empty for what is no task."""

    kind: str
    task: str
    sender: str
    text: str

    @property
    def asks(self) -> bool:
        """Somebody wants something done."""
        return self.kind not in _INFORMS


class Brief(NamedTuple):
    """A whole prompt. `role` is the name where there is no other."""

    name: str
    role: str
    items: tuple[Item, ...]


def read_brief(prompt: str) -> Brief:
    """The brief of a prompt; `ValueError` for a text that is none."""
    agent, mark = _AGENT.search(prompt), _MARK.search(prompt)
    if agent is None or mark is None:
        raise ValueError("this is no prompt of a town")
    section = re.compile(
        r"^### \d+\. (?:🚨 URGENT )?(?P<kind>[a-z, ]+?)(?: (?P<task>[0-9a-f-]{36}))? from (?P<sender>\S+)"
        r"(?: \(tags: [^\n]*\))?\n\n"
        rf"--- {mark[1]} begins\n(?P<text>.*?)\n--- {mark[1]} ends$",
        re.MULTILINE | re.DOTALL,
    )
    items = tuple(
        Item(found["kind"], found["task"] or "", found["sender"], found["text"]) for found in section.finditer(prompt)
    )
    return Brief(agent[1], agent[2] or agent[1], items)
