"""A small GitHub: what missions ask of the real one, with what is behind it, and nothing else. No I/O.

`Forge` holds repositories with their issues, branches, checks and pull requests, and answers requests to its REST and
GraphQL interfaces as the real one would. The demonstration serves it on loopback (`serving`); the tests put their
faults and limits in front of it.
"""

from __future__ import annotations

from tinytown.runtime.demo.forge.answering import Forge
from tinytown.runtime.demo.forge.commits import Check, Commit
from tinytown.runtime.demo.forge.exchange import Answer, Asked
from tinytown.runtime.demo.forge.pulls import Pull, Refused, Review, Said
from tinytown.runtime.demo.forge.repository import Issue, Repo

__all__ = ("Answer", "Asked", "Check", "Commit", "Forge", "Issue", "Pull", "Refused", "Repo", "Review", "Said")
