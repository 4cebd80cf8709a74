"""What happens at the demonstration's GitHub by itself: checks run for each head, and a merge makes a commit.

It runs in the threads of the forge, one request at a time.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tinytown.errors import RuntimeFailed
from tinytown.runtime.demo.forge import Refused
from tinytown.runtime.demo.mission.bench import checkout, push

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tinytown.runtime.demo.forge import Pull
    from tinytown.runtime.demo.stage import Stage
    from tinytown.runtime.demo.view import View

CHECKS_FILE = "checks.py"


class Works:
    """The part of the forge that has hands. `origin` is the repository that it keeps."""

    def __init__(self, stage: Stage, view: View, origin: Path) -> None:
        self._stage = stage
        self._view = view
        self._origin = str(origin)

    def told(self, what: str, pull: Pull) -> None:
        """See `Forge.told`."""
        if what == "opened":
            self._view.happened("🔀", f"Pull request {pull.key}: {self._view.text(pull.title)}")
        if what in ("opened", "pushed"):
            self._check(pull)
        if what == "merged":
            self._view.happened("🟣", f"{pull.key} is merged, and its issue closed")

    def merge(self, pull: Pull, _method: str) -> str:
        """Squash a branch into one commit on `main`, in the name of whoever wrote it."""
        git = self._stage.git
        try:
            with checkout(git, self._origin) as where:
                git("merge", "--quiet", "--squash", f"origin/{pull.branch}", where=where)
                author = git("log", "-1", "--format=%an <%ae>", f"origin/{pull.branch}", where=where)
                message = f"{pull.title} (#{pull.number})"
                git("commit", "--quiet", "--author", author, "--message", message, where=where)
                return push(git, where, pull.base)
        except RuntimeFailed as error:
            raise Refused(405, f"Pull Request is not mergeable: {error.message}") from error

    def _check(self, pull: Pull) -> None:
        with checkout(self._stage.git, self._origin, pull.branch) as where:
            found = run_checks(where, self._stage.environ)
        for name, outcome in found.items():
            passed = outcome == "passed"
            pull.check(name, "SUCCESS" if passed else "FAILURE")
            self._view.happened("🟢" if passed else "🔴", f"Check of {pull.key}: {name} {outcome}")


def run_checks(where: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Run the checks of the project there: their names with `passed` or `failed`."""
    done = subprocess.run(
        [sys.executable, "-B", CHECKS_FILE],
        cwd=where,
        env={**environ, "PYTHONUTF8": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    found = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    return found if done.returncode == 0 else {**found, "checks": "failed"}
