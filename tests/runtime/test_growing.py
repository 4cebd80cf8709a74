"""A log that grows, is cut down, is begun anew, or is something that must not be opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tinytown.actors.shim import Log
from tinytown.errors import Forbidden
from tinytown.runtime.growing import GrowingFile, last_lines_at


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "logs" / "ada.log"
    path.parent.mkdir()
    return path


def growing(log: Path, at: int = 0) -> GrowingFile:
    return GrowingFile(log.parent.parent, log, at=at)


def append(path: Path, text: bytes) -> None:
    with path.open("ab") as file:
        file.write(text)


def all_of(file: GrowingFile) -> bytes:
    """Two looks' worth: the first after a cut only takes note of it."""
    return file.read() + file.read()


def test_what_is_new_is_read_once(log: Path) -> None:
    file = growing(log)
    assert file.read() == b""
    append(log, b"one\n")
    assert file.read() == b"one\n"
    assert file.read() == b""
    append(log, b"two\nthr")
    append(log, b"ee\n")
    assert file.read() == b"two\nthree\n"
    assert file.at == 14


def test_it_begins_where_it_is_told_to(log: Path) -> None:
    append(log, b"old\n" * 1000)
    file = growing(log, at=4000)

    assert file.read() == b""
    append(log, b"new\n")
    assert file.read() == b"new\n"


def test_much_is_read_in_parts(log: Path) -> None:
    append(log, b"x" * (5 << 20))
    file = growing(log)
    parts = list(iter(file.read, b""))

    assert sum(map(len, parts)) == 5 << 20
    assert max(map(len, parts)) == 1 << 20


def shim_log(log: Path, cap: int) -> Log:
    """The log as the shim of a round writes it."""
    return Log(os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND), cap)


def test_a_reader_at_the_end_of_a_log_that_is_cut_misses_nothing_and_repeats_nothing(log: Path) -> None:
    append(log, b"an earlier round\n")
    writer, file = shim_log(log, 4096), growing(log)
    seen = b""
    lines = [b"line %05d\n" % number for number in range(2000)]
    for line in lines:
        writer.write(line)
        seen += file.read()
    writer.close()
    seen += all_of(file)

    assert log.stat().st_size < 4096
    assert seen == b"an earlier round\n" + b"".join(lines)


def test_a_reader_that_was_in_the_part_that_went_away_goes_on_at_the_gap(log: Path) -> None:
    writer, file = shim_log(log, 4096), growing(log)
    for number in range(200):
        writer.write(b"line %05d\n" % number)
    assert file.read().endswith(b"line 00199\n")
    for number in range(200, 5000):
        writer.write(b"line %05d\n" % number)
    writer.close()

    seen = all_of(file)

    assert seen.startswith(b"\n[")
    assert b" bytes left out here]\n" in seen.splitlines(keepends=True)[1]
    assert seen.endswith(b"line 04999\n")
    assert b"line 00001\n" not in seen


def test_a_log_in_the_middle_of_being_cut_is_looked_at_again(log: Path) -> None:
    append(log, b"".join(b"line %05d\n" % number for number in range(1000)))
    whole = log.read_bytes()
    file = growing(log)
    while file.read():
        pass
    os.truncate(log, 500)
    assert file.read() == b""
    append(log, b"\n[123 bytes left out here]\n" + whole[-500:] + b"new\n")

    assert all_of(file) == b"new\n"


def test_a_log_that_was_emptied_is_read_from_its_beginning(log: Path) -> None:
    append(log, b"old " * 100)
    file = growing(log)
    file.read()
    os.truncate(log, 0)
    append(log, b"new\n")

    assert all_of(file) == b"new\n"


def test_another_file_of_the_name_is_read_from_its_beginning(log: Path) -> None:
    append(log, b"old\n")
    file = growing(log)
    file.read()
    log.write_bytes(b"longer than the old one\n")
    assert file.read() == b"longer than the old one\n"
    log.unlink()
    assert file.read() == b""
    append(log, b"again\n")
    assert file.read() == b"again\n"


def test_links_and_pipes_are_refused(log: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    log.symlink_to(secret)
    with pytest.raises(Forbidden):
        growing(log).read()
    with pytest.raises(Forbidden):
        last_lines_at(tmp_path, log, 1)
    log.unlink()
    os.mkfifo(log)
    with pytest.raises(Forbidden):
        last_lines_at(tmp_path, log, 1)


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        (b"", 3, b""),
        (b"one\n", 0, b""),
        (b"one\n", 1, b"one\n"),
        (b"one\ntwo\n", 1, b"two\n"),
        (b"one\ntwo", 1, b"two"),
        (b"one\ntwo\nthree\n", 2, b"two\nthree\n"),
        (b"one\ntwo\n", 9, b"one\ntwo\n"),
        (b"\n\n\n", 2, b"\n\n"),
        (b"x" * 70_000 + b"\n" + b"y" * 70_000 + b"\nz\n", 2, b"y" * 70_000 + b"\nz\n"),
        (b"x" * 65_535 + b"\n" + b"y" * 65_535 + b"\n", 1, b"y" * 65_535 + b"\n"),
    ],
)
def test_the_last_lines_are_found_from_the_end(log: Path, text: bytes, count: int, expected: bytes) -> None:
    log.write_bytes(text)

    assert log.read_bytes()[last_lines_at(log.parent.parent, log, count) :] == expected
