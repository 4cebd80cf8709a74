"""What the words of the server mean, and how long is waited between two tries."""

from __future__ import annotations

from itertools import islice

import pytest

from tinytown.errors import RedisFull, RedisRefused, RedisUnreachable, TownError
from tinytown.transport.address import Address
from tinytown.transport.connection import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Misplaced,
    NoScript,
    NotReady,
    ReplyError,
    error_of,
    greeting,
    lost,
    pack,
    pauses,
    settled,
    unreachable,
    unwelcome,
)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("NOSCRIPT No matching script.", NoScript),
        ("LOADING Redis is loading the dataset in memory", NotReady),
        ("BUSY Redis is busy running a script.", NotReady),
        ("NOREPLICAS Not enough good replicas to write.", NotReady),
        ("ERR max number of clients reached", NotReady),
        ("READONLY You can't write against a read only replica.", Misplaced),
        ("MASTERDOWN Link with MASTER is down", Misplaced),
        ("NOAUTH Authentication required.", RedisRefused),
        ("WRONGPASS invalid username-password pair", RedisRefused),
        ("NOPERM User x has no permissions", RedisRefused),
        ("DENIED Redis is running in protected mode", RedisRefused),
        ("OOM command not allowed when used memory > 'maxmemory'.", RedisFull),
        ("MISCONF Errors writing to the AOF file: No space left on device", RedisFull),
        ("BUSYGROUP Consumer Group name already exists", ReplyError),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", ReplyError),
        ("ERR unknown command 'FOO'", ReplyError),
        ("", ReplyError),
    ],
)
def test_an_error_reply_means_one_thing_and_keeps_the_words_of_the_server(text: str, kind: type[TownError]) -> None:
    error = error_of(text)

    assert type(error) is kind
    assert text in error.message


def test_every_refusal_says_what_to_do() -> None:
    for text in ("NOAUTH x", "WRONGPASS x", "NOPERM x", "DENIED x", "OOM x", "MISCONF x", "LOADING x"):
        assert error_of(text).hint


def test_a_server_that_is_not_ready_counts_as_unreachable_for_the_caller() -> None:
    assert isinstance(error_of("LOADING x"), RedisUnreachable)
    assert error_of("LOADING x").exit_code == 3


def test_the_pauses_between_tries_double_and_stay_under_five_seconds() -> None:
    for _ in range(20):
        bound = FIRST_PAUSE
        for pause in islice(pauses(), 12):
            assert 0 <= pause <= bound
            bound = min(2 * bound, LONGEST_PAUSE)


def test_the_greeting_names_user_and_database_only_where_the_address_does() -> None:
    assert greeting(Address()) == [("HELLO", 3, "SETNAME", "tinytown")]
    assert greeting(Address(password="p", db=2)) == [
        ("HELLO", 3, "AUTH", "default", "p", "SETNAME", "tinytown"),
        ("SELECT", 2),
    ]
    assert greeting(Address(username="me"))[0][2:5] == ("AUTH", "me", "")


def test_what_the_server_says_against_the_greeting_is_a_refusal() -> None:
    address = Address(password="hunter2")

    assert isinstance(unwelcome(address, error_of("ERR DB index is out of range")), RedisRefused)
    assert "hunter2" not in str(unwelcome(address, error_of("ERR unknown command 'HELLO'")))
    assert isinstance(unwelcome(address, error_of("LOADING x")), NotReady)


def test_of_several_replies_the_first_error_is_raised() -> None:
    address = Address()

    assert settled([1, None], address) == [1, None]
    with pytest.raises(ReplyError, match="first"):
        settled([1, error_of("ERR first"), error_of("NOSCRIPT second")], address)


def test_replies_of_which_only_some_were_refused_for_now_do_not_invite_to_ask_all_again() -> None:
    address = Address()

    with pytest.raises(NotReady):
        settled([error_of("LOADING x"), error_of("LOADING x")], address)
    with pytest.raises(RedisUnreachable) as caught:
        settled([1, error_of("LOADING x")], address)
    assert not isinstance(caught.value, NotReady)


def test_a_word_that_no_command_can_have_is_refused_before_anything_is_sent() -> None:
    for word in (None, True, [1]):
        with pytest.raises(TypeError):
            pack(("SET", "key", word))  # type: ignore[arg-type]


def test_the_errors_about_the_connection_name_the_address_without_its_password() -> None:
    address = Address(password="hunter2")
    for error in (unreachable(address, OSError(111, "Connection refused")), lost(address, "it went away")):
        assert "redis://:***@localhost:6379/0" in error.message
        assert error.hint
