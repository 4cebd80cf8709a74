"""The environment of a coding CLI: what it needs, and nothing that is not its business.

An allow-list, never a list of what to remove: a secret that nobody thought of does not get through. Whoever wants
a variable passed names it in full (`env_pass` of the CLI); a pattern such as `AIDER_*` never matches a secret of
Tinytown, GitHub, Redis or AWS.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

ALLOWED = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "TMPDIR",
    "TMP",
    "TEMP",
    "XDG_*",
    # Who sits behind a company's proxy can reach no model without these.
    "SSL_CERT_*",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
)
"""What every CLI gets; a trailing `*` stands for the rest of a name."""

_SECRET = ("REDIS", "TOWNHALL", "GITHUB", "GH_", "AWS_")
_OURS = "TINYTOWN_"

# An updater that runs in the middle of a round swaps the program under it, or stalls its start.
UPDATERS_OFF = {"DISABLE_AUTOUPDATER": "1", "AUGMENT_DISABLE_AUTO_UPDATE": "1"}


def path_with_tt(path: str) -> str:
    """The search path on which `tt` is this installation's.

    Its directory goes to the end, since it may hold a `python` that must not stand before the project's own; only
    where another program named `tt` would be found first it goes to the front.
    """
    directory = Path(sys.executable).parent
    if not (directory / "tt").exists():
        return path
    found = shutil.which("tt", path=path)
    if found is None:
        return f"{path}{os.pathsep}{directory}" if path else str(directory)
    if Path(found).resolve() == (directory / "tt").resolve():
        return path
    return f"{directory}{os.pathsep}{path}"


def child_environment(
    base: Mapping[str, str],
    *,
    passed: Iterable[str],
    extra: Mapping[str, str],
    identity: Mapping[str, str],
    find_path: Callable[[str], str] = path_with_tt,
) -> dict[str, str]:
    """The environment of a child of ours.

    `base` is the environment of the runtime. `passed` names what the CLI's preset and configuration want passed on
    besides `ALLOWED`. `extra` are the settings of its configuration; they win over `base`. `identity` tells the
    child who it is; all its names begin with `TINYTOWN_`, and no other way sets such a name. `find_path` makes the
    search path, by default one on which `tt` is found.
    """
    allow = _Allowed((*ALLOWED, *passed))
    out = {name: value for name, value in base.items() if name in allow}
    out.update(UPDATERS_OFF)
    out.update({name: value for name, value in extra.items() if not name.startswith(_OURS)})
    foreign = [name for name in identity if not name.startswith(_OURS)]
    if foreign:
        raise ValueError(f"not names of an identity: {foreign}")
    out.update(identity)
    out["PATH"] = find_path(out.get("PATH", os.defpath))
    return out


class _Allowed:
    """A set of names and patterns of names."""

    def __init__(self, names: Iterable[str]) -> None:
        listed = tuple(names)
        self._names = frozenset(name for name in listed if not name.endswith("*"))
        self._prefixes = tuple(name[:-1] for name in listed if name.endswith("*"))

    def __contains__(self, name: str) -> bool:
        if name.startswith(_OURS):
            return False
        if name in self._names:
            return True
        return name.startswith(self._prefixes) and not any(word in name for word in _SECRET)
