"""TLS: the certificate that is shown, those that clients show, and the change of both without a restart."""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING

import trio

from tinytown.errors import InvalidConfig, RuntimeFailed
from tinytown.text import term_safe

if TYPE_CHECKING:
    from pathlib import Path

    from tinytown.web.settings import TlsSettings

log = logging.getLogger("townhall.tls")

LOOK_SECONDS = 1.0
"""How often at most the files are looked at; a connection that comes is the occasion."""

PROBE_SECONDS = 5.0

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class Certificates:
    """The certificates of the settings, as the files hold them now."""

    def __init__(self, settings: TlsSettings) -> None:
        """Raises `InvalidConfig` for files that are missing, broken, or do not belong together."""
        self.settings = settings
        self._seen = self._stamps()
        self._looked = float("-inf")
        self.context = make_context(settings)
        """For the next connection."""

    def reload(self) -> bool:
        """Read the files again; says whether they could be used. If not, what was in use stays in use."""
        self._seen = self._stamps()
        try:
            self.context = make_context(self.settings)
        except InvalidConfig as error:
            log.error("The certificate is not changed: %s", error)  # noqa: TRY400 - its message is all there is
            return False
        log.info("The certificate was read again")
        return True

    def fresh(self) -> ssl.SSLContext:
        """The context for a connection that comes now; files that have changed were read again."""
        now = trio.current_time()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            if self._stamps() != self._seen:
                self.reload()
        return self.context

    def _stamps(self) -> list[tuple[int, int] | None]:
        paths = (self.settings.cert_file, self.settings.key_file, self.settings.client_ca)
        return [_stamp(path) for path in paths if path is not None]


class SecureListener(trio.abc.Listener["trio.SSLStream[trio.SocketStream]"]):
    """Takes connections under TLS, each with the certificate of the moment."""

    def __init__(self, plain: trio.SocketListener, certificates: Certificates) -> None:
        self.plain = plain
        self._certificates = certificates

    async def accept(self) -> trio.SSLStream[trio.SocketStream]:
        """The next connection; its handshake is still to come."""
        return self.secured(await self.plain.accept())

    def secured(self, stream: trio.SocketStream) -> trio.SSLStream[trio.SocketStream]:
        """A connection that was taken, under TLS."""
        return trio.SSLStream(stream, self._certificates.fresh(), server_side=True, https_compatible=True)

    async def aclose(self) -> None:
        """Take no more."""
        await self.plain.aclose()


def make_context(settings: TlsSettings) -> ssl.SSLContext:
    """What a server needs: TLS 1.2 and newer, HTTP/1.1 only. Raises `InvalidConfig`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    cert, key, authority = settings.cert_file, settings.key_file, settings.client_ca
    _check_readable(cert, "townhall.tls.cert_file")
    _check_readable(key, "townhall.tls.key_file")
    try:
        # A key with a password would stop and ask for it at the terminal, if there is one.
        context.load_cert_chain(cert, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidConfig(
            f"townhall.tls: certificate and key cannot be used together: {_reason(error)}",
            hint=f"Look at {term_safe(str(cert), lines=False)} and {term_safe(str(key), lines=False)}: both are PEM, "
            "the key is that of the certificate, and has no password.",
        ) from None
    if authority is not None:
        _check_readable(authority, "townhall.mtls.ca_file")
        try:
            context.load_verify_locations(authority)
        except ssl.SSLError as error:
            raise InvalidConfig(f"townhall.mtls.ca_file cannot be used: {_reason(error)}") from None
        context.verify_mode = ssl.CERT_REQUIRED if settings.client_required else ssl.CERT_OPTIONAL
    return context


async def probe(host: str, port: int, settings: TlsSettings) -> None:
    """Connect to what was just started, and make sure that it does what was configured.

    Raises `RuntimeFailed` when it talks without TLS, shows another certificate, or lets a client in that has none.
    """
    try:
        with trio.fail_after(PROBE_SECONDS):
            if await _answers_plainly(host, port):
                raise RuntimeFailed("TLS is configured, and townhall answers without it")
            shown, answered = await _ask(host, port)
    except (OSError, trio.TooSlowError) as error:
        raise RuntimeFailed(f"Townhall does not answer on its own port: {error}") from error
    if shown is not None and ssl.DER_cert_to_PEM_cert(shown).strip() != _first_certificate(settings.cert_file):
        raise RuntimeFailed("Townhall shows another certificate than the configured one")
    if answered == settings.client_required:
        what = "lets a client in that shows no certificate" if answered else "does not answer under TLS"
        raise RuntimeFailed(f"Townhall {what}")


_REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def _answers_plainly(host: str, port: int) -> bool:
    async with await trio.open_tcp_stream(host, port) as stream:
        try:
            await stream.send_all(_REQUEST)
            return bytes(await stream.receive_some()).startswith(b"HTTP/")
        except trio.BrokenResourceError:
            return False


async def _ask(host: str, port: int) -> tuple[bytes | None, bool]:
    """The certificate that is shown, and whether a client without one gets an answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # It is compared with the file itself.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = await trio.open_tcp_stream(host, port)
    stream = trio.SSLStream(plain, context, https_compatible=True)
    shown: bytes | None = None
    try:
        await stream.do_handshake()
        shown = stream.getpeercert(binary_form=True)
        await stream.send_all(_REQUEST)
        return shown, bytes(await stream.receive_some()).startswith(b"HTTP/")
    except trio.BrokenResourceError:
        # TLS 1.3 tells of a missing certificate only after the handshake.
        return shown, False
    finally:
        await trio.aclose_forcefully(stream)


def _first_certificate(path: Path) -> str:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    text = path.read_text(encoding="ascii", errors="replace")
    encoded = text.partition(begin)[2].partition(end)[0].split()
    joined = "".join(encoded)
    lines = [joined[start : start + 64] for start in range(0, len(joined), 64)]
    return "\n".join([begin, *lines, end])


def _check_readable(path: Path, key: str) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise InvalidConfig(
            f"{key}: {term_safe(str(path), lines=False)}: {error.strerror or error}",
            hint="Townhall reads it as you do.",
        ) from None


def _no_password() -> str:
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").replace("_", " ").lower()
    return str(error)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
