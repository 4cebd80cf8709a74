"""A server for the user: copied, built, or made by a CLI; never in use before it was seen to work."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from servers import server_binary

from tinytown.config import Settings, parse_settings
from tinytown.errors import Conflict, Invalid, NotFound, RuntimeFailed, UnknownCli
from tinytown.runtime.bootstrap.choose import Bootstrap, Method
from tinytown.runtime.bootstrap.place import Installed, Place, Wanted
from tinytown.runtime.bootstrap.source import MIRROR_VARIABLE
from tinytown.transport.locks import try_lock
from tinytown.transport.server_binary import ask_version, dotted

BUILDS = f"all:\n\tmkdir -p src\n\tcp {server_binary()} src/redis-server\ndistclean:\n\trm -rf src\n"


@pytest.fixture(scope="module")
def version() -> str:
    """The version that all servers here really have."""
    found = ask_version(server_binary())
    assert found is not None
    return dotted(found[1])


class Mirror:
    """A web server on loopback with archives and their checksums."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.sums: dict[str, str] = {}
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = mirror.content(self.path)
                self.send_response(200 if content is not None else 404)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def content(self, path: str) -> bytes | None:
        if path == "/README":
            lines = [f"hash {name} sha256 {digest} {self.url}/{name}" for name, digest in self.sums.items()]
            return "\n".join(("Some words before", *lines)).encode()
        return self.files.get(path[1:])

    def publish(self, number: str, makefile: str, *odd: tarfile.TarInfo) -> str:
        """Offer a version; gives the name of its archive."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as file:
            member = tarfile.TarInfo(f"redis-{number}/Makefile")
            member.size = len(makefile)
            file.addfile(member, io.BytesIO(makefile.encode()))
            for each in odd:
                file.addfile(each, io.BytesIO(b"x" * each.size))
        name = f"redis-{number}.tar.gz"
        self.files[name] = packed.getvalue()
        self.sums[name] = hashlib.sha256(packed.getvalue()).hexdigest()
        return name


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    mirror = Mirror()
    monkeypatch.setenv(MIRROR_VARIABLE, mirror.url)
    thread = threading.Thread(target=mirror.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield mirror
    mirror.server.shutdown()
    thread.join()
    mirror.server.server_close()


def install(
    user: Path, method: Method, wanted: str = "latest", *, cli: str | None = None, settings: Settings | None = None
) -> Installed:
    place = Place(user / "home", lambda _: None)
    own = settings or parse_settings("", "", {})
    work = Bootstrap(place, Wanted.parse(wanted), own, cli=cli, progress=lambda *_: None)
    return work.run(method, quiet=True)


def link(user: Path) -> Path:
    return user / "home/.tt/bin/redis-server"


def versions(user: Path) -> list[str]:
    return sorted(path.name for path in (user / "home/.tt/versions").iterdir())


@pytest.fixture
def old(user: Path, version: str) -> str:
    """A user with a server already; gives where its link points."""
    install(user, "bundled")
    assert versions(user) == [f"valkey-{version}"]
    return str(link(user).readlink())


def unchanged(user: Path, old: str) -> bool:
    return str(link(user).readlink()) == old and len(versions(user)) == 1 and ask_version(link(user)) is not None


@pytest.mark.parametrize(("text", "numbers"), [("latest", ()), ("8", (8,)), ("8.2", (8, 2)), ("v8.0.2", (8, 0, 2))])
def test_a_version_has_up_to_three_numbers(text: str, numbers: tuple[int, ...]) -> None:
    assert Wanted.parse(text).numbers == numbers


@pytest.mark.parametrize("text", ["", "7.2.4", "7", "8.0.0.1", "8.x", "8.0; rm -rf /", "-1", "8..0", "٨", "99999"])
def test_anything_else_and_what_is_too_old_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Wanted.parse(text)


def test_the_bundled_server_is_copied_and_works(user: Path, version: str) -> None:
    assert install(user, "auto") == Installed("valkey", version, str(link(user)), "bundled")
    assert not link(user).resolve().samefile(server_binary())
    assert ask_version(link(user)) is not None
    with pytest.raises(Conflict, match="was asked for"):
        install(user, "bundled", "8.0.2")


def test_the_same_version_again_takes_the_place_of_the_one_before(user: Path, old: str) -> None:
    left = user / "home/.tt/versions/.new-killed"
    left.mkdir()

    install(user, "bundled")

    assert str(link(user).readlink()) != old
    assert versions(user) == [link(user).resolve().parent.parent.name]
    assert ask_version(link(user)) is not None


def test_the_newest_source_is_built(user: Path, version: str, mirror: Mirror) -> None:
    mirror.publish("8.0.2", "all:\n\tfalse\n")
    mirror.publish(version, BUILDS)

    assert install(user, "source") == Installed("valkey", version, str(link(user)), "source")

    assert link(user).read_bytes() == server_binary().read_bytes()
    assert versions(user) == [f"valkey-{version}"]


def test_what_cannot_be_built_with_tls_is_built_without(user: Path, version: str, mirror: Mirror) -> None:
    mirror.publish(version, f"ifeq ($(BUILD_TLS),yes)\nall:\n\tfalse\nelse\n{BUILDS}endif\n")
    assert install(user, "source", version).version == version


def test_an_archive_with_another_checksum_is_not_even_unpacked(user: Path, old: str, mirror: Mirror) -> None:
    name = mirror.publish("9.0.0", BUILDS)
    mirror.files[name] += b"\n"
    with pytest.raises(RuntimeFailed, match="is not what was published"):
        install(user, "source", "9.0.0")
    assert unchanged(user, old)


@pytest.mark.parametrize("kind", ["above", "absolute", "link", "second"])
def test_an_archive_writes_nothing_beside_its_directory(user: Path, old: str, mirror: Mirror, kind: str) -> None:
    names = {"above": "redis-9.0.0/../../../evil", "absolute": f"{user}/evil", "link": "redis-9.0.0/l", "second": "b"}
    odd = tarfile.TarInfo(names[kind])
    if kind == "link":
        odd.type, odd.linkname = tarfile.SYMTYPE, str(user)
    else:
        odd.size = 3
    mirror.publish("9.0.0", BUILDS, odd)
    with pytest.raises(RuntimeFailed, match=r"unpacked|no archive"):
        install(user, "source", "9.0.0")
    assert not (user / "evil").exists()
    assert unchanged(user, old)


def test_a_build_of_another_version_is_not_used(user: Path, old: str, mirror: Mirror) -> None:
    mirror.publish("8.0.2", BUILDS)
    with pytest.raises(RuntimeFailed, match=r"Redis 8\.0\.2 was asked for"):
        install(user, "source", "8.0.2")
    assert unchanged(user, old)


def test_a_build_that_fails_shows_the_last_words(user: Path, old: str, mirror: Mirror) -> None:
    mirror.publish("8.0.2", "all:\n\t@echo no compiler here; false\n")
    with pytest.raises(RuntimeFailed, match="no compiler here") as caught:
        install(user, "source", "8.0.2")
    assert "brew install redis" in caught.value.hint
    assert unchanged(user, old)


def test_a_version_that_is_not_published_and_a_mirror_that_is_not_there(
    user: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFound):
        install(user, "source", "8.9.9")
    mirror.sums["redis-8.9.9.tar.gz"] = "0" * 64
    with pytest.raises(RuntimeFailed, match="404"):
        install(user, "source", "8.9.9")
    monkeypatch.setenv(MIRROR_VARIABLE, "file:///etc")
    with pytest.raises(Invalid):
        install(user, "source")


def scripted(user: Path, code: str) -> Settings:
    """A CLI of the user that runs this; the prompt is its standard input."""
    script = user / "cli.py"
    script.write_text(
        "import os, shutil, sys\nfrom pathlib import Path\nprompt = sys.stdin.read()\n"
        f"server, home = {str(server_binary())!r}, Path({str(user / 'home')!r})\n{code}"
    )
    return parse_settings("", f"[agent_clis.builder]\ncommand = '{sys.executable} {script}'\n", {})


GOOD = "os.mkdir('bin'); shutil.copy(server, 'bin/redis-server')\n"
BROKEN = (
    "os.mkdir('bin'); p = Path('bin/redis-server'); p.touch(mode=0o755)\n"
    "p.write_text('#!/bin/sh\\necho Redis server v=9.9.9')\n"
)
IN_PLACE = "p = home / '.tt/bin/redis-server'; p.unlink(missing_ok=True); shutil.copy(server, p)\n"


@pytest.mark.parametrize("code", [GOOD, IN_PLACE])
def test_a_cli_makes_it_and_it_is_put_in_place(user: Path, version: str, code: str) -> None:
    settings = scripted(user, f"assert str(Path.cwd()) in prompt and 'Redis {version}' in prompt\n{code}")

    found = install(user, "auto", version, cli="builder", settings=settings)

    assert found == Installed("valkey", version, str(link(user)), "ai")
    assert link(user).is_symlink()
    assert versions(user) == [f"valkey-{version}"]
    assert not (user / "home/.tt/bootstrap_prompt.md").exists()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("sys.exit(7)", "exit status 7"),
        ("print('done')", "has made no redis-server"),
        ("os.mkdir('bin'); Path('bin/redis-server').write_text('no')", "no Redis server"),
        (IN_PLACE + "p.write_bytes(b'no')", "no Redis server"),
    ],
)
def test_what_a_cli_leaves_is_not_believed(user: Path, old: str, code: str, says: str) -> None:
    with pytest.raises(RuntimeFailed, match=says):
        install(user, "ai", cli="builder", settings=scripted(user, code))
    assert unchanged(user, old)


def test_what_only_says_that_it_is_a_server_is_not_used(user: Path, old: str) -> None:
    with pytest.raises(RuntimeFailed, match="does not work"):
        install(user, "ai", cli="builder", settings=scripted(user, BROKEN))
    assert unchanged(user, old)


def test_a_cli_that_is_not_known_or_not_there(user: Path) -> None:
    with pytest.raises(UnknownCli):
        install(user, "ai", cli="nonsense")
    gone = parse_settings("", '[agent_clis.gone]\ncommand = "/nowhere/gone"\n', {})
    with pytest.raises(RuntimeFailed, match="is not installed"):
        install(user, "ai", cli="gone", settings=gone)
    with pytest.raises(Invalid, match="--cli"):
        install(user, "source", cli="gone", settings=gone)


def test_of_two_at_once_one_goes_on(user: Path, old: str) -> None:
    lock = try_lock(user / "home/.tt/bootstrap.lock")
    assert lock is not None
    with lock, pytest.raises(Conflict, match="at work"):
        install(user, "bundled")
    assert unchanged(user, old)
