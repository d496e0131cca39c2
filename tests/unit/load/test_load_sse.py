"""The event stream, cut at every byte, says the same."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.load.sse import LINE_LIMIT_BYTES, Event, EventParser, LineTooLong, StreamContent, read_stream


def chunk(delta: dict[str, object], **more: object) -> bytes:
    return (
        b"data: "
        + json.dumps({"id": "c-1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}], **more}, ensure_ascii=False).encode()
        + b"\n\n"
    )


FINISH = (
    b'data: {"id":"c-1","choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":"length"}],'
    b'"nvext":{"timing":{"ttft_ms":29.5}}}\n\n'
)
USAGE = (
    b'data: {"id":"c-1","choices":[],"usage":{"prompt_tokens":8,"completion_tokens":3,"total_tokens":11,'
    b'"prompt_tokens_details":{"cached_tokens":4}}}\n\n'
)
DONE = b"data: [DONE]\n\n"
STREAM = (
    chunk({"role": "assistant", "content": ""})
    + b": keep-alive\n\n"
    + chunk({"content": " é€😀"})
    + chunk({"reasoning_content": "hm"}).replace(b"\n", b"\r\n")
    + chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}, error=None, nvext={"worker_id": {}})
    + FINISH
    + USAGE
    + DONE
)


def parse(pieces: list[bytes]) -> StreamContent:
    return read_stream(list(enumerate(pieces, start=1)))


def facts(content: StreamContent) -> tuple[object, ...]:
    return (
        len(content.chunk_ns),
        content.response_id,
        content.finish_reason,
        content.prompt_tokens,
        content.completion_tokens,
        content.cached_tokens,
        content.server_ttft_s,
        content.done,
        content.events,
        content.error,
        content.malformed,
    )


EXPECTED = (3, "c-1", "length", 8, 3, 4, 0.0295, True, 7, None, None)


def test_whole() -> None:
    content = parse([STREAM])
    assert facts(content) == EXPECTED
    assert content.coalesced == 2
    assert content.chunk_ns == [1, 1, 1]


def test_every_single_split() -> None:
    for cut in range(1, len(STREAM)):
        assert facts(parse([STREAM[:cut], STREAM[cut:]])) == EXPECTED, cut


def test_byte_by_byte() -> None:
    content = parse([bytes([byte]) for byte in STREAM])
    assert facts(content) == EXPECTED
    assert content.coalesced == 0
    # Each content chunk is stamped with the byte that completed it, the last of its blank line.
    assert all(STREAM[:stamp].endswith((b"\n\n", b"\r\n\r\n")) for stamp in content.chunk_ns)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_splits(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    assert facts(parse([STREAM[start:end] for start, end in pairwise(edges)])) == EXPECTED


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [b"data: {", b"data:", b"\n", b"\r\n", b": x", b"event: error", b"a", b"[DONE]", b'{"choices":[]}', b"\xff", b"\x00"]
        )
    )
)
def test_any_garbage_raises_nothing_and_is_split_invariant(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    assert facts(parse([whole])) == facts(parse([whole[start : start + 1] for start in range(len(whole))]) if whole else parse([whole]))


def test_one_piece_that_is_one_event_is_read_as_any_other() -> None:
    piece = b'data: {"a": 1}\n\n'
    assert EventParser().feed(piece) == [Event("message", b'{"a": 1}', b"")]
    parser = EventParser()
    assert parser.feed(b"event: error\n") == []
    assert parser.feed(piece) == [Event("error", b'{"a": 1}', b"")]
    parser = EventParser()
    assert parser.feed(b"data: x\n") == []
    assert parser.feed(piece) == [Event("message", b'x\n{"a": 1}', b"")]


def test_a_stream_that_ends_within_its_last_line() -> None:
    assert parse([STREAM.removesuffix(b"\n\n")]).done
    assert parse([STREAM.removesuffix(b"\n")]).done
    cut = parse([STREAM[: STREAM.index(b"tool_calls") + 1]])
    assert not cut.done
    assert cut.malformed is None


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (b'data: {"error": {"message": "gone", "code": 503}}\n\n', '{"message": "gone", "code": 503}'),
        (b'data: {"error": "gone"}\n\n', '"gone"'),
        (b"event: error\n: worker is gone\n\n", "worker is gone"),
        (b'event: error\ndata: {"message": "gone"}\n\n', '{"message": "gone"}'),
        (b"event: error\n\n", "event: error"),
        (b'data: {"error": null, "choices": []}\n\n', None),
    ],
)
def test_errors_in_the_stream(event: bytes, error: str | None) -> None:
    content = parse([chunk({"content": "a"}), event, DONE])
    assert content.error == error
    assert content.done
    assert len(content.chunk_ns) == 1


def test_the_first_error_is_kept() -> None:
    assert parse([b'data: {"error": "one"}\n\n', b'data: {"error": "two"}\n\n']).error == '"one"'


@pytest.mark.parametrize(
    "text", [b"<html>", b"data: {", b'data: {"choices": "x"}\n\n', b"data: \xff\n\n", b'data: {"choices":[{"delta":"x"}]}\n\n']
)
def test_what_is_no_stream(text: bytes) -> None:
    assert parse([text, b"\n\n"]).malformed


def test_the_cap_on_lines() -> None:
    line = b"data: " + b"x" * LINE_LIMIT_BYTES
    for pieces in ([line], [line + b"\n\n"], [line[:1000], line[1000:]], [b": " + b"x" * LINE_LIMIT_BYTES + b"\n"]):
        parser = EventParser()
        with pytest.raises(LineTooLong):
            [parser.feed(piece) for piece in pieces]
        assert "1048576" in (parse(pieces).malformed or "")
    largest = chunk({"content": "x" * (LINE_LIMIT_BYTES - 200)})
    assert len(parse([largest]).chunk_ns) == 1
