"""Which Redis a town uses: `REDIS_URL`, then `url`, then a `host` that is not this machine, then our own server.

The address and its credentials are taken as a whole from the first source that has any of them. A password of one
file never goes to an address of the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from tinytown.config_rules import invalid
from tinytown.config_sections import LOOPBACK, RedisSettings
from tinytown.config_trust import split_table
from tinytown.errors import InvalidConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.config_rules import Table

URL_VARIABLE = "REDIS_URL"
PASSWORD_VARIABLE = "TINYTOWN_REDIS_PASSWORD"  # noqa: S105 - the name of the variable, not a password

# Not part of an address: which program we start and which file names we use are each decided by themselves.
_BY_THEMSELVES = ("server", "socket_path", "aof_path")
_SERVER_WIDE = ("durability", "max_memory", "server")


def read_redis(project: tuple[str, Table], user: tuple[str, Table], environ: Mapping[str, str]) -> RedisSettings:
    """The settings of Redis from the two files' tables, each with the name of its file, and the environment.

    What of the project's table is not trusted must have been taken out before.
    """
    source, address = project
    if not _address(address):
        source, address = user
    address = {key: value for key, value in address.items() if key not in _BY_THEMSELVES}
    central = bool(user[1].get("central", False))
    own = dict(project[1])
    if central:
        # One server for all towns: what one town's file says of the server must not decide for the others.
        for key in (*_SERVER_WIDE, "persist"):
            own.pop(key, None)
    single = {**user[1], **own}
    password = environ.get(PASSWORD_VARIABLE) or cast("str | None", address.get("password"))
    url, url_source = _url(source, address, password, environ)
    where: Literal["managed", "external"] = "external" if url else "managed"
    settings = RedisSettings(
        where=where,
        url=url,
        url_source=url_source,
        use_socket=_uses_socket(address),
        socket_path=cast("str", single.get("socket_path", RedisSettings().socket_path)),
        host=_bare(cast("str", address.get("host", LOOPBACK))),
        port=cast("int", address.get("port", 6379)),
        bind=_bare(cast("str", address.get("bind", LOOPBACK))),
        password=password,
        tls_enabled=bool(address.get("tls_enabled", False)),
        tls_cert=cast("str | None", address.get("tls_cert")),
        tls_key=cast("str | None", address.get("tls_key")),
        tls_ca_cert=cast("str | None", address.get("tls_ca_cert")),
        server=cast("str | None", single.get("server")),
        durability=_durability(source, single),
        central=central,
        max_memory=cast("int", single.get("max_memory", RedisSettings().max_memory)),
        aof_path=cast("str", single.get("aof_path", RedisSettings().aof_path)),
    )
    if where == "managed" and not settings.use_socket and not is_loopback(settings.bind) and not password:
        raise InvalidConfig(
            f'{source}: redis.bind is "{settings.bind}", and others can connect there; expected a password',
            hint=f"Set {PASSWORD_VARIABLE}, or bind to {LOOPBACK}.",
        )
    return settings


def is_loopback(host: str) -> bool:
    """Whether the host is this machine by its name, without asking anybody."""
    return _bare(host).lower() in {"localhost", "::1"} or host.startswith("127.")


def _address(table: Table) -> Table:
    executable, _ = split_table({"redis": dict(table)})
    return {
        key: value for key, value in cast("Table", executable.get("redis", {})).items() if key not in _BY_THEMSELVES
    }


def _uses_socket(address: Table) -> bool:
    stated = address.get("use_socket")
    # A host elsewhere can only be meant for TCP, even when the file does not say so.
    return bool(stated) if stated is not None else is_loopback(cast("str", address.get("host", LOOPBACK)))


def _durability(source: str, table: Table) -> Literal["always", "fast", "none"]:
    stated = cast('Literal["always", "fast", "none"] | None', table.get("durability"))
    persist = table.get("persist")
    if persist is None or stated is None:
        return "none" if persist is False else stated or "always"
    if bool(persist) == (stated == "none"):
        raise invalid(source, ("redis", "persist"), str(persist).lower(), f'what fits durability = "{stated}"')
    return stated


def _url(source: str, address: Table, password: str | None, environ: Mapping[str, str]) -> tuple[str, str]:
    given = environ.get(URL_VARIABLE, "")
    if given:
        # The user's own words: only what they leave open is filled in, and only from the environment.
        return _with_password(given, environ.get(PASSWORD_VARIABLE) or None, replace=False), URL_VARIABLE
    url = cast("str", address.get("url", ""))
    if url:
        if address.get("tls_enabled") and not _is_tls(url):
            raise invalid(source, ("redis", "tls_enabled"), "true", "a url that begins with rediss:// or valkeys://")
        url = _with_password(url, password, replace=True)
        return (_with_tls_files(url, address) if _is_tls(url) else url), f"redis.url of {source}"
    host = _bare(cast("str", address.get("host", LOOPBACK)))
    if _uses_socket(address) or is_loopback(host):
        return "", ""
    scheme = "rediss" if address.get("tls_enabled") else "redis"
    at = f"[{host}]" if ":" in host else host
    url = _with_password(f"{scheme}://{at}:{address.get('port', 6379)}/0", password, replace=True)
    return (_with_tls_files(url, address) if scheme == "rediss" else url), f"redis.host of {source}"


def _is_tls(url: str) -> bool:
    return url.lower().startswith(("rediss://", "valkeys://"))


def _with_password(url: str, password: str | None, *, replace: bool) -> str:
    from urllib.parse import quote

    scheme, separator, rest = url.partition("://")
    end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    who, _, host = rest[:end].rpartition("@")
    user, has_password, _ = who.partition(":")
    if password is None or not separator or (has_password and not replace):
        return url
    return f"{scheme}://{user}:{quote(password, safe='')}@{host}{rest[end:]}"


def _with_tls_files(url: str, address: Table) -> str:
    from urllib.parse import quote

    named = (("ca_file", "tls_ca_cert"), ("cert_file", "tls_cert"), ("key_file", "tls_key"))
    files = [f"{option}={quote(cast('str', address[key]))}" for option, key in named if address.get(key)]
    return url + ("&" if "?" in url else "?") + "&".join(files) if files else url


def _bare(host: str) -> str:
    return host.removeprefix("[").removesuffix("]")
