"""The fork server by itself: whom it serves and what, and that nobody can keep it from the others.

Here it has a town without Redis, since a command says that there is none as well by itself as through a server.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from living import LONG, wait_until
from warmth import COLD, children_of, servers_of, stuck_pipe, wait_served

import tinytown
from tinytown.cli import fast, forkclient
from tinytown.cli.forkguest import read_order
from tinytown.cli.forkserver import MOST_GUESTS
from tinytown.ids import new_id

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is a fork server on Linux only")

ASK = """
import sys
from tinytown.cli import forkclient
{before}
print(forkclient.hand_over(sys.argv), file=sys.stderr)
"""
"""Hands its arguments over, and says what came of it."""

NOT_DONE = "None"
NO_TOWN = "Error: Town not initialized at"


@dataclass
class Ground:
    """A town for which nothing but a fork server is there."""

    base: Path
    environ: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    town_id: str = field(default_factory=new_id)

    @property
    def state(self) -> Path:
        return self.base / "state" / "tinytown" / self.town_id

    @property
    def socket(self) -> Path:
        return self.state / forkclient.SOCKET_NAME

    def lay(self) -> None:
        for path in (self.base / "home", self.base / "town" / ".tt", self.state):
            path.mkdir(parents=True)
        for path in (self.state, self.state.parent):
            path.chmod(0o700)
        (self.base / "town" / ".tt" / "town").write_text(f"{self.town_id}\n")

    def start(self, *, program: str = sys.executable, **more: str) -> int:
        """The fork server, after the end of the one before; gives its pid when it listens."""
        if self.process is not None:
            self.stop()
        self.process = subprocess.Popen(
            [program, *forkclient.server_command()[1:], str(self.state)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={**self.environ, **more},
        )
        return wait_served(self.state)

    def stop(self) -> int:
        """End it as the end of its runtime does; gives the exit status."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(LONG)
        return self.process.returncode

    @contextmanager
    def begin(self, program: str = "", *, before: str = "", **more: Any) -> Iterator[subprocess.Popen[bytes]]:
        """Hand `status` over, or run another program that does it, and go on; it ends with the block."""
        with subprocess.Popen(
            [sys.executable, "-c", program or ASK.format(before=before), "status"],
            **{"stdin": subprocess.DEVNULL, **more},
            cwd=self.base / "town",
            env=self.environ,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def ask(self, *arguments: str, before: str = "", **more: Any) -> tuple[str, str]:
        """Hand a command over: what that gave, and what the command said."""
        done = subprocess.run(
            [sys.executable, "-c", ASK.format(before=before), *arguments],
            **{"cwd": self.base / "town", "env": self.environ, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        *said, found = done.stderr.splitlines()
        return found, "\n".join([*said, done.stdout])

    @contextmanager
    def visitor(self, *sent: bytes) -> Iterator[socket.socket]:
        """Somebody who connects and sends this."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(LONG)
            connection.connect(str(self.socket))
            assert connection.recv(1) == forkclient.READY
            for part in sent:
                connection.sendall(part)
            yield connection

    def serves(self) -> bool:
        """Whether an ordinary command is done."""
        found, said = self.ask("status")
        return found == "1" and NO_TOWN in said


def is_sent_away(connection: socket.socket) -> bool:
    """Wait for the end of a connection, and say whether it came without an answer."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:  # something was left unread
        return True


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """A fork server that serves; it is the same at the end of each test as it was at its beginning."""
    base = Path(os.path.realpath(tempfile.mkdtemp(prefix="tt")))
    ours = ("TINYTOWN", "REDIS_URL", "PYTHONDONTWRITEBYTECODE")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    one = Ground(base, environ | {"HOME": str(base / "home"), "XDG_STATE_HOME": str(base / "state")})
    one.lay()
    one.start()
    try:
        yield one
        assert one.stop() == 0
    finally:
        shutil.rmtree(base)


def test_it_does_a_command_with_its_words_and_its_status(ground: Ground) -> None:
    assert ground.serves()


def test_it_serves_every_command_that_the_fast_path_reads_and_no_other(ground: Ground) -> None:
    assert set(fast._FORMS) == forkclient.HOT
    for line in (
        "spawn bob",
        "status --help",
        "task fail 1",
        "send bob -",
        "start",
        "status extra",
        "list --town=x",
        "",
    ):
        # Past the client, which does not ask for such things.
        found, _ = ground.ask(*line.split(), before="forkclient.is_hot = lambda words: True")
        assert found == NOT_DONE, line


@pytest.mark.parametrize(
    "change",
    [
        "forkclient.__version__ = '0.0.9'",
        "sys.version = '3.9.0'",
        "sys.prefix = '/usr'",
        "sys.stdout.reconfigure(errors='replace')",
        "import os; os.environ['PYTHONPATH'] = '/elsewhere'",
        "import os; os.environ['LD_PRELOAD'] = ''",
    ],
)
def test_another_version_interpreter_or_encoding_is_not_served(ground: Ground, change: str) -> None:
    assert ground.ask("status", before=change)[0] == NOT_DONE


def test_a_locale_counts_as_far_as_it_decides_encodings(ground: Ground) -> None:
    assert ground.ask("status", env={**ground.environ, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"})[0] in ("1", NOT_DONE)
    latin = {**ground.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}
    assert ground.ask("status", env=latin)[0] == NOT_DONE


AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="needs root")


@pytest.mark.parametrize(
    "confinement",
    [
        "libc.prctl(38, 1, 0, 0, 0)",  # PR_SET_NO_NEW_PRIVS, with which every sandbox without privileges begins
        pytest.param("os.chroot('/tmp')", marks=AS_ROOT),
        pytest.param("libc.unshare(0x40000000)", marks=AS_ROOT),  # CLONE_NEWNET
    ],
)
def test_who_is_confined_is_not_served(ground: Ground, confinement: str) -> None:
    before = f"""
import ctypes, os
libc = ctypes.CDLL(None)
connect = forkclient._connect
def confined(argv):
    {confinement}
    return connection
connection = connect(sys.argv)
forkclient._connect = confined
"""
    assert ground.ask("status", before=before)[0] == NOT_DONE
    assert ground.serves()


def test_what_only_containers_set_is_no_difference(ground: Ground) -> None:
    for value in ("", "1"):
        more = {"PYTHONUNBUFFERED": value, "PYTHONDONTWRITEBYTECODE": value}
        assert ground.ask("status", env={**ground.environ, **more})[0] == "1"


def test_a_directory_that_lets_others_in_is_not_believed(ground: Ground) -> None:
    ground.state.chmod(0o750)
    try:
        assert ground.ask("status")[0] == NOT_DONE
    finally:
        ground.state.chmod(0o700)


def test_a_closed_stream_is_a_matter_for_the_client(ground: Ground) -> None:
    assert ground.ask("status", before="sys.stdin = None")[0] == NOT_DONE


def test_a_request_that_is_too_large_is_not_made(ground: Ground) -> None:
    many = {f"V{number}": "x" * 100_000 for number in range(11)}
    assert ground.ask("status", env={**ground.environ, **many})[0] == NOT_DONE


@pytest.mark.parametrize(
    "rubbish",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 64,
        b"\0\0\0\0",
        b"\0\0\0\1x",
        b"\0\0\0\4\0\0\0\0",
        b"\0\0\0\7a\x001\x009\0b",
    ],
)
def test_rubbish_is_answered_by_closing(ground: Ground, rubbish: bytes) -> None:
    with ground.visitor(rubbish) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert is_sent_away(connection)
    assert ground.serves()


def test_more_descriptors_than_a_request_has_are_closed(ground: Ground) -> None:
    reading, writing = os.pipe()
    with ground.visitor() as connection:
        with suppress(BrokenPipeError):  # sent away already
            for _ in range(3):
                socket.send_fds(connection, [b"\0"], [writing] * 4)
        os.close(writing)
        assert is_sent_away(connection)
    assert os.read(reading, 1) == b""  # nobody has the other end any more
    os.close(reading)
    assert ground.serves()


def test_slow_clients_are_counted_and_sent_away(ground: Ground) -> None:
    slow = [socket.socket(socket.AF_UNIX) for _ in range(MOST_GUESTS + 1)]
    for connection in slow:
        connection.settimeout(LONG)
        connection.connect(str(ground.socket))
    # Who comes when the place is full does it himself, and at once.
    *slow, last = slow
    assert is_sent_away(last)
    for connection in slow:
        assert connection.recv(1) == forkclient.READY
        connection.sendall(b"\0\0")
    for connection in slow:
        assert is_sent_away(connection)
        connection.close()
    last.close()
    assert ground.serves()


def test_a_server_that_stands_still_is_not_waited_for_and_does_nothing_later(ground: Ground) -> None:
    (pid,) = servers_of(ground.state)
    os.kill(pid, signal.SIGSTOP)
    try:
        found, said = ground.ask("status")
        assert (found, said) == (NOT_DONE, "")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert ground.serves()


CONNECT = """
import _socket
def connect(argv):
    connection = _socket.socket(_socket.AF_UNIX)
    connection.connect({path!r})
    return connection
forkclient._connect = connect
"""


@contextmanager
def asking_us(ground: Ground) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A client that believes to be connected to a fork server, and its connection, from which its request was read."""
    path = ground.base / "other.sock"
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        stack.callback(path.unlink)
        listener.listen()
        client = stack.enter_context(ground.begin(before=CONNECT.format(path=str(path)), stderr=subprocess.PIPE))
        connection = stack.enter_context(listener.accept()[0])
        connection.settimeout(LONG)
        connection.recv(1 << 20)
        yield client, connection


def test_what_is_accepted_is_never_done_again(ground: Ground) -> None:
    with asking_us(ground) as (client, connection):
        connection.sendall(forkclient.ACCEPTED)
        connection.close()
        _, said = client.communicate(timeout=LONG)

    assert b"RuntimeFailed: The process that did this command was killed" in said


def test_ctrl_c_before_it_is_accepted_is_passed_on_and_ends_the_client(ground: Ground) -> None:
    with asking_us(ground) as (client, connection):
        client.send_signal(signal.SIGINT)
        assert connection.recv(64) == forkclient.INTERRUPT
        connection.close()
        _, said = client.communicate(timeout=LONG)

    assert said.rstrip().endswith(b"KeyboardInterrupt")


def test_the_end_of_the_client_ends_the_command(ground: Ground) -> None:
    (server,) = servers_of(ground.state)
    with stuck_pipe() as writing, ground.begin(stderr=writing) as client:
        wait_until(lambda: children_of(server))
        client.kill()
        wait_until(lambda: children_of(server) == [], what="the command to end")


def test_ctrl_c_reaches_the_command(ground: Ground) -> None:
    (server,) = servers_of(ground.state)
    program = ASK.format(before="").replace("file=sys.stderr", "flush=True")
    with stuck_pipe() as writing, ground.begin(program, stderr=writing, stdout=subprocess.PIPE) as client:
        wait_until(lambda: children_of(server))
        client.send_signal(signal.SIGINT)
        assert client.communicate(timeout=LONG)[0] == b"130\n"


def looks(pid: int) -> dict[str, object]:
    """What a process has from whoever started it, as far as the system shows that."""
    place = Path(f"/proc/{pid}")
    lines = (line.partition(":\t") for line in (place / "status").read_text().splitlines())
    found: dict[str, object] = {name: value for name, _, value in lines if name.startswith(("Sig", "Umask", "Groups"))}
    found["nice"] = os.getpriority(os.PRIO_PROCESS, pid)
    for name in ("cwd", "root", "fd/0", "fd/1", "fd/2"):
        found[name] = (place / name).readlink()
    return found


UNUSUAL = (
    "import os, signal, sys; os.nice(3); os.umask(0o027); signal.signal(signal.SIGHUP, signal.SIG_IGN);"
    "os.execv(sys.executable, [sys.executable, '-c', {!r}, 'status'])"
)
ITSELF = "import sys; from tinytown.cli.main import main; main(sys.argv[1:])"


def test_a_command_stands_as_one_that_the_shell_has_started(ground: Ground) -> None:
    (server,) = servers_of(ground.state)
    with (
        stuck_pipe() as writing,
        ground.begin(UNUSUAL.format(ITSELF), stderr=writing) as cold,
        ground.begin(UNUSUAL.format(ASK.format(before="")), stderr=writing),
    ):
        (warm,) = wait_until(lambda: children_of(server))
        wait_until(lambda: looks(warm) == looks(cold.pid), what="both to be where they say something")
        assert (looks(warm)["nice"], looks(warm)["Umask"]) == (os.nice(0) + 3, "0027")


def test_who_reads_a_request_finds_what_was_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME", "a=b\n\udcff")
    order = read_order(forkclient.pack(["tt", "send", "bob", "caf\udce9", ""])[forkclient.LENGTH_BYTES :])

    assert order.argv == ["tt", "send", "bob", "caf\udce9", ""]
    assert order.environ == dict(os.environb)
    assert order.fingerprint == forkclient.fingerprint()
    assert order.mask == os.umask(order.mask)
    assert signal.SIGPIPE in order.ignored
    assert signal.SIGTERM not in order.ignored
    assert order.unbuffered == getattr(sys.stdout, "write_through", False)


def test_it_ends_with_its_runtime_and_lets_nobody_in_after_that(ground: Ground) -> None:
    (server,) = servers_of(ground.state)
    with stuck_pipe() as writing, ground.begin(stderr=writing) as client:
        wait_until(lambda: children_of(server))
        assert ground.process is not None
        assert ground.process.stdin is not None
        ground.process.stdin.close()
        # A command in hand may end, but not for ever.
        assert ground.ask("status")[0] == NOT_DONE
        assert ground.process.wait(LONG) == 0
        client.kill()
    assert servers_of(ground.state) == []
    assert ground.ask("status")[0] == NOT_DONE
    ground.start()
    assert ground.serves()


def test_one_with_another_environment_serves_nobody(ground: Ground) -> None:
    assert ground.stop() == 0
    ground.start(**COLD)
    try:
        assert not ground.serves()
    finally:
        assert ground.stop() == 0
        ground.start()


def test_one_whose_code_has_changed_serves_nobody_and_ends(ground: Ground) -> None:
    assert ground.stop() == 0
    code = ground.base / "code"
    shutil.copytree(Path(tinytown.__file__).parent, code / "tinytown")
    changed = {**ground.environ, "PYTHONPATH": str(code)}
    ground.start(PYTHONPATH=str(code))
    assert ground.process is not None
    try:
        assert ground.ask("status", env=changed)[0] == "1"
        with (code / "tinytown" / "times.py").open("a") as file:
            file.write("\n")
        assert ground.ask("status", env=changed)[0] == NOT_DONE
        assert ground.process.wait(LONG) == 0
    finally:
        ground.start()
