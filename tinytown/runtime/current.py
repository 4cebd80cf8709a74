"""The settings as the files have them now, for what a long-lived runtime begins anew: a round and its CLI.

What must be true: a file that cannot be used changes nothing; what a person has not accepted has no effect here either.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tinytown.config import PROJECT_FILE, USER_FILE, Settings, load
from tinytown.config_trust import TRUST_NAME
from tinytown.errors import TownError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_Stamp = tuple[tuple[int, int, int] | None, ...]


class CurrentSettings:
    """Gives the settings of a town; the files are read again only when one of them has changed.

    What a town is called and where its data are stays as it was at the start, whatever the files say by now.
    """

    def __init__(
        self, settings: Settings, root: Path, environ: Mapping[str, str], report: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._root = root
        self._environ = environ
        self._report = report
        mine = Path.home() / ".tt"
        self._paths = (root / PROJECT_FILE, mine / USER_FILE, mine / TRUST_NAME)
        self._stamp = self._look()

    def __call__(self) -> Settings:
        """The settings by now."""
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._settings = load(self._root, environ=self._environ, home=Path.home())
            except TownError as error:
                self._report(f"The settings stay as they were: {error.message}")
        return self._settings

    def _look(self) -> _Stamp:
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
