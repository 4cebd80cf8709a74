"""Redis from its source: downloaded, compared with the published checksum, built with make.

What must be true: not a byte of an archive is looked at before its SHA-256 is the one in the list of the publisher,
which comes from another host. Nothing outside the scratch directory is written.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tarfile
import urllib.error
import urllib.request
from contextlib import contextmanager
from hashlib import sha256
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from tinytown.actors.environment import child_environment
from tinytown.actors.output import plain_text
from tinytown.errors import Invalid, NotFound, RuntimeFailed
from tinytown.runtime.bootstrap.place import SERVER, alternatives
from tinytown.text import term_safe
from tinytown.transport.server_binary import dotted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from http.client import HTTPResponse
    from pathlib import Path

    from tinytown.runtime.bootstrap.place import Wanted
    from tinytown.transport.server_binary import Version

MIRROR_VARIABLE = "TINYTOWN_BOOTSTRAP_URL"
"""A directory on a web server that holds the archives and, as `README`, the list of checksums."""

ARCHIVES = "https://download.redis.io/releases"
CHECKSUMS = "https://raw.githubusercontent.com/redis/redis-hashes/master/README"
"""The publisher's list: a line `hash <file> sha256 <checksum> <url>` for each release."""

STALL = 30.0
"""Seconds without a byte, after which a download is given up."""
MOST_LIST = 4 << 20
MOST_ARCHIVE = 64 << 20
"""An archive of Redis 8 has about 4 MB."""
MOST_FILES = 1 << 30
_CHUNK = 1 << 16
_LAST_WORDS = 3000

_ENTRY = re.compile(r"^hash redis-(\d{1,4})\.(\d{1,4})\.(\d{1,4})\.tar\.gz sha256 ([0-9a-f]{64})\b", re.MULTILINE)
_TRIES = (("BUILD_TLS=yes",), (), ("MALLOC=libc",))
"""With TLS where OpenSSL's headers are; without; and where its own allocator cannot be built."""
_COMPILER = ("CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "PKG_CONFIG_PATH", "SDKROOT")


class Source:
    """One way from a version to programs. `tell` gets lines for people, `progress` what is done of a download."""

    def __init__(
        self, environ: Mapping[str, str], tell: Callable[[str], None], progress: Callable[[int, int], None]
    ) -> None:
        mirror = environ.get(MIRROR_VARIABLE, "").rstrip("/")
        if mirror and urlsplit(mirror).scheme not in ("http", "https"):
            raise Invalid(f"{MIRROR_VARIABLE} must be an http or https address")
        self._archives = mirror or ARCHIVES
        self._checksums = f"{mirror}/README" if mirror else CHECKSUMS
        self._environ = environ
        self._tell = tell
        self._progress = progress

    def build(self, wanted: Wanted, scratch: Path) -> Path:
        """The directory of the programs that were built.

        Raises `NotFound` for a version that is not published, `RuntimeFailed` for everything that goes wrong.
        """
        version, checksum = self._choose(wanted)
        archive = scratch / f"redis-{dotted(version)}.tar.gz"
        self._tell(f"   Downloading {archive.name}")
        self._download(f"{self._archives}/{archive.name}", archive, checksum)
        tree = _unpack(archive, scratch / "source")
        self._make(tree, scratch / "build.log")
        return tree / "src"

    def _choose(self, wanted: Wanted) -> tuple[Version, str]:
        with _opened(self._checksums) as answer:
            text = answer.read(MOST_LIST + 1).decode("utf-8", "replace")
        published: dict[Version, str] = {
            (int(found[1]), int(found[2]), int(found[3])): found[4] for found in _ENTRY.finditer(text)
        }
        fitting = [version for version in published if wanted.takes(version)]
        if not fitting:
            raise NotFound(
                f"No checksum of Redis {wanted} is published at {self._checksums}", hint="Is there such a version?"
            )
        return max(fitting), published[max(fitting)]

    def _download(self, url: str, to: Path, checksum: str) -> None:
        digest, size = sha256(), 0
        with _opened(url) as answer, to.open("wb") as file:
            whole = int(answer.headers.get("Content-Length") or 0)
            try:
                while chunk := answer.read(_CHUNK):
                    size += len(chunk)
                    if size > MOST_ARCHIVE:
                        raise RuntimeFailed(f"{url} has more than {MOST_ARCHIVE:,} bytes", hint=alternatives())
                    digest.update(chunk)
                    file.write(chunk)
                    self._progress(size, whole)
            except (OSError, ValueError) as error:
                raise RuntimeFailed(f"The download of {url} broke off: {error}", hint=alternatives()) from error
        if digest.hexdigest() != checksum:
            raise RuntimeFailed(
                f"{url} is not what was published: its SHA-256 is {digest.hexdigest()}, not {checksum}",
                hint="Nothing was unpacked. Try again later; if it stays so, do not use what is there.",
            )
        self._tell(f"   SHA-256 is right: {checksum}")

    def _make(self, tree: Path, log: Path) -> None:
        env = child_environment(self._environ, passed=_COMPILER, extra={}, identity={})
        jobs = f"-j{os.cpu_count() or 1}"
        for number, options in enumerate(_TRIES):
            if number:
                run(["make", "distclean"], tree, env, log)
            self._tell(f"   Building with: make {' '.join((jobs, *options))} (this takes some minutes)")
            if run(["make", jobs, *options], tree, env, log) == 0 and (tree / "src" / SERVER).is_file():
                return
        tail = term_safe(plain_text(log.read_bytes()[-_LAST_WORDS:], _LAST_WORDS))
        raise RuntimeFailed(f"Redis could not be built. The last words of make:\n{tail}", hint=alternatives())


def run(argv: list[str], cwd: Path, env: Mapping[str, str], log: Path) -> int:
    """Run a program to its end, its output in a log; ends it and all that it has started when we are interrupted."""
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(
                argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        except OSError as error:
            raise RuntimeFailed(f"'{argv[0]}' cannot be run: {error.strerror}", hint=alternatives()) from None
    with process:
        try:
            return process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to other addresses, and never from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: object, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and scheme != urlsplit(req.full_url).scheme:
            raise urllib.error.URLError(f"it leads to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


@contextmanager
def _opened(url: str) -> Iterator[HTTPResponse]:
    request = urllib.request.Request(url, headers={"User-Agent": "tinytown"})  # noqa: S310  (checked before)
    try:
        answer = urllib.request.build_opener(_Redirects()).open(request, timeout=STALL)
    except urllib.error.HTTPError as error:
        error.close()
        raise RuntimeFailed(f"{url} cannot be read: status {error.code}", hint=alternatives()) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise RuntimeFailed(f"{url} cannot be read: {reason}", hint=alternatives()) from None
    with answer:
        yield answer


def _unpack(archive: Path, to: Path) -> Path:
    """The one directory in the archive. Raises `RuntimeFailed` for an archive that would write beside it."""
    if not hasattr(tarfile, "data_filter"):
        raise RuntimeFailed("This Python cannot unpack archives safely", hint="Use Python 3.11.4 or newer.")
    to.mkdir()
    try:
        with tarfile.open(archive, "r:gz") as file:
            room = MOST_FILES
            for member in file:
                room -= member.size
                if room < 0:
                    raise RuntimeFailed(f"{archive.name} unpacks to more than {MOST_FILES:,} bytes")
                file.extract(member, to, filter="data")
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise RuntimeFailed(f"{archive.name} cannot be unpacked: {error}", hint=alternatives()) from error
    tops = list(to.iterdir())
    if len(tops) != 1 or tops[0].is_symlink() or not tops[0].is_dir():
        raise RuntimeFailed(f"{archive.name} is no archive of Redis", hint=alternatives())
    return tops[0]
