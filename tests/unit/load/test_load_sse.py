"""The event stream, cut at every byte, says the same."""

from __future__ import annotations

import json
from itertools import pairwise
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.load import sse
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


@pytest.mark.parametrize("text", [b"[" * 5000, b'{"x":' * 5000, b'{"choices":[{"delta":{"tool_calls":[' + b"[" * 5000])
def test_nesting_without_end_is_no_chunk(text: bytes) -> None:
    assert "no completion chunk" in (parse([b"data: " + text + b"\n\n"]).malformed or "")


# ---- tokens, reasoning, text completions


def test_text_completions() -> None:
    text = [b'data: {"id":"cmpl-1","choices":[{"index":0,"text":"%b","finish_reason":null}]}\n\n' % word for word in (b"", b" a", b" b")]
    end = b'data: {"id":"cmpl-1","choices":[{"index":0,"text":"","finish_reason":"length"}]}\n\n'
    content = parse([*text, end, DONE])
    assert (content.chunk_ns, content.first_output_ns, content.finish_reason, content.done) == ([2, 3], 2, "length", True)


def test_reasoning_is_content_and_no_output() -> None:
    assert parse([chunk({"reasoning_content": "hm"}), chunk({"reasoning": "hm"}), chunk({"content": " a"})]).first_output_ns == 3
    assert parse([chunk({"reasoning_content": "hm"}), chunk({"tool_calls": [{"index": 0}]})]).first_output_ns == 2
    assert parse([chunk({"role": "assistant", "content": ""}), chunk({"reasoning_content": "hm"})]).first_output_ns is None


def told(total: int | None) -> dict[str, object]:
    return {} if total is None else {"usage": {"completion_tokens": total}}


@pytest.mark.parametrize(
    ("totals", "tokens"),
    [
        ([1, 2, 3], (1, 1, 1)),
        ([2, 2, 6], (2, 0, 4)),
        ([None, None, None], None),
        ([1, None, 3], None),  # not with every chunk
        ([3, 2, 4], None),  # a total that falls is none
    ],
)
def test_tokens_of_each_chunk(totals: list[int | None], tokens: tuple[int, ...] | None) -> None:
    content = parse(
        [chunk({"role": "assistant", "content": ""}, **told(0)), *(chunk({"content": " a"}, **told(total)) for total in totals)]
    )
    assert content.chunk_tokens() == tokens


def test_usage_at_the_end_says_nothing_of_chunks() -> None:
    assert parse([chunk({"content": " a"}), USAGE, DONE]).chunk_tokens() is None


# ---- chunks that are alike are read by their form


ALIKE = st.sampled_from([" a", " b c", "1", "'{}[]:,", "word" * 50])
UNLIKE = st.sampled_from(["", "é", '"', "\\", "\n", '","finish_reason":"stop', "\x7f"])


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Events such as a server sends, most of them alike, each a piece; and sometimes what only looks alike."""
    pieces = []
    for _ in range(draw(st.integers(1, 14))):
        text = draw(st.one_of(ALIKE, ALIKE, UNLIKE))
        pieces.append(
            draw(
                st.sampled_from(
                    [
                        *[chunk({"content": text})] * 6,
                        chunk({"content": text}, usage={"completion_tokens": 3}),
                        chunk({"content": text}, nvext={"timing": {"ttft_ms": 1.5}}),
                        chunk({"content": text, "reasoning_content": "hm"}),
                        chunk({"reasoning_content": text}),
                        chunk({"role": "assistant"}, decoy={"content": text}),
                        chunk({"content": text}, decoy={"content": text}),
                        chunk({"content": text}, error=None),
                        b'data: {"choices":[{"text":' + json.dumps(text).encode() + b"}]}\n\n",
                        chunk({"content": text}).replace(b"\n\n", b"\r\n\r\n"),
                        chunk({"content": text})[:-1],
                        b"event: error\n",
                        b": ping\n\n",
                        b'data: {"error":{"content":"a"}}\n\n',
                        b'data: {"choices":[{"delta":{"content":"\x01"}}]}\n\n',
                        b'data: {"choices":[{"delta":{"content":" a"}},{"delta":{"content":" b"}}]}\n\n',
                    ]
                )
            )
        )
    return pieces


def same_without_forms(pieces: list[bytes]) -> None:
    with patch.object(sse, "_LESSONS", 0):
        one_by_one = parse(pieces)
    assert parse(pieces) == one_by_one
    assert facts(parse([b"".join(pieces)])) == facts(one_by_one)


@settings(max_examples=300, deadline=None)
@given(streams())
def test_a_form_changes_nothing(pieces: list[bytes]) -> None:
    same_without_forms(pieces)


def test_a_form_is_used_and_one_that_takes_anything_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [chunk({"content": text}) for text in (" a", " b", "", "c", '"')] + [FINISH, USAGE, DONE]
    same_without_forms(pieces)
    fits, fitted = sse._Form.fits, []

    def watched(form: sse._Form, piece: bytes) -> bool:
        fitted.append(fits(form, piece))
        return fitted[-1]

    monkeypatch.setattr(sse._Form, "fits", watched)
    parse(pieces)
    assert fitted == [True, False, True, False, False, False, False]
    monkeypatch.setattr(sse, "_plain", lambda *_: True)
    with pytest.raises(AssertionError):
        same_without_forms(pieces)
