"""Addresses: what is read, what is refused, and that a password is never shown."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest

from tinytown.errors import InvalidConfig
from tinytown.transport import address as address_module
from tinytown.transport.address import Address, Tls, connectable

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("redis://", Address()),
        ("redis://example.org", Address(host="example.org")),
        ("valkey://example.org:7000/3", Address(host="example.org", port=7000, db=3)),
        ("redis://example.org?db=4", Address(host="example.org", db=4)),
        ("REDIS://[::1]:6380", Address(host="::1", port=6380)),
        ("redis://:hunter2@h", Address(host="h", password=SECRET)),
        ("redis://me:hunter2@h", Address(host="h", username="me", password=SECRET)),
        ("redis://me%40x:a%2Fb%3A%40c@h", Address(host="h", username="me@x", password="a/b:@c")),
        ("redis://me:a@b@h", Address(host="h", username="me", password="a@b")),
        ("rediss://h", Address(host="h", tls=Tls())),
        ("valkeys://h?ca_file=/ca.pem", Address(host="h", tls=Tls(ca_file="/ca.pem"))),
        (
            "rediss://h/1?ssl_ca_certs=/ca&ssl_certfile=/c&ssl_keyfile=/k&ssl_cert_reqs=required",
            Address(host="h", db=1, tls=Tls("/ca", "/c", "/k")),
        ),
        ("unix:///run/redis.sock", Address(path="/run/redis.sock")),
        ("unix:///a%20b/r.sock?db=2", Address(path="/a b/r.sock", db=2)),
        ("unix://:hunter2@/run/r.sock", Address(path="/run/r.sock", password=SECRET)),
    ],
)
def test_an_address_is_read_from_its_url(url: str, meant: Address) -> None:
    assert Address.parse(url) == meant


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "must begin with"),
        ("localhost:6379", "must begin with"),
        ("http://localhost", "must begin with"),
        ("redis://h:port", "percent-encoded"),
        ("redis://h:99999", "percent-encoded"),
        ("redis://h/zero", "the database is a number"),
        ("redis://h?db=-1", "the database is a number"),
        ("redis://h?timeout=3", "unknown option timeout"),
        ("redis://h?ca_file=/x", "unknown option ca_file"),
        ("unix://relative.sock", "unix:///absolute/path"),
        ("unix://", "unix:///absolute/path"),
        ("rediss://h?ssl_cert_reqs=none", "never does"),
        ("rediss://h?ssl_check_hostname=false", "never does"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused_with_the_reason(url: str, says: str) -> None:
    with pytest.raises(InvalidConfig, match=says) as caught:
        Address.parse(url)

    assert caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "redis://me:hunter2/more@h:1",
        "redis://me:1hunter2#more@h",
        "redis://me:hunter2?more@h",
        "redis://me:hunter2@[h",
        "http://me:hunter2@h",
        "redis://me:hunter2@h/x",
    ],
)
def test_no_error_about_an_address_shows_a_piece_of_its_password(url: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        Address.parse(url)

    shown = f"{caught.value!r} {caught.value.hint}"
    assert SECRET not in shown
    assert "more" not in shown
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://me:hunter2@h:7000/3", "redis://me:***@h:7000/3"),
        ("redis://:hunter2@h", "redis://:***@h:6379/0"),
        ("valkeys://h", "rediss://h:6379/0"),
        ("redis://[::1]", "redis://[::1]:6379/0"),
        ("unix:///a%20b/r.sock?db=2", "unix:///a%20b/r.sock?db=2"),
        ("unix://:hunter2@/r.sock", "unix://:***@/r.sock"),
    ],
)
def test_the_text_for_people_tells_everything_but_the_password(url: str, shown: str) -> None:
    address = Address.parse(url)

    assert address.url == shown
    assert str(address) == shown
    assert SECRET not in repr(address)


def test_the_text_of_an_address_without_a_password_can_be_read_again() -> None:
    for address in (
        Address.unix("/run/a b/redis.sock", db=3),
        Address(host="::1", port=1, db=2),
        Address(username="me"),
    ):
        assert Address.parse(address.url) == address


def test_a_certificate_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nothing")

    with pytest.raises(InvalidConfig, match=r"missing\.pem"):
        Tls(ca_file=str(tmp_path / "missing.pem")).context()
    with pytest.raises(InvalidConfig, match=r"nonsense\.pem"):
        Tls(cert_file=str(nonsense)).context()


def test_a_short_path_is_connected_to_as_it_is() -> None:
    with connectable("/run/redis.sock") as name:
        assert name == "/run/redis.sock"


@pytest.mark.parametrize("way", ["as the system allows", "by a link"])
@pytest.mark.parametrize("length", [104, 107, 108, 200, 900])
def test_a_socket_is_reached_whatever_the_length_of_its_path(
    way: str, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "by a link":
        monkeypatch.delattr(os, "O_PATH", raising=False)
    with tempfile.TemporaryDirectory(prefix="tt") as base:
        directory = Path(base)
        while len(str(directory)) < length - 7:
            directory /= "d" * min(120, length - 8 - len(str(directory)))
        directory.mkdir(parents=True, exist_ok=True)
        path = str(directory / ("r" * (length - 1 - len(str(directory)))))
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
            with pytest.MonkeyPatch.context() as here:
                here.chdir(directory)  # a server binds by a relative path too
                listener.bind(Path(path).name)
            listener.listen()
            with connectable(path) as name:
                client.connect(name)

                assert len(os.fsencode(name)) <= address_module.SOCKET_PATH_LIMIT


def test_a_socket_that_is_not_there_is_an_os_error_whatever_the_length() -> None:
    with pytest.raises(FileNotFoundError), connectable("/nowhere/" + "x" * 200) as name:
        pytest.fail(f"{name} is nothing to connect to")
