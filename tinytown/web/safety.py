"""What townhall refuses to start with, and what it warns of. There is no switch that turns this off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.errors import InvalidConfig
from tinytown.text import term_safe
from tinytown.web.doors.names import bare_host
from tinytown.web.sockets import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tinytown.web.settings import TownhallSettings

_AUTH_HINT = 'Set [townhall.auth] mode = "api_key" or "oidc", or bind it to 127.0.0.1.'
_TLS_HINT = "Set [townhall.tls] enabled, cert_file and key_file, or bind it to 127.0.0.1 behind a proxy of your own."


def check_safety(settings: TownhallSettings) -> tuple[str, ...]:
    """Raise `InvalidConfig`, with the reason, for what would put the town at risk; gives what a person should know."""
    where = term_safe(settings.bind, lines=False)
    if not is_loopback(settings.bind):
        _check_open(settings, where)
    return tuple(_warnings(settings, where))


def check_addresses(settings: TownhallSettings, addresses: Iterable[str]) -> None:
    """The same rules for the addresses that a name has turned out to be."""
    for address in addresses:
        if not is_loopback(address):
            _check_open(settings, address)


def _check_open(settings: TownhallSettings, where: str) -> None:
    """What other machines can reach wants a credential, and a connection on which nobody reads it."""
    if settings.auth.mode == "none":
        raise InvalidConfig(
            f"Townhall would listen on {where} with authentication switched off: whoever reaches this machine could "
            "start agents, which run programs",
            hint=_AUTH_HINT,
        )
    if settings.tls is None:
        raise InvalidConfig(
            f"Townhall would listen on {where} without TLS: whoever is on the way could read the keys", hint=_TLS_HINT
        )


def _warnings(settings: TownhallSettings, where: str) -> Iterable[str]:
    auth = settings.auth
    if auth.mode == "none":
        yield "Authentication is switched off: every program of every user on this machine can command the town."
    if auth.mode in ("token", "api_key") and not is_loopback(settings.bind):
        yield f'Keys are all that protects {where}. For production mode = "oidc" is recommended.'
    if auth.mode == "api_key" and auth.api_key_hash is not None and not auth.api_key_scopes:
        yield "The key of the configuration opens nothing: its api_key_scopes are empty."
    for origin in settings.origins:
        if origin.startswith("http://") and not is_loopback(bare_host(origin.removeprefix("http://"))):
            yield f"Web pages of {origin} may call townhall, and anybody on their way could change them: use https."
