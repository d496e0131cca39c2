"""What one process writes, another one sends; what it saw comes back."""

from __future__ import annotations

import resource
from dataclasses import replace
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.errors import UsageError, WorkloadError
from pytest_dynperf.load.ask import Unit, grouped, prepare
from pytest_dynperf.load.descriptors import demand_connections, room_for_connections
from pytest_dynperf.load.segment import Segment, decode, encode, merge
from pytest_dynperf.load.supply import Spool, SpoolWriter
from pytest_dynperf.observation.recording import ProcessUsage
from pytest_dynperf.observation.request_record import Failure, FailureKind, RequestRecord, Stamp
from pytest_dynperf.scenario.traffic import Arrival, Traffic
from pytest_dynperf.workload.request import Request

if TYPE_CHECKING:
    from pathlib import Path

ENDPOINT = Endpoint(base_url="http://host", model="m")


def units(count: int, *, conversation: str | None = None) -> list[Unit]:
    requests = (Request(index=index, content="x" * index, isl=7, osl=4, conversation=conversation) for index in range(count))
    traffic = Traffic(isl=7, osl=4, arrival=Arrival(process="poisson", rate_per_s=10.0), requests=count, warmup_requests=0)
    return list(prepare(ENDPOINT, requests, traffic, run="1", seed=1).ready)


def test_a_spool_is_read_while_it_grows(tmp_path: Path) -> None:
    written = units(5)
    writer = SpoolWriter(tmp_path / "spool")
    writer.write(written[:2])
    spool = Spool(tmp_path / "spool")
    assert [spool.take(), spool.take(), spool.take()] == [*written[:2], None]
    ended = [spool.exhausted]
    writer.write(written[2:])
    writer.end()
    assert [spool.take() for _ in range(3)] == written[2:]
    assert spool.take() is None
    assert [*ended, spool.exhausted] == [False, True]
    assert writer.units == 5
    writer.close()
    spool.close()


def test_half_a_unit_is_waited_for(tmp_path: Path) -> None:
    (written,) = units(1, conversation="a")
    writer = SpoolWriter(tmp_path / "whole")
    writer.write([written])
    writer.close()
    whole = (tmp_path / "whole").read_bytes()
    for cut in (1, 3, 4, 5, len(whole) - 1):
        with (tmp_path / "part").open("wb", buffering=0) as file:
            file.write(whole[:cut])
            spool = Spool(tmp_path / "part")
            assert spool.take() is None
            file.write(whole[cut:])
            assert spool.take() == written
            spool.close()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([None, "a", "b", "c"]), st.integers(1, 4)), max_size=12))
def test_turns_are_grouped_and_nothing_is_lost(runs: list[tuple[str | None, int]]) -> None:
    # Neighbours of the same name are one conversation.
    names = [name for name, length in runs for _ in range(length)]
    requests = [Request(index=index, content="", isl=1, osl=1, conversation=name) for index, name in enumerate(names)]
    groups = list(grouped(iter(requests)))
    assert [request for group in groups for request in group] == requests
    for group in groups:
        assert len({request.conversation for request in group}) == 1
        assert group[0].conversation is not None or len(group) == 1
    for early, late in pairwise(groups):
        assert early[0].conversation is None or early[0].conversation != late[0].conversation


def test_what_is_prepared() -> None:
    asked = (Request(index=index, content="x", isl=7, osl=8) for index in range(1000))
    work = prepare(ENDPOINT, asked, Traffic(isl=7, osl=8, concurrency=4, requests=10, warmup_requests=3), run="1", seed=1)
    assert (work.warmup, work.measured, len(work.ready)) == (3, 10, 17)
    assert [unit.asks[0].request.osl for unit in work.ready[:5]] == [2, 4, 6, 8, 8]  # the first wave, as far as it is warm-up
    assert next(work.more).asks[0].request.index == 17
    assert work.ready[0].asks[0].request.content == ""  # it is in the body
    assert b'"x"' in work.ready[0].asks[0].body


def test_the_ramp_of_an_open_loop_is_warm_up() -> None:
    asked = (Request(index=index, content="x", isl=7, osl=8) for index in range(1000))
    arrival = Arrival(process="constant", rate_per_s=10.0, ramp_s=2.0)
    work = prepare(ENDPOINT, asked, Traffic(isl=7, osl=8, arrival=arrival, requests=10, warmup_requests=3), run="1", seed=1)
    assert work.warmup == 3 + 9
    offsets = [unit.offset_ns for unit in work.ready]
    assert offsets[work.warmup] == 0
    assert all(offset is not None and offset < 0 for offset in offsets[: work.warmup])


def test_too_few_requests() -> None:
    asked = islice((Request(index=index, content="x", isl=7, osl=8) for index in range(1000)), 12)
    with pytest.raises(WorkloadError, match="run 7 needs 13 requests, warm-up included, and the workload has 12"):
        prepare(ENDPOINT, asked, Traffic(isl=7, osl=8, concurrency=4, requests=10, warmup_requests=3), run="7", seed=1)


def record(index: int, **changes: object) -> RequestRecord:
    plain = RequestRecord(
        request_id=str(index), run="1", index=index, measured=True, isl_requested=1, osl_requested=2, scheduled_ns=10 * index,
        sent_ns=10 * index, end_ns=10 * index + 5,
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def segment(*records: RequestRecord, lag: int = 7, incident: str | None = None) -> Segment:
    return Segment(
        started_ns=0, records=records, receive_lags=lag.to_bytes(8, "little") * 2, loop_lags=b"", uncertain=1,
        usage=ProcessUsage(cpu_s=1.0, run_delay_s=None), clock_step_s=lag / 1e9, incident=incident,
    )  # fmt: skip


def test_a_segment_comes_back_as_it_was() -> None:
    rich = record(
        1, chunk_ns=(1, 2, 3), chunk_tokens=(1, 0, 2), conversation="a", turn=2, stamp=Stamp.KERNEL, server_ttft_s=0.5,
        finish_reason="length", error=Failure(kind=FailureKind.DROPPED, detail="full"),
    )  # fmt: skip
    seen = segment(rich, record(2), incident="it")
    assert decode(encode(seen)) == seen
    with pytest.raises(ValueError, match="truncated"):
        decode(encode(seen)[:-3])


def test_segments_become_one_recording() -> None:
    merged = merge(
        [
            segment(record(2, chunk_ns=(21, 21), coalesced=1), record(0)),
            segment(record(1), record(3, measured=False), lag=9, incident="it"),
        ],
        run="1", traffic=Traffic(isl=1, osl=2, concurrency=2), fallback_ns=0, incidents=("it", "another"),
    )  # fmt: skip
    assert [entry.index for entry in merged.records] == [0, 1, 2, 3]
    assert (merged.window_start_ns, merged.window_end_ns) == (0, 25)
    assert merged.incidents == ("it", "another")
    assert len(merged.certificate.processes) == 2
    assert merged.certificate.receive_lag_p99_s == pytest.approx(9e-9)  # of 7, 7, 9, 9: pooled, not averaged
    assert merged.certificate.uncertain_share == pytest.approx(1.0)
    assert merged.certificate.clock_step_s == pytest.approx(9e-9)


def test_the_limit_of_open_files_is_raised_and_restored() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1024:
        pytest.skip(f"needs a hard limit of 1024 open files, found {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        with room_for_connections(800) as room:
            assert room >= 800
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 800
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 512
        with room_for_connections(10) as room:
            assert room > 10
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 512
        with room_for_connections(1 << 40) as room:
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_than_the_hard_limit_is_said() -> None:
    with pytest.raises(UsageError, match=r"concurrency 9 needs \d+ connections in one process, and this one may open"):
        demand_connections(1 << 40, what="concurrency 9")
