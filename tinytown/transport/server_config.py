"""How a managed server is set up: our settings, checked, and the configuration text that they make.

The text goes to the server by standard input, so that no password stands on a command line. Every value from
outside is written in the quoted form in which each byte is an escape: no value can end its line and add another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tinytown.errors import InvalidConfig, RedisRefused
from tinytown.transport.files import SOCKET_NAME

if TYPE_CHECKING:
    from pathlib import Path

Durability = Literal["durable", "fast", "none"]
"""What a crash may cost: nothing that was accepted; about two seconds; everything."""

PID_NAME = "redis.pid"
LOG_NAME = "redis.log"
DATA_NAME = "appendonlydir"

_FSYNC = {"durable": "always", "fast": "everysec", "none": "no"}

_FIXED = f"""\
daemonize yes
unixsocket {SOCKET_NAME}
unixsocketperm 600
pidfile {PID_NAME}
logfile {LOG_NAME}
loglevel notice
appenddirname {DATA_NAME}
appendfilename appendonly.aof
aof-use-rdb-preamble no
aof-load-truncated yes
no-appendfsync-on-rewrite no
save ""
maxmemory-policy noeviction
enable-protected-configs no
enable-debug-command no
enable-module-command no
rename-command MODULE ""
rename-command DEBUG ""
rename-command REPLICAOF ""
rename-command SLAVEOF ""
"""
# Plain commands without an RDB at the head: any server reads it, and the check tool can repair it. The renamed
# commands are refused even where the switches above are not looked at, while an append-only file is replayed.


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The server's certificate, its key, and the authority that clients are shown; absolute paths."""

    certificate: Path
    key: Path
    authority: Path | None = None


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What a person may say about the server we start.

    `binary` is a path or a program name; `max_memory_bytes` of None means no limit. With `port` the server listens
    on TCP too, on the addresses of `bind` (separated by spaces), and only under TLS when `tls` is given. A server
    that died is started again at most `max_restarts` times in `restart_period` seconds.
    """

    binary: str | None = None
    durability: Durability = "durable"
    max_memory_bytes: int | None = None
    password: str | None = field(default=None, repr=False)
    port: int | None = None
    bind: str = "127.0.0.1"
    tls: TlsFiles | None = None
    max_restarts: int = 3
    restart_period: float = 60.0


def check_settings(settings: ServerSettings) -> None:
    """Refuses what must not be started.

    Raises `RedisRefused` for a server without a password that other hosts can reach, `InvalidConfig` for a value
    that cannot be used.
    """
    if settings.port is None:
        return
    if not 0 < settings.port < 1 << 16:
        raise InvalidConfig(f"[redis] port is {settings.port}; expected 1 to 65535")
    if not settings.password and not all(map(is_loopback, settings.bind.split())):
        raise RedisRefused(
            f"Redis would listen on '{settings.bind}' without a password",
            hint="Set TINYTOWN_REDIS_PASSWORD, or bind it to 127.0.0.1.",
        )
    for file in _tls_files(settings):
        if not file.is_absolute() or not file.is_file():
            raise InvalidConfig(
                f"[redis] TLS file {file} is not there", hint="Give the absolute path of a file that can be read."
            )


def is_loopback(host: str) -> bool:
    """Whether only this host can reach that address; a name other than `localhost` counts as reachable."""
    from ipaddress import ip_address

    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def configuration(settings: ServerSettings) -> bytes:
    """The text of the configuration. All paths of ours are relative: the server is started in its directory."""
    lines = [_FIXED]
    lines.append(f"appendonly {'no' if settings.durability == 'none' else 'yes'}\n")
    lines.append(f"appendfsync {_FSYNC[settings.durability]}\n")
    lines.append(f"maxmemory {settings.max_memory_bytes or 0}\n")
    if settings.password:
        lines.append(f"requirepass {_quoted(settings.password)}\n")
    lines.extend(_listeners(settings))
    return "".join(lines).encode()


def _listeners(settings: ServerSettings) -> list[str]:
    if settings.port is None:
        return ["port 0\n"]
    lines = [f"bind {' '.join(map(_quoted, settings.bind.split()))}\n"]
    if settings.tls is None:
        return [*lines, f"port {settings.port}\n"]
    lines += ["port 0\n", f"tls-port {settings.port}\n"]
    # The default demands a certificate of every client.
    lines.append("tls-auth-clients optional\n")
    lines.append(f"tls-cert-file {_quoted(str(settings.tls.certificate))}\n")
    lines.append(f"tls-key-file {_quoted(str(settings.tls.key))}\n")
    authority = settings.tls.authority or settings.tls.certificate
    lines.append(f"tls-ca-cert-file {_quoted(str(authority))}\n")
    return lines


def _tls_files(settings: ServerSettings) -> list[Path]:
    if settings.tls is None:
        return []
    files = (settings.tls.certificate, settings.tls.key, settings.tls.authority)
    return [file for file in files if file is not None]


def _quoted(value: str) -> str:
    escaped = "".join(f"\\x{byte:02x}" for byte in value.encode("utf-8", "surrogateescape"))
    return f'"{escaped}"'
