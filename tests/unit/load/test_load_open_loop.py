"""Open loops and conversations against a server that behaves as told. What is asserted is what was sent and recorded, never how fast."""

from __future__ import annotations

from itertools import count, islice, pairwise
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.load.run import Progress, run_load
from pytest_dynperf.observation.record_file import read_records
from pytest_dynperf.observation.request_record import FailureKind
from pytest_dynperf.scenario.traffic import Arrival, Traffic
from pytest_dynperf.workload.request import Request
from tests.fakes.sse_server import Behaviour, SseServer, sse_server

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pytest_dynperf.observation.recording import Recording

OSL = 4
MS = 1_000_000


def asked() -> Iterator[Request]:
    return (Request(index=index, content=f"prompt {index}", isl=7, osl=OSL) for index in count())


def talked(turns: int, *, delay_s: float = 0.0, every_s: float | None = None) -> Iterator[Request]:
    """Conversations of ``turns`` turns each, one after the other; ``every_s`` apart where a trace says so."""
    for number in count():
        for turn in range(turns):
            yield Request(
                index=number * turns + turn,
                content=f"prompt {turn}",
                isl=7,
                osl=OSL,
                history=tuple((f"said {past}", f"answered {past}") for past in range(turn)),
                conversation=f"talk {number}",
                turn=turn,
                delay_s=delay_s if turn else 0.0,
                at_s=number * every_s if every_s is not None and not turn else None,
            )


def at(process: str = "constant", *, rate: float | None = 200.0, requests: int = 20, warmup: int = 4, **arrival: float) -> Traffic:
    return Traffic(
        isl=7,
        osl=OSL,
        arrival=Arrival(process=process, rate_per_s=rate, **arrival),  # type: ignore[arg-type]
        requests=requests,
        warmup_requests=warmup,
        request_timeout_s=20.0,
        inter_token_timeout_s=10.0,
    )


def closed(*, concurrency: int, requests: int, warmup: int = 0, ramp_s: float = 0.0) -> Traffic:
    return Traffic(
        isl=7, osl=OSL, concurrency=concurrency, arrival=Arrival(ramp_s=ramp_s), requests=requests, warmup_requests=warmup
    )  # fmt: skip


def run(
    server: SseServer, traffic: Traffic, requests: Iterable[Request] | None = None, *, seed: int = 1, path: Path | None = None
) -> Recording:
    endpoint = Endpoint(base_url=server.url, model=server.model)
    return run_load(endpoint, iter(requests) if requests is not None else asked(), traffic, run="1", seed=seed, records_path=path)


def offsets(recording: Recording) -> list[int]:
    """When measured requests were due, from the first of them."""
    due = [record.scheduled_ns for record in recording.measured]
    return [instant - due[0] for instant in due]


def test_a_constant_rate() -> None:
    with sse_server(Behaviour(ttft_s=0.005)) as server:
        recording = run(server, at())
    assert [record.error for record in recording.measured] == [None] * 20
    assert offsets(recording) == [number * 5 * MS for number in range(20)]
    assert [record.index for record in recording.measured] == list(range(4, 24))
    assert all(record.sent_ns is not None and record.sent_ns >= record.scheduled_ns for record in recording.records)
    assert recording.concurrency is None
    assert recording.certificate.scheduled_rate_per_s == pytest.approx(200.0)
    assert recording.certificate.achieved_rate_per_s is not None
    assert recording.certificate.dropped_sends == 0


def test_the_schedule_is_the_seed_s() -> None:
    with sse_server(Behaviour()) as server:
        first, second, third = (offsets(run(server, at("poisson"), seed=seed)) for seed in (1, 1, 2))
    assert first == second
    assert first != third


def test_sending_never_waits_for_an_answer() -> None:
    # The server answers nobody until 20 wait: a client that waited for any answer would never send the 20th.
    with sse_server(Behaviour(hold=20)) as server:
        recording = run(server, at(requests=20, warmup=0))
        assert server.max_in_flight >= 20
    assert [record.error for record in recording.measured] == [None] * 20


def test_load_goes_on_until_the_last_measured_request_has_ended() -> None:
    # The server answers nobody until 8 wait: if load ended with the second, the last measured one, both would time out.
    with sse_server(Behaviour(hold=8)) as server:
        recording = run(server, at(requests=2, warmup=0))
    unmeasured = [record for record in recording.records if not record.measured]
    assert len(unmeasured) >= 6
    assert all(record.error is None or record.error.kind is FailureKind.CANCELLED for record in unmeasured)
    assert [record.error for record in recording.measured] == [None, None]


def test_what_exceeds_max_in_flight_is_dropped_and_recorded(tmp_path: Path) -> None:
    with sse_server(Behaviour(ttft_s=0.3)) as server:
        recording = run(server, at(requests=20, warmup=0, max_in_flight=3), path=tmp_path / "r.jsonl")
        assert server.max_in_flight == 3
    dropped = [record for record in recording.measured if record.error is not None]
    assert len(recording.measured) == 20
    assert len(dropped) >= 10  # 20 were due within 95 ms
    assert {record.error.kind for record in dropped if record.error} == {FailureKind.DROPPED}
    assert {(record.sent_ns, record.end_ns, record.chunk_ns) for record in dropped} == {(None, None, ())}
    assert dropped[0].error is not None
    assert "3 requests were in flight" in dropped[0].error.detail
    assert offsets(recording) == [number * 5 * MS for number in range(20)]
    assert recording.certificate.dropped_sends == len(dropped)
    assert recording.incidents == ()  # dropped is not refused: the server is not to blame
    assert sorted(read_records(tmp_path / "r.jsonl"), key=lambda record: record.index) == list(recording.records)


def test_a_server_that_fails_everything_is_not_hammered() -> None:
    with sse_server(Behaviour(status=503, body=b"no workers")) as server:
        recording = run(server, at(rate=10.0, requests=1000, speedup=1.0))
    assert "20 requests failed in a row" in recording.incidents[0]


def test_a_sine_and_a_ramp() -> None:
    sine = Arrival(process="sinusoidal", min_rate_per_s=50.0, max_rate_per_s=200.0, period_s=0.5, ramp_s=0.1)
    with sse_server(Behaviour()) as server:
        recording = run(server, Traffic(isl=7, osl=OSL, arrival=sine, requests=30, warmup_requests=2))
    assert len(recording.measured) == 30
    assert [record.measured for record in recording.records[:2]] == [False, False]
    assert [record.error for record in recording.measured] == [None] * 30


def test_a_trace_is_sent_at_its_times() -> None:
    times = [0.0, 0.01, 0.05, 0.05, 0.1]
    requests = (Request(index=index, content="x", isl=7, osl=OSL, at_s=100 + at_s) for index, at_s in enumerate(times))
    with sse_server(Behaviour()) as server:
        recording = run(server, at("trace", rate=None, requests=4, warmup=1, speedup=2.0), requests)
    assert offsets(recording) == [0, 20 * MS, 20 * MS, 45 * MS]
    assert [record.error for record in recording.records] == [None] * 5


def test_a_trace_that_does_not_say_when() -> None:
    with sse_server() as server, pytest.raises(WorkloadError, match="request 0 of the trace does not say when"):
        run(server, at("trace", rate=None, requests=4))


def test_a_workload_that_ends_with_the_measured_requests() -> None:
    with sse_server() as server:
        recording = run(server, at(requests=3, warmup=1), [request for request, _ in zip(asked(), range(4), strict=False)])
    assert len(recording.records) == 4
    assert recording.incidents == ()


def test_progress_counts_what_was_dropped() -> None:
    seen: list[Progress] = []
    with sse_server(Behaviour(ttft_s=0.7)) as server:
        endpoint = Endpoint(base_url=server.url, model=server.model)
        run_load(
            endpoint, asked(), at(requests=20, warmup=0, max_in_flight=3), run="1", seed=1, records_path=None, progress=seen.append
        )  # fmt: skip
    assert seen[0].in_flight == 3
    assert seen[0].dropped > 10
    assert seen[0].done == seen[0].dropped
    assert all(early.elapsed_s < late.elapsed_s for early, late in pairwise(seen))


# ---- conversations


def test_turns_follow_each_other_on_one_connection() -> None:
    with sse_server(Behaviour(itl_s=0.002)) as server:
        recording = run(server, closed(concurrency=2, requests=12), talked(3, delay_s=0.02))
        seen = list(server.requests)
        assert server.max_in_flight == 2
    assert [record.error for record in recording.measured] == [None] * 12
    for early, late in pairwise(recording.measured):
        if early.conversation == late.conversation:
            assert late.turn == early.turn + 1
            assert early.end_ns is not None
            assert late.scheduled_ns == early.end_ns + 20 * MS
            assert late.sent_ns is not None
            assert late.sent_ns >= late.scheduled_ns
    connections: dict[str, set[int]] = {}
    for request in seen:
        connections.setdefault(request.headers["x-session-id"], set()).add(request.connection)
    assert all(len(numbers) == 1 for numbers in connections.values())
    assert "talk%200" in connections
    turns = [len(request.body["messages"]) for request in seen if request.headers["x-session-id"] == "talk%200"]
    assert turns == [1, 3, 5]
    last = next(request.body["messages"] for request in seen if len(request.body["messages"]) == 5)
    assert [message["role"] for message in last] == ["user", "assistant", "user", "assistant", "user"]
    assert [message["content"] for message in last] == ["said 0", "answered 0", "said 1", "answered 1", "prompt 2"]


def test_concurrency_counts_conversations() -> None:
    # Two slots pause most of the time, and count as in flight all the same.
    with sse_server(Behaviour()) as server:
        recording = run(server, closed(concurrency=2, requests=16), talked(4, delay_s=0.05))
    assert recording.certificate.mean_in_flight is not None
    assert recording.certificate.mean_in_flight > 1.5


def test_when_a_turn_fails_the_rest_is_dropped() -> None:
    with sse_server(Behaviour(), Behaviour(status=500), Behaviour()) as server:
        recording = run(server, closed(concurrency=1, requests=6), talked(3))
        assert len({request.headers["x-session-id"] for request in server.requests}) >= 2
    kinds = [record.error.kind if record.error else None for record in recording.measured]
    assert kinds[:3] == [None, FailureKind.HTTP_STATUS, FailureKind.DROPPED]
    assert kinds[3:] == [None] * 3
    (_, failed, dropped, *_) = recording.measured
    assert dropped.error is not None
    assert f"turn 1 of the conversation, {failed.request_id}, failed" in dropped.error.detail
    assert dropped.sent_ns is None
    assert failed.end_ns is not None
    assert dropped.scheduled_ns >= failed.end_ns


def test_the_run_ends_while_a_conversation_pauses(tmp_path: Path) -> None:
    with sse_server(Behaviour()) as server:
        recording = run(server, closed(concurrency=1, requests=1), talked(2, delay_s=30.0), path=tmp_path / "r.jsonl")
    assert [record.error for record in recording.measured] == [None]
    assert len(list(read_records(tmp_path / "r.jsonl"))) == len(recording.records)


def test_conversations_of_a_trace_start_at_its_times() -> None:
    with sse_server(Behaviour()) as server:
        recording = run(server, at("trace", rate=None, requests=6, warmup=0), talked(2, delay_s=0.01, every_s=0.03))
    firsts = [record.scheduled_ns for record in recording.records if record.turn == 0]
    assert len(firsts) >= 3
    assert [instant - firsts[0] for instant in firsts] == [number * 30 * MS for number in range(len(firsts))]
    assert [record.error for record in recording.measured] == [None] * 6


def test_a_trace_that_ends_with_conversations_is_asked_to_its_last_turn() -> None:
    """Nothing more is to be begun long before the last turn has been asked."""
    traffic = at("trace", rate=None, requests=12, warmup=0)
    with sse_server(Behaviour(ttft_s=0.02)) as server:
        recording = run(server, traffic, islice(talked(4, delay_s=0.03, every_s=0.01), 12))
    assert recording.incidents == ()
    assert [record.error for record in recording.measured] == [None] * 12


def test_the_closed_loop_ramps_up() -> None:
    with sse_server(Behaviour(ttft_s=0.01)) as server:
        recording = run(server, closed(concurrency=4, requests=20, warmup=2, ramp_s=0.2))
        in_flight = [request.in_flight for request in server.requests]
    assert in_flight[0] == 1
    assert max(in_flight) == 4
    assert len(recording.measured) == 20
    begun = min(record.scheduled_ns for record in recording.records)
    assert all(record.sent_ns is not None and record.sent_ns - begun >= 150 * MS for record in recording.measured)  # begun a bit late


def test_a_workload_that_the_ramp_used_up_is_an_incident() -> None:
    with sse_server(Behaviour()) as server:
        few = [request for request, _ in zip(asked(), range(6), strict=False)]
        recording = run(server, closed(concurrency=1, requests=5, warmup=1, ramp_s=0.5), few)
    assert "the workload ended with 5 measured requests still to be asked" in recording.incidents[0]
