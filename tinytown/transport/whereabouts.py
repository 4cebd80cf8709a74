"""Where a town is, told from a directory and an environment.

Whoever asks may be a process that has to be over in milliseconds (`cli.forkclient`), so nothing is imported here that
Python has not loaded when it has started; not even `typing` or `pathlib`.
"""

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TOWN_VARIABLE = "TINYTOWN_TOWN"
"""Where an agent's runtime says which town it belongs to: its CLI may work in any directory."""

CONFIG_NAME = "tinytown.toml"
DOT = ".tt"
ID_NAME = "town"
"""In `.tt`: the id of the town, which names its state directory."""

_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def beginning(town: "str | None", environ: "Mapping[str, str]") -> str:
    """Where to look for the town: as typed, else what the environment says, else here."""
    return town or environ.get(TOWN_VARIABLE) or "."


def state_root(environ: "Mapping[str, str]") -> str:
    """The directory under which the towns of this user have theirs.

    A relative `XDG_STATE_HOME` is ignored, as the XDG base directory specification demands. Raises `RuntimeError`
    when the user has no home.
    """
    configured = environ.get("XDG_STATE_HOME", "")
    if configured.startswith("/"):
        return os.path.join(configured, "tinytown")
    home = os.path.expanduser("~")
    if home.startswith("~"):
        raise RuntimeError("Could not determine home directory.")
    return os.path.join(home, ".local", "state", "tinytown")


def find_root(start: str) -> "str | None":
    """The project that `start` is in: the nearest directory upwards with a `tinytown.toml` or a `.tt/town`.

    A bare `.tt` is no sign of a town: `~/.tt` holds the user's own configuration. What an agent has in its worktree
    is none either, though git has put a `tinytown.toml` there. None when there is no town.
    """
    here = os.path.realpath(start)
    for directory in _upwards(_town_of_worktree(here) or here):
        if _is_file(directory, CONFIG_NAME) or _is_file(directory, DOT, ID_NAME):
            return directory
    return None


def _town_of_worktree(here: str) -> "str | None":
    """The town in one of whose worktrees (`.tt/agents/<name>`) `here` is; None outside of all."""
    for place in _upwards(here):
        dot, agents = os.path.split(os.path.dirname(place))
        if agents == "agents" and os.path.basename(dot) == DOT and _is_file(dot, ID_NAME):
            return os.path.dirname(dot)
    return None


def _upwards(directory: str) -> "Iterator[str]":
    while True:
        yield directory
        above = os.path.dirname(directory)
        if above == directory:
            return
        directory = above


def _is_file(*parts: str) -> bool:
    """Whether there is one. A directory that we may not search is an error, for a town may be in it."""
    try:
        return stat.S_ISREG(os.stat(os.path.join(*parts)).st_mode)
    except OSError as error:
        if error.errno in _ABSENT:
            return False
        raise
