"""The settings of townhall, out of the table that the configuration keeps. Every number is a default."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from tinytown.config_sections import LOOPBACK
from tinytown.errors import InvalidConfig
from tinytown.runtime.caller import Scope
from tinytown.runtime.operations.api_keys import USUAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.config_rules import ConfigValue, Table

Mode = Literal["none", "token", "api_key", "oidc"]

REST_PORT = 8787


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """Who gets in.

    `token`, the default: the town's local token and the keys that are kept in the town. `api_key`: the same, and
    the one key of the configuration. `oidc`: signed tokens of the issuer. `none`: everybody, on loopback only.
    """

    mode: Mode = "token"
    api_key_hash: str | None = field(default=None, repr=False)
    api_key_scopes: frozenset[Scope] = frozenset(USUAL)
    """All but `admin` where the configuration leaves them out. An empty list grants nothing."""
    issuer: str = ""
    audience: str = ""
    jwks_url: str = ""
    required_scopes: tuple[str, ...] = ()
    clock_skew: float = 60.0
    """Seconds that the clocks of issuer and townhall may differ."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How the connection is protected; paths are absolute. `client_ca` signs the certificates of clients."""

    cert_file: Path
    key_file: Path
    client_ca: Path | None = None
    client_required: bool = False


@dataclass(frozen=True, slots=True)
class RateSettings:
    """Calls a minute of one principal, and failed logins a minute of one address."""

    reads: int = 120
    writes: int = 60
    failed_logins: int = 10


@dataclass(frozen=True, slots=True)
class TownhallSettings:
    """All of them. Durations are seconds, sizes are bytes."""

    bind: str = LOOPBACK
    port: int = REST_PORT
    mcp_port: int = REST_PORT + 1
    """Of `townhall mcp-http`; the one after the other, unless it is given."""
    socket: Path | None = None
    """A Unix socket to serve on, too."""
    hosts: tuple[str, ...] = ()
    """Names under which townhall may be addressed, besides those of loopback and the address it is bound to."""
    origins: tuple[str, ...] = ()
    """Web pages of these origins may call it."""
    request_timeout: float = 30.0
    """Until an answer begins; also for the whole of a request to arrive."""
    request_bytes: int = 1 << 20
    max_connections: int = 2000
    grace: float = 5.0
    """How long a stop waits for requests that are under way."""
    auth: AuthSettings = field(default_factory=AuthSettings)
    tls: TlsSettings | None = None
    rates: RateSettings = field(default_factory=RateSettings)


def townhall_settings(
    table: Mapping[str, ConfigValue], *, root: Path, request_bytes: int = 1 << 20
) -> TownhallSettings:
    """The settings of a table that the configuration has read; relative paths are below `root`.

    Raises `InvalidConfig` for what does not go together.
    """
    default = TownhallSettings()
    limits = _table(table, "limits")
    where = table.get("socket")
    port = cast("int", table.get("rest_port", default.port))
    return TownhallSettings(
        bind=cast("str", table.get("bind", default.bind)),
        port=port,
        mcp_port=cast("int", table.get("mcp_port", min(port + 1, 65_535))),
        socket=None if where is None else _path(root, where),
        hosts=tuple(cast("list[str]", table.get("hosts", []))),
        origins=tuple(cast("list[str]", table.get("origins", []))),
        request_timeout=cast("int", table.get("request_timeout_ms", 30_000)) / 1000,
        request_bytes=request_bytes,
        max_connections=cast("int", table.get("max_connections", default.max_connections)),
        grace=cast("float", table.get("grace_seconds", default.grace)),
        auth=_auth(_table(table, "auth")),
        tls=_tls(_table(table, "tls"), _table(table, "mtls"), root),
        rates=RateSettings(
            reads=cast("int", limits.get("reads_per_minute", default.rates.reads)),
            writes=cast("int", limits.get("writes_per_minute", default.rates.writes)),
            failed_logins=cast("int", limits.get("failed_logins_per_minute", default.rates.failed_logins)),
        ),
    )


def _auth(table: Table) -> AuthSettings:
    mode = cast("Mode", table.get("mode", "token"))
    found = AuthSettings(
        mode=mode,
        api_key_hash=cast("str | None", table.get("api_key_hash")),
        api_key_scopes=frozenset(Scope(name) for name in cast("list[str]", table.get("api_key_scopes", list(USUAL)))),
        issuer=cast("str", table.get("issuer", "")),
        audience=cast("str", table.get("audience", "")),
        jwks_url=cast("str", table.get("jwks_url", "")),
        required_scopes=tuple(cast("list[str]", table.get("required_scopes", []))),
        clock_skew=float(cast("int", table.get("clock_skew_seconds", 60))),
    )
    if mode == "oidc" and not (found.issuer and found.audience):
        raise InvalidConfig(
            'townhall.auth: mode = "oidc" needs an issuer and an audience',
            hint="Without them a token for any other service would open this one.",
        )
    return found


def _tls(tls: Table, mtls: Table, root: Path) -> TlsSettings | None:
    if not tls.get("enabled"):
        if mtls.get("enabled"):
            raise InvalidConfig("townhall.mtls is enabled, and townhall.tls is not: there is no mTLS without TLS")
        return None
    missing = [key for key in ("cert_file", "key_file") if key not in tls]
    if missing:
        raise InvalidConfig(f"townhall.tls is enabled, and {' and '.join(missing)} missing")
    clients = bool(mtls.get("enabled"))
    if clients and "ca_file" not in mtls:
        raise InvalidConfig("townhall.mtls is enabled, and ca_file is missing")
    return TlsSettings(
        cert_file=_path(root, tls["cert_file"]),
        key_file=_path(root, tls["key_file"]),
        client_ca=_path(root, mtls["ca_file"]) if clients else None,
        client_required=clients and bool(mtls.get("required", True)),
    )


def _table(table: Mapping[str, ConfigValue], key: str) -> Table:
    return cast("Table", table.get(key, {}))


def _path(root: Path, value: ConfigValue) -> Path:
    return root / Path(cast("str", value)).expanduser()
