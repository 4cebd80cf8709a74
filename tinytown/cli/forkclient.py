"""The client of the fork server: hands a hot command to a process that has imported what the command needs.

What must be true:

* It is there to save time: beyond what Python has loaded when it has started it imports three small modules in C.
* Any doubt, and the caller does the command itself: no server, another installation, another user, an interpreter or
  an environment that reads or writes texts in another way, a closed stream. Nobody hears of it.
* Nothing is done twice. The server says that it has accepted before it does anything, and can say so only while the
  client listens; from then on the client never does the command itself, whatever happens.
* To whoever started `tt` it looks as if this process had done it: streams, exit status, Ctrl-C. What ends this
  process ends the command, since the server hears its end.

The server begins with `READY`. A request is a length and fields with NULs between; the descriptors of the current
directory and of the three streams go with its first byte. The answer is `ACCEPTED` and, at the end of the command, its
exit status in one byte.
"""

import _locale
import _signal  # type: ignore[import-not-found]
import _socket
import os
import sys

from tinytown.transport import whereabouts
from tinytown.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType
    from typing import Self

HOT = frozenset({
    ("status",), ("list",), ("inbox",), ("send",), ("assign",),
    ("task", "show"), ("task", "list"), ("task", "complete"),
})  # fmt: skip
"""How the commands begin that `fast` reads, and a server may serve."""

TOWN_OPTIONS = ("--town", "-t")

SOCKET_NAME = "forkserver.sock"
"""In the state directory of the town, which is ours alone."""

READY = b"R"
"""From the server, before anything else. Descriptors sent to one that stands still would stay open there."""
ACCEPTED = b"A"
INTERRUPT = b"i"
"""From the client, after the request: Ctrl-C was pressed."""

LENGTH_BYTES = 4
MOST_BYTES = 1 << 20
"""Of a request. The environment and the arguments of a process together rarely have a twentieth of it."""

DESCRIPTORS = 4

_STANDARD = range(1, 32)
"""The signals that a process may have been started to ignore, as by `nohup`."""

_ACCEPTED_WITHIN = 2.0
"""Seconds for each step until then. All take 3 ms; only a server that stands still lets anybody wait."""

_FOR_PYTHON = ("PYTHON", "LD_")
"""How the variables begin that a process obeys before our code runs."""

_NOT_DECIDING = ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")
"""Common in containers, and not passed to agents. The first goes with the request; the second changes no answer."""

_FLAGS = (
    "debug", "inspect", "optimize", "no_user_site", "no_site", "ignore_environment", "verbose", "bytes_warning",
    "isolated", "dev_mode", "utf8_mode", "warn_default_encoding", "int_max_str_digits",
)  # fmt: skip
"""Of the interpreter; those that are left out change no answer."""


def hand_over(argv: "Sequence[str]") -> "int | None":
    """Let the fork server of the town do the command of these arguments, `argv[0]` being the name of the program.

    Gives its exit status; None when nothing was done, and the caller has to do it. Raises `RuntimeFailed` when it was
    begun and nobody knows how it ended, `KeyboardInterrupt` when it was interrupted before.
    """
    if sys.platform != "linux" or not is_hot(argv[1:]) or None in (sys.stdin, sys.stdout, sys.stderr):
        return None
    try:
        request = pack(argv)
        connection = _connect(argv)
    except (OSError, RuntimeError, ValueError):
        return None
    if connection is None:
        return None
    try:
        with _Interrupts(connection) as interrupts:
            if not _offer(connection, request, interrupts):
                if interrupts.count:
                    raise KeyboardInterrupt
                return None
            status = _next_byte(connection)
    finally:
        connection.close()
    if not status:
        from tinytown.errors import RuntimeFailed

        raise RuntimeFailed(
            "The process that did this command was killed: what it was to do may or may not have been done",
            hint="Look before you repeat it, for example with: tt status --tasks",
        )
    return status[0]


def server_command() -> list[str]:
    """What starts the fork server of a town, but for the town's state directory; nothing where there can be none.

    macOS has no way to tell whether a client is in a sandbox, and no fork that is safe after its libraries are loaded.
    """
    # Not the current directory: it may be a project with modules of its own.
    return [sys.executable, "-P", "-m", "tinytown.cli.forkserver"] if sys.platform == "linux" else []


def is_hot(arguments: "Sequence[str]") -> bool:
    """Whether a command line begins like one that a server serves. One that reads standard input is never served."""
    return (tuple(arguments[:1]) in HOT or tuple(arguments[:2]) in HOT) and "-" not in arguments


def pack(argv: "Sequence[str]") -> bytes:
    """The request to do this here and now. Raises `ValueError` when it is too large."""
    mask = os.umask(0o077)
    os.umask(mask)
    unbuffered = getattr(sys.stdout, "write_through", False)
    ignored = b" ".join([b"%d" % number for number in _STANDARD if _signal.getsignal(number) is _signal.SIG_IGN])
    fields = [fingerprint(), b"%o" % mask, b"%d" % unbuffered, ignored, b"%d" % len(argv), *map(os.fsencode, argv)]
    fields += [b"%b=%b" % item for item in os.environb.items()]
    body = b"\0".join(fields)
    if len(body) > MOST_BYTES:
        raise ValueError("too large to hand over")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def fingerprint() -> bytes:
    """What two processes must have in common for a command to come out the same: code, interpreter, encodings."""
    parts = (
        __version__,
        __file__,
        sys.version,
        sys.prefix,
        [getattr(sys.flags, name) for name in _FLAGS],
        sys._xoptions,
        sys.warnoptions,
        _locale.getencoding(),
        sys.getfilesystemencoding(),
        sys.getfilesystemencodeerrors(),
        [(stream.encoding, stream.errors) for stream in (sys.stdin, sys.stdout, sys.stderr)],
        sorted(item for item in os.environ.items() if item[0].startswith(_FOR_PYTHON) and item[0] not in _NOT_DECIDING),
    )
    return ascii(parts).encode()


def owner(connection: "_socket.socket") -> tuple[int, int]:
    """The pid and the user of the process at the other end, as the kernel knows them (Linux)."""
    found = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    return int.from_bytes(found[:4], sys.byteorder), int.from_bytes(found[4:8], sys.byteorder)


def _connect(argv: "Sequence[str]") -> "_socket.socket | None":
    """A connection to the fork server of the town that the command is about; None if there is none of ours."""
    directory = _state_directory(argv)
    if directory is None:
        return None
    place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(place)
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            return None
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        connection.settimeout(_ACCEPTED_WITHIN)
        # By the descriptor, since the path of a socket may have 107 bytes.
        connection.connect(f"/proc/self/fd/{place}/{SOCKET_NAME}")
    finally:
        os.close(place)
    if owner(connection)[1] == os.geteuid() and connection.recv(1) == READY:
        return connection
    connection.close()
    return None


def _state_directory(argv: "Sequence[str]") -> "str | None":
    # Only to find a server: the town is found again by whoever does the command.
    # No itertools: that would be one more module.
    typed = next((value for option, value in zip(argv, argv[1:], strict=False) if option in TOWN_OPTIONS), None)  # noqa: RUF007
    root = whereabouts.find_root(whereabouts.beginning(typed, os.environ))
    if root is None:
        return None
    # A pipe of this name, which a repository cannot bring but a person can, must not keep us.
    name = os.path.join(root, whereabouts.DOT, whereabouts.ID_NAME)
    file = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        town_id = os.read(file, 64).strip().decode()
    finally:
        os.close(file)
    if not town_id.replace("-", "").isalnum():
        return None
    return os.path.join(whereabouts.state_root(os.environ), town_id)


def _offer(connection: "_socket.socket", request: bytes, interrupts: "_Interrupts") -> bool:
    """Send the request; whether it was accepted. If not, it never will be."""
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        numbers = b"".join(number.to_bytes(4, sys.byteorder) for number in (here, 0, 1, 2))
        sent = connection.sendmsg([request], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)])
        connection.sendall(request[sent:])
        interrupts.send_on()
        return connection.recv(1) == ACCEPTED
    except OSError:
        # From here on the server cannot say it any more; it may have done so a moment ago.
        connection.shutdown(_socket.SHUT_RD)
        return _next_byte(connection) == ACCEPTED
    finally:
        os.close(here)


def _next_byte(connection: "_socket.socket") -> bytes:
    """The next byte, for which there is no limit; nothing if the other end is gone."""
    connection.settimeout(None)
    try:
        return connection.recv(1)
    except OSError:
        return b""


class _Interrupts:
    """Ctrl-C goes to the process that does the command. Nothing is raised here, so no answer is lost half-read."""

    def __init__(self, connection: "_socket.socket") -> None:
        self.count = 0
        self._connection = connection
        self._ready = False

    def __enter__(self) -> "Self":
        self._before = _signal.getsignal(_signal.SIGINT)
        # One that is ignored stays so, as in a script's background.
        if self._before is _signal.default_int_handler:
            _signal.signal(_signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is _signal.default_int_handler:
            _signal.signal(_signal.SIGINT, self._before)

    def send_on(self) -> None:
        """The request is on its way: send what has come and what comes."""
        self._ready = True
        if self.count:
            self._send()

    def _note(self, _number: int, _frame: "FrameType | None") -> None:
        self.count += 1
        if self._ready:
            self._send()

    def _send(self) -> None:
        try:
            self._connection.send(INTERRUPT)
        except OSError:
            return
