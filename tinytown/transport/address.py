"""Where a Redis server is and how to be let in.

An address is read once, from a URL or from settings, and never changes. Its password leaves it in one place only,
the greeting of a connection: it stands in no text for people, no `repr` and no error, not even in the error about
an address that cannot be read.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from tinytown.errors import InvalidConfig

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

DEFAULT_PORT = 6379

SOCKET_PATH_LIMIT = 103
"""Bytes of the longest socket path that every system takes: macOS has room for 103, Linux for 107."""

_TLS_OF_SCHEME = {"redis": False, "valkey": False, "rediss": True, "valkeys": True}

_TLS_OPTIONS = {
    "ca_file": "ca_file",
    "ssl_ca_certs": "ca_file",
    "cert_file": "cert_file",
    "ssl_certfile": "cert_file",
    "key_file": "key_file",
    "ssl_keyfile": "key_file",
}


@dataclass(frozen=True, slots=True)
class Tls:
    """How the connection is encrypted. The server's certificate and host name are always verified.

    `ca_file` takes the place of the system's authorities; `cert_file` and `key_file` are our own certificate,
    where the server asks for one.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def context(self) -> ssl.SSLContext:
        """The settings as Python's `ssl` wants them. Raises `InvalidConfig` when a file cannot be used."""
        import ssl

        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file is not None:
                # The empty password keeps OpenSSL from asking the terminal for one.
                context.load_cert_chain(self.cert_file, self.key_file, password="")
        except OSError as error:
            named = ", ".join(name for name in (self.ca_file, self.cert_file, self.key_file) if name)
            reason = error.strerror or str(error)
            raise InvalidConfig(
                f"TLS: cannot use {named}: {reason}",
                hint="Each must be a readable PEM file, the key without a password.",
            ) from error
        return context


@dataclass(frozen=True, slots=True)
class Address:
    """One server, one user, one database.

    Either `path` (a Unix socket) or `host` and `port` are meant. A `password` without `username` is that of the
    user `default`.
    """

    path: str | None = None
    host: str = "localhost"
    port: int = DEFAULT_PORT
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    db: int = 0
    tls: Tls | None = None

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read `unix:///path?db=1`, `redis://`, `rediss://`, `valkey://` or `valkeys://user:password@host:port/db`.

        TLS files are named in the query: `ca_file`, `cert_file`, `key_file` (redis-py's `ssl_ca_certs` and so on
        are taken too). Raises `InvalidConfig`, whose text never repeats what stands before the host.
        """
        from urllib.parse import parse_qsl, unquote, urlsplit

        scheme, separator, _ = url.partition("://")
        scheme = scheme.lower()
        if not separator or scheme not in {"unix", *_TLS_OF_SCHEME}:
            _unreadable("it must begin with unix://, redis://, rediss://, valkey:// or valkeys://")
        try:
            parts = urlsplit(url)
            port = parts.port
            options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        except ValueError:
            # The text of this error may hold a piece of the password: it is neither shown nor chained.
            _unreadable("user name and password must be percent-encoded (@ is %40, / is %2F, : is %3A, # is %23)")
        if parts.fragment or "#" in url:
            _unreadable("a # in it must be written %23")
        username = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        if scheme == "unix":
            if parts.hostname or not parts.path.startswith("/"):
                _unreadable("a Unix socket is written unix:///absolute/path")
            db = _database(options.pop("db", "0"))
            _no_more(options)
            return cls(path=unquote(parts.path), username=username, password=password, db=db)
        db = _database(options.pop("db", "") or parts.path.removeprefix("/") or "0")
        tls = _tls(options) if _TLS_OF_SCHEME[scheme] else None
        _no_more(options)
        return cls(
            host=parts.hostname or "localhost",
            port=port if port is not None else DEFAULT_PORT,
            username=username,
            password=password,
            db=db,
            tls=tls,
        )

    @classmethod
    def unix(cls, path: str | os.PathLike[str], *, password: str | None = None, db: int = 0) -> Address:
        """The server at this Unix socket. Paths of any length are fine."""
        return cls(path=os.fspath(path), password=password, db=db)

    @property
    def url(self) -> str:
        """The address for people, without the password."""
        from urllib.parse import quote

        user = quote(self.username or "", safe="")
        who = f"{user}:***@" if self.password is not None else f"{user}@" if user else ""
        if self.path is not None:
            return f"unix://{who}{quote(self.path)}" + (f"?db={self.db}" if self.db else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{who}{host}:{self.port}/{self.db}"

    def __str__(self) -> str:
        return self.url


def _unreadable(reason: str) -> NoReturn:
    raise InvalidConfig(
        f"The address of Redis cannot be read: {reason}.",
        hint="For example redis://user:password@localhost:6379/0 or unix:///run/redis.sock?db=0",
    ) from None


def _database(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        _unreadable("the database is a number")
    return int(text)


def _tls(options: dict[str, str]) -> Tls:
    """Take the TLS options out of the query."""
    verification = options.pop("ssl_cert_reqs", "required"), options.pop("ssl_check_hostname", "true").lower()
    if verification != ("required", "true"):
        raise InvalidConfig(
            "The address of Redis switches the check of the server's certificate off, which Tinytown never does.",
            hint="Name the authority that signed it: rediss://host:port/0?ca_file=/path/ca.pem",
        )
    files = {_TLS_OPTIONS[name]: options.pop(name) for name in list(options) if name in _TLS_OPTIONS}
    return Tls(**files)


def _no_more(options: dict[str, str]) -> None:
    if options:
        _unreadable(f"unknown option {', '.join(sorted(options))}")


@contextmanager
def connectable(path: str) -> Iterator[str]:
    """A name of the Unix socket at `path` short enough to connect to, for the time of this block."""
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        yield path
    elif hasattr(os, "O_PATH") and os.path.isdir("/proc/self/fd"):  # noqa: PTH112 -- pathlib costs 10 ms of `tt`
        with _open_name(path) as name:
            yield name
    else:
        with _linked_name(path) as name:
            yield name


@contextmanager
def _open_name(path: str) -> Iterator[str]:
    """Linux: hold the socket's inode open, and name it by its descriptor."""
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


@contextmanager
def _linked_name(path: str) -> Iterator[str]:
    """Elsewhere: a symbolic link in a fresh directory that nobody else can write to."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="tt") as directory:
        link = os.path.join(directory, "s")  # noqa: PTH118 -- as above
        os.symlink(os.path.abspath(path), link)  # noqa: PTH100, PTH211
        yield link
