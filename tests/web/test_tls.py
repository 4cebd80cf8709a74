"""TLS is really served, or townhall does not start."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from certificates import Authority, Pair
from httpx2 import AsyncClient
from serving import answer, plain, read_to_end, request, served

from tinytown.errors import InvalidConfig, RuntimeFailed
from tinytown.web import tls
from tinytown.web.asgi import AsgiScope, Receive, Send
from tinytown.web.run import Townhall, townhall
from tinytown.web.safety import check_safety
from tinytown.web.serve import Server
from tinytown.web.settings import AuthSettings, TlsSettings, TownhallSettings, townhall_settings
from tinytown.web.sockets import address_of, is_loopback, listen
from tinytown.web.tls import Certificates, make_context, probe


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.sign("server")


@asynccontextmanager
async def secured(settings: TlsSettings) -> AsyncIterator[tuple[int, Certificates]]:
    """A plain application under TLS: the port, and the certificates."""
    certificates = Certificates(settings)
    listeners = await listen("127.0.0.1", 0, certificates)
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(Server(plain, listeners).run, stop)
        yield address_of(listeners[0])[1], certificates
        stop.set()


def trusting(authority: Authority, pair: Pair | None = None) -> ssl.SSLContext:
    """What a client has that trusts this authority, and shows a certificate if it has one."""
    context = ssl.create_default_context(cafile=str(authority.file))
    if pair is not None:
        context.load_cert_chain(pair.cert, pair.key)
    return context


async def ask(port: int, context: ssl.SSLContext) -> int:
    """The status of one request under TLS; 0 when there was none."""
    stream = await trio.open_ssl_over_tcp_stream("localhost", port, ssl_context=context, https_compatible=True)
    try:
        await stream.send_all(request())
        return (await answer(stream)).status
    except (trio.BrokenResourceError, AssertionError):
        return 0
    finally:
        await trio.aclose_forcefully(stream)


async def serial(port: int, authority: Authority) -> int:
    """The number of the certificate that is shown."""
    stream = await trio.open_ssl_over_tcp_stream("localhost", port, ssl_context=trusting(authority))
    await stream.do_handshake()
    found = int(str(stream.getpeercert()["serialNumber"]), 16)
    await trio.aclose_forcefully(stream)
    return found


async def test_it_is_served_in_both_versions_and_in_no_older_one(authority: Authority, pair: Pair) -> None:
    async with secured(TlsSettings(pair.cert, pair.key)) as (port, _):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = trusting(authority)
            context.minimum_version = context.maximum_version = version
            assert await ask(port, context) == 200
        old = trusting(authority)
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        assert await ask(port, old) == 0
        with_h2 = trusting(authority)
        with_h2.set_alpn_protocols(["h2", "http/1.1"])
        stream = await trio.open_ssl_over_tcp_stream("localhost", port, ssl_context=with_h2)
        await stream.do_handshake()
        assert stream.selected_alpn_protocol() == "http/1.1"
        await trio.aclose_forcefully(stream)


async def test_who_speaks_no_tls_gets_no_answer_and_hurts_nobody(authority: Authority, pair: Pair) -> None:
    async with secured(TlsSettings(pair.cert, pair.key)) as (port, _):
        for rubbish in (request(), bytes(10_000), b"\x16\x03\x01\x00\x05hello"):
            async with await trio.open_tcp_stream("localhost", port) as stream:
                await stream.send_all(rubbish)
                assert not (await read_to_end(stream)).startswith(b"HTTP/")
        assert await ask(port, trusting(authority)) == 200


@pytest.mark.parametrize("required", [True, False])
async def test_a_client_shows_its_certificate_where_one_is_required(
    authority: Authority, pair: Pair, tmp_path: Path, *, required: bool
) -> None:
    (tmp_path / "elsewhere").mkdir()
    stranger = Authority(tmp_path / "elsewhere").sign("mallory")
    settings = TlsSettings(pair.cert, pair.key, authority.file, client_required=required)
    async with secured(settings) as (port, _):
        assert await ask(port, trusting(authority, authority.sign("ada"))) == 200
        assert await ask(port, trusting(authority, stranger)) == 0
        assert await ask(port, trusting(authority)) == (0 if required else 200)


async def test_the_application_sees_the_certificate_of_the_client(authority: Authority, pair: Pair) -> None:
    seen: list[object] = []

    async def looking(scope: AsgiScope, receive: Receive, send: Send) -> None:
        seen.append(scope["state"]["tls_peer"])
        await plain(scope, receive, send)

    certificates = Certificates(TlsSettings(pair.cert, pair.key, authority.file))
    listeners = await listen("127.0.0.1", 0, certificates)
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(Server(looking, listeners).run, stop)
        await ask(address_of(listeners[0])[1], trusting(authority, authority.sign("ada")))
        await ask(address_of(listeners[0])[1], trusting(authority))
        stop.set()
    assert seen[0]["subject"] == ((("commonName", "ada"),),)  # type: ignore[index]
    assert seen[1] is None


async def test_a_new_certificate_is_shown_after_a_reload_and_a_bad_one_is_not_taken(
    authority: Authority, pair: Pair
) -> None:
    async with secured(TlsSettings(pair.cert, pair.key)) as (port, certificates):
        first = await serial(port, authority)
        authority.sign("server again", file="server")
        assert certificates.reload()
        second = await serial(port, authority)
        pair.key.write_text("rubbish")
        assert not certificates.reload()
        assert await serial(port, authority) == second != first


async def test_a_new_certificate_is_found_by_the_connections_that_come(
    authority: Authority, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "LOOK_SECONDS", 0.0)
    async with secured(TlsSettings(pair.cert, pair.key)) as (port, _):
        first = await serial(port, authority)
        authority.sign("server again", file="server")
        assert await serial(port, authority) != first


# Starting.


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda pair: pair.cert.unlink(), "cert_file.*No such file"),
        (lambda pair: pair.key.unlink(), "key_file.*No such file"),
        (lambda pair: pair.cert.write_text("rubbish"), "cannot be used together"),
        (lambda pair: pair.key.write_text("rubbish"), "cannot be used together"),
        (lambda pair: shutil.copy(pair.cert.with_name("other.key"), pair.key), "key values mismatch"),
    ],
)
def test_files_that_do_not_serve_are_refused_with_the_reason(
    authority: Authority, pair: Pair, spoil: object, reason: str
) -> None:
    authority.sign("other")
    spoil(pair)  # type: ignore[operator]
    with pytest.raises(InvalidConfig, match=reason):
        make_context(TlsSettings(pair.cert, pair.key))


def test_an_authority_for_clients_that_is_none_is_refused(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"ca_file.*No such file"):
        make_context(TlsSettings(pair.cert, pair.key, tmp_path / "none.pem"))
    (tmp_path / "bad.pem").write_text("rubbish")
    with pytest.raises(InvalidConfig, match="ca_file cannot be used"):
        make_context(TlsSettings(pair.cert, pair.key, tmp_path / "bad.pem"))


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"tls": {"enabled": True}}, "cert_file and key_file missing"),
        ({"tls": {"enabled": True, "cert_file": "a"}}, "key_file missing"),
        ({"mtls": {"enabled": True, "ca_file": "a"}}, "no mTLS without TLS"),
        (
            {"tls": {"enabled": True, "cert_file": "a", "key_file": "b"}, "mtls": {"enabled": True}},
            "ca_file is missing",
        ),
    ],
)
def test_settings_that_lack_a_file_are_refused(table: dict[str, object], reason: str) -> None:
    with pytest.raises(InvalidConfig, match=reason):
        townhall_settings(table, root=Path("/town"))  # type: ignore[arg-type]


def test_paths_are_below_the_town_and_client_certificates_required_unless_it_says_otherwise() -> None:
    table = {
        "tls": {"enabled": True, "cert_file": "c.pem", "key_file": "/etc/k"},
        "mtls": {"enabled": True, "ca_file": "ca"},
    }
    found = townhall_settings(table, root=Path("/town")).tls  # type: ignore[arg-type]
    assert found == TlsSettings(Path("/town/c.pem"), Path("/etc/k"), Path("/town/ca"), client_required=True)


TLS = TlsSettings(Path("c"), Path("k"))


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.168.1.5", "town.example", "localhost.evil.example"])
def test_other_machines_are_served_with_authentication_and_tls_only(bind: str) -> None:
    for auth, secure, reason in (
        (AuthSettings("none"), None, "authentication switched off"),
        (AuthSettings("none"), TLS, "authentication switched off"),
        (AuthSettings("api_key"), None, "without TLS"),
        (AuthSettings("oidc"), None, "without TLS"),
        (AuthSettings("token"), None, "without TLS"),
    ):
        with pytest.raises(InvalidConfig, match=reason):
            check_safety(TownhallSettings(bind=bind, auth=auth, tls=secure))
    assert check_safety(TownhallSettings(bind=bind, auth=AuthSettings("oidc"), tls=TLS)) == ()
    (warning,) = check_safety(TownhallSettings(bind=bind, auth=AuthSettings("api_key"), tls=TLS))
    assert "oidc" in warning


def test_on_loopback_the_default_is_safe_and_what_is_not_is_said() -> None:
    assert check_safety(TownhallSettings()) == ()
    (warning,) = check_safety(TownhallSettings(auth=AuthSettings("none")))
    assert "switched off" in warning
    (warning,) = check_safety(TownhallSettings(auth=AuthSettings("api_key", "$argon2id$x", frozenset())))
    assert "opens nothing" in warning
    (warning,) = check_safety(
        TownhallSettings(origins=("http://desk.example", "http://localhost", "https://a.example"))
    )
    assert "http://desk.example" in warning


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("[::1]", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("localhost.example", False), ("", False),
        ("0x7f.1", False), ("::ffff:127.0.0.1%eth0", False),
    ],
)  # fmt: skip
def test_loopback_is_what_only_this_machine_reaches(host: str, *, loopback: bool) -> None:
    assert is_loopback(host) is loopback


async def test_the_look_at_itself_finds_a_server_that_does_not_do_what_was_configured(
    authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    settings = TlsSettings(pair.cert, pair.key)
    async with secured(settings) as (port, _):
        await probe("127.0.0.1", port, settings)
        with pytest.raises(RuntimeFailed, match="no certificate"):
            await probe("127.0.0.1", port, TlsSettings(pair.cert, pair.key, authority.file, client_required=True))
        other = authority.sign("other")
        with pytest.raises(RuntimeFailed, match="another certificate"):
            await probe("127.0.0.1", port, TlsSettings(other.cert, other.key))
    async with secured(replace(settings, client_ca=authority.file, client_required=True)) as (port, _):
        await probe("127.0.0.1", port, replace(settings, client_ca=authority.file, client_required=True))
    async with served(plain) as bare:
        with pytest.raises(RuntimeFailed, match="answers without it"):
            await probe("127.0.0.1", bare.port, settings)


# The whole of it.


async def test_a_town_is_served_under_tls_to_clients_with_a_certificate(
    made: Path, authority: Authority, pair: Pair
) -> None:
    lines: list[str] = []
    secure = TlsSettings(pair.cert, pair.key, authority.file, client_required=True)

    def settings(found: TownhallSettings) -> TownhallSettings:
        return replace(found, bind="0.0.0.0", port=0, tls=secure)

    async with townhall(made, announce=lines.append, settings=settings) as served_town:
        port = served_town.urls[0].rpartition(":")[2]
        context = trusting(authority, authority.sign("ada"))
        async with AsyncClient(verify=context, headers=bearer(served_town)) as client:
            assert (await client.get(f"https://localhost:{port}/v1/town")).json()["name"] == "demo"
            assert (await client.get(f"https://127.0.0.1:{port}/v1/town")).status_code == 200
            wrong = await client.get(f"https://127.0.0.1:{port}/v1/town", headers={"host": "0.0.0.0"})
            assert wrong.status_code == 200, "the address that it was bound to"
        assert await ask(int(port), trusting(authority)) == 0
    assert served_town.urls == (f"https://0.0.0.0:{port}",)
    assert any("oidc" in line for line in lines)


def bearer(served_town: Townhall) -> dict[str, str]:
    token = (served_town.hall.town.ground.state.directory / "townhall.token").read_text().strip()
    return {"authorization": f"Bearer {token}"}


async def test_a_start_that_is_refused_leaves_nothing_behind(made: Path) -> None:
    def settings(found: TownhallSettings) -> TownhallSettings:
        return replace(found, bind="0.0.0.0", port=0)

    with pytest.raises(InvalidConfig, match="without TLS"):
        async with townhall(made, announce=print, settings=settings):
            raise AssertionError
    # The very next one can have everything it needs.
    async with townhall(made, announce=print, settings=lambda found: replace(found, port=0)) as again:
        assert again.urls
