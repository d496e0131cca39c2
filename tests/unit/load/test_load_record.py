"""From bytes to a record: what it keeps of the request, and that no split of the bytes changes it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.load.connection import Exchange
from pytest_dynperf.load.http_stream import ResponseStream
from pytest_dynperf.load.record import record_of
from pytest_dynperf.secret import secrets_of
from pytest_dynperf.workload.request import Request

if TYPE_CHECKING:
    from pytest_dynperf.observation.request_record import RequestRecord

REQUEST = Request(index=7, content="p", isl=8, osl=4, conversation="c", turn=2)


def event(delta: dict[str, object], total: int) -> bytes:
    chunk = {"id": "c-1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}], "usage": {"completion_tokens": total}}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


EVENTS = [
    event({"role": "assistant", "content": ""}, 0),
    event({"reasoning_content": "hm"}, 1),
    event({"content": " é"}, 3),
    event({"content": " and"}, 4),
    b'data: {"id":"c-1","choices":[{"index":0,"delta":{},"finish_reason":"length"}],"usage":{"completion_tokens":4}}\n\n',
    b"data: [DONE]\n\n",
]
ANSWER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%b\r\n" % (len(e), e) for e in EVENTS) + b"0\r\n\r\n"


def recorded(pieces: list[bytes]) -> RequestRecord:
    exchange = Exchange(message=b"", due_ns=1, sent_ns=2)
    for stamp_ns, piece in enumerate(pieces, start=10):
        exchange.stream.feed(piece, stamp_ns)
        exchange.end_ns = stamp_ns
    assert exchange.stream.complete
    return record_of(exchange, REQUEST, request_id="r", run="1", measured=True, ignore_eos=True)


def timeless(record: RequestRecord) -> RequestRecord:
    """All that does not depend on how the bytes were cut."""
    return replace(record, chunk_ns=(0,) * len(record.chunk_ns), coalesced=0, first_byte_ns=0, first_output_ns=0, end_ns=0)


WHOLE = recorded([ANSWER])


def test_a_text_is_kept_of_an_item_or_where_it_is_asked_for() -> None:
    assert WHOLE.answer is None
    exchange = Exchange(message=b"", due_ns=1, sent_ns=2)
    exchange.stream.feed(ANSWER, 10)
    keywords = {"request_id": "r", "run": "1", "measured": True, "ignore_eos": True}
    asked = replace(REQUEST, item="law/0", subject="law", expected="B")
    record = record_of(exchange, asked, **keywords)  # type: ignore[arg-type]
    assert (record.item, record.subject, record.expected, record.answer) == ("law/0", "law", "B", " é and")
    kept = record_of(exchange, REQUEST, keep_text=True, **keywords)  # type: ignore[arg-type]
    assert (kept.item, kept.answer) == (None, " é and")
    assert replace(record, item=None, subject=None, expected=None, answer=None) == replace(kept, answer=None)


def test_a_secret_in_an_answer_is_not_kept() -> None:
    exchange = Exchange(message=b"", due_ns=1, sent_ns=2)
    exchange.stream.feed(ANSWER.replace(b'" and"', b'" sk-12"'), 10)
    record = record_of(
        exchange, REQUEST, request_id="r", run="1", measured=True, ignore_eos=True, keep_text=True, secrets=secrets_of(["é sk-12"])
    )
    assert record.answer is not None
    assert "sk-12" not in record.answer


def test_what_a_record_keeps() -> None:
    assert WHOLE.error is None
    assert (WHOLE.index, WHOLE.conversation, WHOLE.turn) == (7, "c", 2)
    assert WHOLE.chunk_tokens == (1, 2, 1)
    assert (WHOLE.scheduled_ns, WHOLE.sent_ns, WHOLE.end_ns) == (1, 2, 10)
    apart = recorded([ANSWER[: ANSWER.index(b"hm")], ANSWER[ANSWER.index(b"hm") : ANSWER.index(b" and")], ANSWER[ANSWER.index(b" and") :]])
    # The chunk with "hm" ends in the second piece, and so does the one after it; the last one in the third.
    assert (apart.chunk_ns, apart.first_output_ns, apart.coalesced) == ((11, 11, 12), 11, 1)


def splits_change_nothing() -> None:
    for cut in range(1, len(ANSWER)):
        assert timeless(recorded([ANSWER[:cut], ANSWER[cut:]])) == timeless(WHOLE), cut


def test_every_single_split() -> None:
    splits_change_nothing()


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(1, len(ANSWER) - 1), max_size=40, unique=True))
def test_any_splits(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(ANSWER)]
    assert timeless(recorded([ANSWER[start:end] for start, end in pairwise(edges)])) == timeless(WHOLE)


def test_a_dropped_byte_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = ResponseStream.on_body
    monkeypatch.setattr(ResponseStream, "on_body", lambda stream, body: keep(stream, body if body[:1] == b"d" else body[1:]))
    with pytest.raises(AssertionError):
        splits_change_nothing()


def test_what_a_server_says_is_kept_without_secrets_also_where_it_was_cut() -> None:
    secret = "planted-secret-0815"
    body = b"denied: " + secret.encode() + b" " + b"x" * (2000 - 8 - 20 - 12) + secret.encode()
    exchange = Exchange(message=b"", due_ns=1, sent_ns=2)
    exchange.stream.feed(b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body), 10)
    exchange.end_ns = 10
    made = record_of(exchange, REQUEST, request_id="r", run="run-1", measured=True, ignore_eos=True, secrets=secrets_of([secret]))
    assert made.error is not None
    assert made.error.detail.startswith("HTTP 401: denied: [redacted] x")
    assert "planted-" not in made.error.detail
