"""HTTP framing, cut at every byte, says the same."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.load import http_stream
from pytest_dynperf.load.http_stream import ResponseStream

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n"
)
LENGTH = b"HTTP/1.1 503 Busy\r\nContent-Length: 12\r\n\r\nhello, world"
CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello, world"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + CHUNKED


def read(pieces: list[bytes], *, closed: bool = False) -> ResponseStream:
    stream = ResponseStream()
    for stamp_ns, piece in enumerate(pieces, start=1):
        stream.feed(piece, stamp_ns)
    if closed:
        stream.end_of_input()
    return stream


def facts(stream: ResponseStream) -> tuple[object, ...]:
    return stream.status, stream.complete, stream.reusable, stream.malformed, b"".join(piece for _, piece in stream.pieces)


WHOLE = [
    (CHUNKED, False, (200, True, True, None, b"hello, world")),
    (INTERIM, False, (200, True, True, None, b"hello, world")),
    (LENGTH, False, (503, True, True, None, b"hello, world")),
    (CLOSE, False, (200, False, False, None, b"hello, world")),
    (CLOSE, True, (200, True, False, None, b"hello, world")),
    (CHUNKED[:-5], True, (200, False, False, None, b"hello, world")),
    (LENGTH[:-5], True, (503, False, False, None, b"hello, ")),
]


@pytest.mark.parametrize(("text", "closed", "expected"), WHOLE)
def test_every_single_split(text: bytes, closed: bool, expected: tuple[object, ...]) -> None:
    for cut in range(1, len(text)):
        assert facts(read([text[:cut], text[cut:]], closed=closed)) == expected, cut
    assert facts(read([text[start : start + 1] for start in range(len(text))], closed=closed)) == expected


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(WHOLE), st.lists(st.integers(0, 60), max_size=8))
def test_any_splits(case: tuple[bytes, bool, tuple[object, ...]], cuts: list[int]) -> None:
    text, closed, expected = case
    edges = [0, *(cut for cut in sorted(cuts) if cut < len(text)), len(text)]
    pieces = [text[start:end] for start, end in pairwise(edges) if start < end]
    assert facts(read(pieces, closed=closed)) == expected


def test_pieces_have_the_stamp_of_their_read() -> None:
    stream = read([CHUNKED[:-12], CHUNKED[-12:]])
    assert stream.first_byte_ns == 1
    assert stream.pieces[0][0] == 1
    assert stream.pieces[-1][0] == 2


def test_more_than_one_response_costs_the_connection_and_not_the_response() -> None:
    for surplus in (LENGTH, b"garbage"):
        stream = read([CHUNKED + surplus])
        assert stream.complete
        assert stream.malformed is None
        assert not stream.reusable
        assert b"".join(piece for _, piece in stream.pieces) == b"hello, world"


@pytest.mark.parametrize(
    "text",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"\x16\x03\x01\x02\x00",
        CHUNKED.replace(b"7;x=y", b"zz"),
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    ],
)
def test_what_is_no_response(text: bytes) -> None:
    stream = read([text])
    assert stream.malformed
    assert not stream.complete


def test_the_caps(monkeypatch: pytest.MonkeyPatch) -> None:
    many = b"".join(b"X-%d: %b\r\n" % (number, b"x" * 1000) for number in range(80))
    assert "headers" in (read([b"HTTP/1.1 200 OK\r\n" + many + b"\r\n"]).malformed or "")
    assert "headers" in (read([b"HTTP/1.1 200 OK\r\nX: ", *[b"x" * 10_000] * 7]).malformed or "")
    monkeypatch.setattr(http_stream, "BODY_LIMIT_BYTES", 11)
    assert "body of more than 11 bytes" in (read([CHUNKED]).malformed or "")
    monkeypatch.setattr(http_stream, "BODY_LIMIT_BYTES", 12)
    assert read([CHUNKED]).complete


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(st.binary(min_size=1, max_size=40), st.sampled_from([CHUNKED, CLOSE, b"HTTP/1.1 200 OK\r\n", b"\r\n"])), max_size=6)
)
def test_nothing_is_raised(pieces: list[bytes]) -> None:
    stream = ResponseStream()
    for piece in pieces:
        stream.feed(piece, 1)
        if stream.complete or stream.malformed:
            break
    stream.end_of_input()
