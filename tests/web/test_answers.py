"""The head of an answer: what passes as a whole is what h11 would let pass one by one."""

from __future__ import annotations

import h11
import pytest
from h11 import LocalProtocolError
from hypothesis import example, given
from hypothesis import strategies as st

from tinytown.web.http1 import are_plain

PIECES = st.one_of(
    st.binary(max_size=6),
    st.text("aZ-_:;\r\n\0\t \x0b\x7f\xe9", max_size=6).map(lambda text: text.encode("latin-1")),
)


@given(st.lists(st.tuples(PIECES, PIECES), max_size=3))
@example([(b"a", b"b\nset-cookie\0c")])
@example([(b"a", b"b\nset-cookie: c")])
@example([(b"a\0b\nc", b"d")])
@example([(b"a:b", b"c")])
@example([(b"a", b"b "), (b"", b"c")])
def test_no_header_passes_that_would_be_refused_alone(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        h11.Response(headers=headers, status_code=200)
    except LocalProtocolError:
        assert not are_plain(headers)


@pytest.mark.parametrize("value", [b"", b"x", b"a b\tc", b'Bearer realm="t", error="e"', "é".encode(), b"%b%%&"])
def test_what_answers_have_passes(value: bytes) -> None:
    assert are_plain([(b"x-Request_id", value), (b"vary", b"Origin")])
