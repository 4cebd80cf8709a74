"""What a scripted agent does at GitHub: push, open a pull request, look. Here that is the forge on loopback.

What must be true: done again after a death it makes nothing twice.
"""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, cast
from urllib.parse import urlencode

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from tinytown.messages import JsonObject, JsonValue


class Hub:
    """The forge at an address."""

    def __init__(self, url: str) -> None:
        self._url = url
        # Loopback is asked directly, whatever proxy the machine has.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, method: str, path: str, body: JsonObject | None = None) -> JsonValue:
        """The answer to a request. Raises `OSError` for one that is refused."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, method=method)  # noqa: S310
        with cast("HTTPResponse", self._opener.open(request)) as response:
            answer: JsonValue = json.load(response)
            return answer

    def push(self, repository: str, branch: str, sha: str) -> None:
        """A branch is at this commit."""
        self.ask("POST", f"/repos/{repository}/git/refs", {"ref": f"refs/heads/{branch}", "sha": sha})

    def pull_of(self, repository: str, branch: str) -> JsonObject | None:
        """The pull request of a branch: the newest that is open, or else was merged or closed."""
        owner = repository.partition("/")[0]
        asked = urlencode({"head": f"{owner}:{branch}", "state": "all"})
        found = self.ask("GET", f"/repos/{repository}/pulls?{asked}")
        pulls = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
        return next((each for each in pulls if each["state"] == "open"), pulls[0] if pulls else None)

    def open_pull(self, repository: str, branch: str, title: str, body: str) -> str:
        """The address of the pull request of a branch, opened when there is none."""
        pull = self.pull_of(repository, branch)
        if pull is None or (pull["state"] == "closed" and not pull["merged_at"]):
            made = self.ask(
                "POST", f"/repos/{repository}/pulls", {"title": title, "body": body, "head": branch, "base": "main"}
            )
            assert isinstance(made, dict)
            pull = made
        return str(pull["html_url"])
