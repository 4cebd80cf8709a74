"""Which way a server comes here."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Literal

from tinytown.errors import Conflict, Invalid, RuntimeFailed, TownError
from tinytown.runtime.bootstrap.place import SERVER, Installed, alternatives
from tinytown.transport.server_binary import ask_version, bundled_server, dotted, find_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tinytown.config import Settings
    from tinytown.runtime.bootstrap.place import Place, Wanted

Method = Literal["auto", "bundled", "source", "ai"]


class Bootstrap:
    """One request. `settings` are the user's own: no project decides what is installed for him."""

    def __init__(
        self, place: Place, wanted: Wanted, settings: Settings, *, cli: str | None, progress: Callable[[int, int], None]
    ) -> None:
        self._place = place
        self._wanted = wanted
        self._settings = settings
        self._cli = cli
        self._progress = progress

    def there(self, path_env: str) -> Installed | None:
        """A server that fits and is installed already, with which there is nothing to do; None without one."""
        try:
            found = find_server(None, self._place.home, path_env)
        except TownError:
            return None
        if found.bundled or not self._wanted.takes(found.version):
            return None
        return Installed(found.name, dotted(found.version), str(found.path), "there")

    def run(self, method: Method, *, quiet: bool) -> Installed:
        """Install a server by this method; `auto` copies what is bundled, and otherwise builds from source.

        Raises `Invalid`, `Conflict`, `NotFound` and `RuntimeFailed`; then the server that was there still is.
        """
        if self._cli is not None and method not in ("auto", "ai"):
            raise Invalid("--cli belongs to --method ai", hint="Leave one of them out.")
        with self._place.workshop() as scratch:
            if method == "ai" or self._cli is not None:
                return self._by_cli(scratch, quiet=quiet)
            if method == "bundled" or (method == "auto" and self._bundled_fits()):
                return self._bundled(scratch)
            return self._from_source(scratch)

    def _bundled_fits(self) -> bool:
        bundled = bundled_server()
        found = ask_version(bundled) if bundled is not None else None
        return found is not None and self._wanted.takes(found[1])

    def _bundled(self, scratch: Path) -> Installed:
        bundled = bundled_server()
        if bundled is None:
            raise RuntimeFailed("No server is bundled for this platform", hint=alternatives())
        if not self._bundled_fits():
            found = ask_version(bundled)
            told = f"{found[0]} {dotted(found[1])}" if found else "of an unknown version"
            raise Conflict(
                f"The bundled server is {told}, and Redis {self._wanted} was asked for",
                hint=f"Build it: tt bootstrap {self._wanted} --method source",
            )
        self._place.tell("   Copying the bundled Valkey server")
        (scratch / "bin").mkdir()
        shutil.copyfile(bundled, scratch / "bin" / SERVER)
        return self._place.install(scratch / "bin", scratch, self._wanted, "bundled")

    def _from_source(self, scratch: Path) -> Installed:
        from tinytown.runtime.bootstrap.source import Source

        programs = Source(os.environ, self._place.tell, self._progress).build(self._wanted, scratch)
        return self._place.install(programs, scratch, self._wanted, "source")

    def _by_cli(self, scratch: Path, *, quiet: bool) -> Installed:
        from tinytown.runtime.bootstrap.by_cli import build

        self._place.tell(f"   Using {self._cli or self._settings.default_cli} to download and build Redis...")
        programs = build(self._place, self._settings, self._cli, self._wanted, scratch, quiet=quiet)
        return self._place.install(programs, scratch, self._wanted, "ai")
