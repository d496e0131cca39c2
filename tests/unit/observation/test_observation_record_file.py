"""What is written is read again, and what cannot be read is named."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.errors import UsageError
from pytest_dynperf.observation.record_file import decode, encode, read_records
from pytest_dynperf.observation.request_record import Failure, FailureKind, RequestRecord, Stamp

if TYPE_CHECKING:
    from pathlib import Path

count = st.none() | st.integers(0, 2**40)
RECORDS = st.builds(
    RequestRecord,
    request_id=st.text(max_size=40),
    run=st.text(max_size=5),
    index=st.integers(0, 10**6),
    measured=st.booleans(),
    isl_requested=st.integers(1, 10**6),
    osl_requested=st.integers(1, 10**6),
    scheduled_ns=st.integers(0, 2**62),
    sent_ns=count,
    first_byte_ns=count,
    chunk_ns=st.lists(st.integers(0, 2**62), max_size=4).map(tuple),
    chunk_tokens=st.none() | st.lists(st.integers(0, 9), max_size=4).map(tuple),
    first_output_ns=count,
    conversation=st.none() | st.text(max_size=9),
    turn=st.integers(0, 9),
    end_ns=count,
    response_id=st.none() | st.text(max_size=9),
    http_status=st.none() | st.integers(100, 599),
    finish_reason=st.none() | st.text(max_size=9),
    prompt_tokens=count,
    completion_tokens=count,
    cached_tokens=count,
    server_ttft_s=st.none() | st.floats(0, 1e6),
    connection_reused=st.none() | st.booleans(),
    connecting_ns=st.none() | st.integers(min_value=0, max_value=2**40),
    stamp=st.sampled_from(Stamp),
    coalesced=st.integers(0, 9),
    receive_lag_ns=st.none() | st.integers(-(10**6), 10**9),
    error=st.none() | st.builds(Failure, kind=st.sampled_from(FailureKind), detail=st.text(max_size=50)),
    item=st.none() | st.text(max_size=9),
    subject=st.none() | st.text(max_size=9),
    expected=st.none() | st.sampled_from("ABCD"),
    answer=st.none() | st.text(max_size=40),
)


@settings(max_examples=60, deadline=None)
@given(RECORDS)
def test_round_trip(record: RequestRecord) -> None:
    line = encode(record)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == record


def test_the_shape_of_a_line() -> None:
    record = RequestRecord(
        request_id="ab", run="1", index=3, measured=True, isl_requested=8, osl_requested=2, scheduled_ns=5, sent_ns=6, chunk_ns=(7, 8),
        prompt_tokens=8, completion_tokens=1, error=Failure(kind=FailureKind.WRONG_LENGTH, detail="got 1"),
    )  # fmt: skip
    line = json.loads(encode(record))
    assert list(line) == [
        "schema", "request_id", "run", "index", "measured", "isl_requested", "osl_requested", "conversation", "turn", "scheduled_ns",
        "sent_ns", "first_byte_ns", "chunk_ns", "chunk_tokens", "first_output_ns", "end_ns", "response_id", "http_status",
        "finish_reason", "usage", "server_ttft_s", "connection_reused", "connecting_ns", "stamp", "coalesced", "receive_lag_ns", "error",
    ]  # fmt: skip
    assert line["usage"] == {"prompt_tokens": 8, "completion_tokens": 1, "cached_tokens": None}
    assert line["error"] == {"kind": "wrong length", "detail": "got 1"}
    assert line["stamp"] == "user"


def test_a_line_of_schema_1_is_read() -> None:
    record = RequestRecord(request_id="a", run="1", index=0, measured=True, isl_requested=1, osl_requested=1, scheduled_ns=0)
    new = ("conversation", "turn", "chunk_tokens", "first_output_ns")
    old = {name: value for name, value in json.loads(encode(record)).items() if name not in new} | {"schema": 1}
    assert decode(json.dumps(old).encode()) == record


def test_a_line_of_schema_2_is_read() -> None:
    record = RequestRecord(request_id="a", run="1", index=0, measured=True, isl_requested=1, osl_requested=1, scheduled_ns=0)
    assert decode(json.dumps(json.loads(encode(record)) | {"schema": 2}).encode()) == record


def test_a_line_of_schema_3_is_read() -> None:
    record = RequestRecord(request_id="a", run="1", index=0, measured=True, isl_requested=1, osl_requested=1, scheduled_ns=0)
    old = {name: value for name, value in json.loads(encode(record)).items() if name != "connecting_ns"} | {"schema": 3}
    assert decode(json.dumps(old).encode()) == record


def test_an_item_stands_behind_everything_else_and_only_where_there_is_one() -> None:
    plain = RequestRecord(request_id="a", run="1", index=0, measured=True, isl_requested=1, osl_requested=1, scheduled_ns=0)
    line = json.loads(encode(replace(plain, item="law/0", subject="law", expected="B", answer="")))
    assert list(line)[-4:] == ["item", "subject", "expected", "answer"]
    assert line["answer"] == ""
    assert not {"item", "subject", "expected", "answer"} & set(json.loads(encode(plain)))
    assert list(json.loads(encode(replace(plain, answer="kept"))))[-1] == "answer"


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "1.jsonl"
    record = RequestRecord(request_id="a", run="1", index=0, measured=True, isl_requested=1, osl_requested=1, scheduled_ns=0)
    path.write_bytes(encode(record) * 3)
    assert list(read_records(path)) == [record] * 3


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"schema":1,"requ', "Unterminated"),
        (b"[]", "not a JSON object"),
        (b"{}", "schema None"),
        (b'{"schema":5}', "schema 5, and this version reads 1, 2, 3, 4"),
        (b'{"schema":1}', "'usage' is missing"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, bad: bytes, reason: str) -> None:
    path = tmp_path / "1.jsonl"
    record = RequestRecord(request_id="a", run="1", index=0, measured=True, isl_requested=1, osl_requested=1, scheduled_ns=0)
    path.write_bytes(encode(record) + bad)
    reading = read_records(path)
    assert next(reading) == record
    with pytest.raises(UsageError, match=reason) as caught:
        next(reading)
    assert f"{path}:2:" in str(caught.value)


@pytest.mark.parametrize(("field", "value"), [("stamp", "sundial"), ("error", {"kind": "boredom", "detail": ""}), ("surprise", 1)])
def test_a_line_with_wrong_values_is_named(tmp_path: Path, field: str, value: object) -> None:
    record = RequestRecord(request_id="a", run="1", index=0, measured=True, isl_requested=1, osl_requested=1, scheduled_ns=0)
    path = tmp_path / "1.jsonl"
    path.write_text(json.dumps(json.loads(encode(record)) | {field: value}))
    with pytest.raises(UsageError, match=r"1\.jsonl:1: not a request record"):
        list(read_records(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.jsonl"):
        list(read_records(tmp_path / "none.jsonl"))
