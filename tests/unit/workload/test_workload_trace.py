"""Traces come back as they were written, and what is wrong with one is said with file, line and key."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.trace import TraceEntry, blocks_of, fitting_block_sizes, read_trace, write_trace

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = 512


def line(**changes: object) -> str:
    values: dict[str, object] = {"timestamp": 0, "input_length": 1000, "output_length": 20, "hash_ids": [1, 2]}
    return json.dumps({key: value for key, value in (values | changes).items() if value is not None})


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "t.jsonl"
    path.write_text("".join(f"{text}\n" for text in lines))
    return path


def error_of(path: Path, *, block_size: int = BLOCK, sort: bool = False) -> str:
    with pytest.raises(WorkloadError) as caught:
        read_trace(path, block_size=block_size, sort=sort)
    return str(caught.value)


def test_a_line(tmp_path: Path) -> None:
    path = written(tmp_path, line(timestamp=1500), line(timestamp=1500.25, session_id="a", model="ignored"))
    assert read_trace(path, block_size=BLOCK) == (
        TraceEntry(line=1, at_s=1.5, isl=1000, osl=20, hash_ids=(1, 2)),
        TraceEntry(line=2, at_s=1.50025, isl=1000, osl=20, hash_ids=(1, 2), session_id="a"),
    )


def test_trailing_blank_lines_are_none(tmp_path: Path) -> None:
    assert len(read_trace(written(tmp_path, line(), "", "  ", ""), block_size=BLOCK)) == 1


def test_turns_without_a_time_have_a_delay(tmp_path: Path) -> None:
    path = written(tmp_path, line(session_id=7), line(session_id=7, timestamp=None, delay=250))
    turn = read_trace(path, block_size=BLOCK)[1]
    assert (turn.at_s, turn.delay_s, turn.session_id) == (None, 0.25, "7")


entries = st.lists(
    st.builds(
        lambda isl, osl, session, delay, seed: TraceEntry(
            line=1,
            at_s=0.0,
            isl=isl,
            osl=osl,
            hash_ids=tuple((seed + place) % 7 for place in range(blocks_of(isl, 16))),
            session_id=session,
            delay_s=delay,
        ),
        isl=st.integers(1, 200),
        osl=st.integers(0, 10**9),
        session=st.none() | st.text(max_size=5),
        delay=st.none() | st.integers(0, 10**9).map(lambda value: value / 1000),
        seed=st.integers(0, 100),
    ),
    min_size=1,
    max_size=20,
)


def microseconds(entry: TraceEntry) -> tuple[int | None, int | None]:
    at_s, delay_s = (None if value is None else round(value * 1e6) for value in (entry.at_s, entry.delay_s))
    return at_s, delay_s


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=entries, steps=st.lists(st.integers(0, 10**6), min_size=20, max_size=20))
def test_what_is_written_is_read_again(tmp_path: Path, entries: list[TraceEntry], steps: list[int]) -> None:
    at_us = 0
    made = []
    for number, (entry, step) in enumerate(zip(entries, steps, strict=False), start=1):
        at_us += step
        made.append(replace(entry, line=number, at_s=at_us / 1e6))
    write_trace(tmp_path / "made.jsonl", made)
    read = read_trace(tmp_path / "made.jsonl", block_size=16)
    assert [replace(entry, at_s=None, delay_s=None) for entry in read] == [replace(entry, at_s=None, delay_s=None) for entry in made]
    assert [microseconds(entry) for entry in read] == [microseconds(entry) for entry in made]
    write_trace(tmp_path / "again.jsonl", read)
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "made.jsonl").read_bytes()


def test_whole_milliseconds_are_integers(tmp_path: Path) -> None:
    write_trace(tmp_path / "t.jsonl", [TraceEntry(line=1, at_s=1.234, isl=1, osl=2, hash_ids=(0,), delay_s=0.0005)])
    assert json.loads((tmp_path / "t.jsonl").read_text()) == {
        "timestamp": 1234,
        "delay": 0.5,
        "input_length": 1,
        "output_length": 2,
        "hash_ids": [0],
    }
    assert '"timestamp":1234,' in (tmp_path / "t.jsonl").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("{'a': 1}", "not JSON", id="not json"),
        pytest.param("[", "not JSON", id="an array over many lines"),
        pytest.param("[" * 100_000, "not JSON", id="very deep"),
        pytest.param("17", "17 is no JSON object", id="no object"),
        pytest.param(
            line(input_length=None), "input_length is missing: the line has timestamp, output_length, hash_ids", id="a missing key"
        ),
        pytest.param(line(output_length=None, output_lenght=3), "output_length is missing (did you mean 'output_lenght'?)", id="a typo"),
        pytest.param(line(output_length=None, output_tokens=3), "There is output_tokens: the format's key is output_length", id="the trap"),
        pytest.param(line(hash_ids=None), "hash_ids is missing", id="no hashes"),
        pytest.param("{}", "the line has no key at all", id="an empty object"),
        pytest.param(line(input_length=0), "input_length: 0 found, expected a number from 1 to 10^9", id="no tokens"),
        pytest.param(line(input_length=-5), "input_length: -5 found", id="negative"),
        pytest.param(line(input_length="12"), "input_length: '12' found", id="a text"),
        pytest.param(line(input_length=True), "input_length: True found", id="a truth"),
        pytest.param(line(input_length=12.5), "input_length: 12.5 found, expected a whole number", id="half a token"),
        pytest.param(line(output_length=10**9 + 1), "output_length: 1000000001 found", id="huge"),
        pytest.param(line(output_length=10**400), "output_length: 1000", id="beyond floats"),
        pytest.param(line(output_length=-1), "output_length: -1 found, expected a number from 0", id="negative output"),
        pytest.param(line(timestamp=-1), "timestamp: -1 found", id="before the trace"),
        pytest.param(line(timestamp=1.7e12), "counted from the first request of the trace", id="a clock of its own"),
        pytest.param(line().replace('"timestamp": 0', '"timestamp": NaN'), "not JSON", id="not a number"),
        pytest.param(line().replace('"timestamp": 0', '"timestamp": 1e999'), "t.jsonl:2", id="infinite"),
        pytest.param(line(delay=-3), "delay: -3 found", id="a negative delay"),
        pytest.param(line(hash_ids=7), "hash_ids: 7 found, expected a list", id="one hash"),
        pytest.param(line(hash_ids=[1, "b"]), "hash_ids: 'b' found, expected integers", id="a hash of text"),
        pytest.param(line(hash_ids=[1, True]), "hash_ids: True found", id="a hash of truth"),
        pytest.param(line(hash_ids=[1, -2]), "hash_ids: -2 found", id="a negative hash"),
        pytest.param(line(hash_ids=[1, 2**64]), "hash_ids: 18446744073709551616 found", id="a huge hash"),
        pytest.param(line(session_id=[1]), "session_id: [1] found", id="a strange session"),
        pytest.param(line(timestamp=None), "timestamp is missing, while line 1 has one", id="a missing time"),
        pytest.param(line(hash_ids=[*range(90), "x" * 200]), "...", id="a long value is cut"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, line(), text, line())
    message = error_of(path)
    assert message.startswith(f"{path}:2: ")
    assert said in message
    assert len(message) < 400


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"timestamp": 0, "input_length": 5, "session_id": "\xff"}\n')
    assert f"{path}:1: not JSON" in error_of(path)


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with path.open("wb") as file:
        file.truncate(2**26 + 1)
    assert error_of(path).startswith(f"{path}:1: longer than")


def test_a_hole_in_the_middle(tmp_path: Path) -> None:
    path = written(tmp_path, line(), "", "", line())
    assert error_of(path).startswith(f"{path}:2: blank, and line 4 is not")


def test_no_file_no_line_no_directory(tmp_path: Path) -> None:
    assert error_of(written(tmp_path)) == f"{tmp_path / 't.jsonl'} is empty: a trace has at least one line"
    assert "is empty" in error_of(written(tmp_path, "", ""))
    assert "cannot be read: No such file" in error_of(tmp_path / "none.jsonl")
    assert "is a directory: give one file" in error_of(tmp_path)


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        ([(1000, 4), (600, 3)], "Block size 256 fits all lines."),
        ([(1000, 10), (999, 10)], "Block sizes from 100 to 110 fit all lines."),
        ([(1000, 10), (1000, 10), (901, 10)], "Block size 100 fits all lines."),
        ([(1000, 4), (1000, 3)], "No block size fits all lines"),
        ([(1000, 4), (1000, 0)], "No block size fits all lines"),
    ],
)
def test_the_block_size_that_would_fit_is_said(tmp_path: Path, lengths: list[tuple[int, int]], said: str) -> None:
    path = written(tmp_path, *(line(input_length=isl, hash_ids=list(range(count))) for isl, count in lengths))
    message = error_of(path)
    assert message.startswith(
        f"{path}:1: hash_ids has {lengths[0][1]} entries, but input_length {lengths[0][0]} in blocks of 512 tokens needs 2."
    )
    assert said in message


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=8), block_size=st.integers(1, 700))
def test_block_sizes_that_fit_are_all_that_fit(tmp_path: Path, lengths: list[int], block_size: int) -> None:
    path = written(tmp_path, *(line(input_length=isl, hash_ids=list(range(blocks_of(isl, block_size)))) for isl in lengths))
    fitting = fitting_block_sizes(path)
    assert fitting is not None
    low, high = fitting
    assert low <= block_size <= high

    def fits(size: int) -> bool:
        return size > 0 and all(blocks_of(isl, size) == blocks_of(isl, block_size) for isl in lengths)

    assert fits(low)
    assert fits(high)
    assert not fits(low - 1)
    assert high == 10**9 or not fits(high + 1)


def test_times_out_of_order_name_both_lines_and_can_be_sorted(tmp_path: Path) -> None:
    path = written(tmp_path, line(timestamp=0), line(timestamp=900), line(timestamp=950), line(timestamp=100))
    message = error_of(path)
    assert message.startswith(f"{path}:4: timestamp 100 is before that of line 3, 950")
    assert "--sort" in message
    assert [entry.line for entry in read_trace(path, block_size=BLOCK, sort=True)] == [1, 4, 2, 3]


def test_a_turn_without_a_time_does_not_hide_what_follows(tmp_path: Path) -> None:
    turns = (line(timestamp=500, session_id="a"), line(timestamp=None, session_id="a", delay=1))
    path = written(tmp_path, *turns, line(timestamp=400))
    assert error_of(path).startswith(f"{path}:3: timestamp 400 is before that of line 1, 500")
    assert len(read_trace(written(tmp_path, *turns, line(timestamp=500)), block_size=BLOCK)) == 3


def test_sorting_keeps_turns_behind_each_other(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        line(timestamp=500, session_id="a"),
        line(timestamp=None, session_id="a", delay=1),
        line(timestamp=100, session_id="b"),
        line(timestamp=None, session_id="b", delay=1),
        line(timestamp=None, session_id="a", delay=2),
    )
    assert [entry.line for entry in read_trace(path, block_size=BLOCK, sort=True)] == [3, 4, 1, 2, 5]


def test_equal_hashes_are_one_object(tmp_path: Path) -> None:
    path = written(tmp_path, *(line(hash_ids=[10**15, 10**15 + 1]) for _ in range(2)))
    first, second = read_trace(path, block_size=BLOCK)
    assert first.hash_ids[0] is second.hash_ids[0]
