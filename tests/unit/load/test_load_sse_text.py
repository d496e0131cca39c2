"""The text of an answer, read in a pass of its own."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.load.sse import LINE_LIMIT_BYTES, read_text


def chunk(*choices: dict[str, object]) -> bytes:
    return b"data: " + json.dumps({"choices": list(choices)}).encode() + b"\n\n"


STREAM = b"".join(
    (
        chunk({"delta": {"role": "assistant", "content": ""}}),
        chunk({"delta": {"reasoning_content": "hm"}}),
        chunk({"delta": {"content": " é"}}),
        b": a comment\n\n",
        chunk({"delta": {"tool_calls": [{}]}}),
        chunk({"text": "B"}, {"text": "of another choice"}),
        chunk({"delta": {}, "finish_reason": "stop"}),
        chunk(),
        b"data: [DONE]\n\n",
    )
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_contents_are_joined_however_the_bytes_were_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    assert read_text((stamp, STREAM[start:end]) for stamp, (start, end) in enumerate(pairwise(places))) == " éB"


@pytest.mark.parametrize("pieces", [[], [b"data: {no json\n\n"], [b"HTML"], [b"data: [1]\n\n"]])
def test_what_is_no_stream_has_no_text(pieces: list[bytes]) -> None:
    assert read_text(enumerate(pieces)) == ""


def test_what_came_before_a_line_that_is_too_long_is_kept() -> None:
    assert read_text([(1, chunk({"text": "B"})), (2, b"x" * (LINE_LIMIT_BYTES + 1))]) == "B"
