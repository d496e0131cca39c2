"""The closed loop against a server that behaves as told: what counts, what fails and how, and when it stops."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import ssl
import subprocess
import time
from dataclasses import replace
from itertools import count, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.errors import EndpointError, RunDirectoryError, UsageError, WorkloadError
from pytest_dynperf.load.run import Progress, run_load
from pytest_dynperf.measurement.validity import problems
from pytest_dynperf.observation.record_file import read_records
from pytest_dynperf.observation.request_record import FailureKind, Stamp
from pytest_dynperf.scenario.expectation import Expectation
from pytest_dynperf.scenario.traffic import Traffic
from pytest_dynperf.workload.prompt_calibrated import CalibratedPrompts
from pytest_dynperf.workload.request import Request
from pytest_dynperf.workload.synthetic import synthetic_requests
from tests.fakes.sse_server import Behaviour, SseServer, sse_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.request_record import RequestRecord

OSL = 4


def asked() -> Iterator[Request]:
    return (Request(index=index, content=f"prompt {index}", isl=7, osl=OSL) for index in count())


def traffic(
    *, concurrency: int = 1, requests: int = 3, warmup: int = 1, ignore_eos: bool = True, total_s: float = 20.0, token_s: float = 10.0
) -> Traffic:
    return Traffic(
        isl=7,
        osl=OSL,
        concurrency=concurrency,
        requests=requests,
        warmup_requests=warmup,
        ignore_eos=ignore_eos,
        request_timeout_s=total_s,
        inter_token_timeout_s=token_s,
    )


def run(server: SseServer, asking: Traffic, *, path: Path | None = None, incident: Callable[[], str | None] | None = None) -> Recording:
    endpoint = Endpoint(base_url=server.url, model=server.model)
    return run_load(endpoint, asked(), asking, run="1", seed=1, records_path=path, incident=incident)


def only(recording: Recording) -> RequestRecord:
    (record,) = recording.measured
    return record


def test_a_faultless_server() -> None:
    with sse_server(Behaviour(ttft_s=0.002, cached_tokens=3, server_ttft_ms=12.5)) as server:
        recording = run(server, traffic(requests=5, warmup=2))
    assert [record.index for record in recording.records[:7]] == list(range(7))
    assert [record.measured for record in recording.records[:8]] == [False] * 2 + [True] * 5 + [False] * (len(recording.records) > 7)
    for record in recording.measured:
        assert record.error is None
        assert (record.http_status, record.finish_reason) == (200, "length")
        assert (record.prompt_tokens, record.completion_tokens, record.cached_tokens) == (7, OSL, 3)
        assert record.server_ttft_s == 0.0125
        assert (record.isl_requested, record.osl_requested, record.run) == (7, OSL, "1")
        assert record.response_id == "chatcmpl-1"
        assert len(record.chunk_ns) == OSL  # neither the role, nor the finish, nor usage, nor [DONE]
        assert record.sent_ns is not None
        assert record.first_byte_ns is not None
        assert record.end_ns is not None
        assert record.scheduled_ns <= record.sent_ns < record.first_byte_ns < record.chunk_ns[0] <= record.chunk_ns[-1] <= record.end_ns
        assert record.chunk_ns[0] - record.sent_ns >= 2_000_000
    assert recording.incidents == ()
    assert recording.window_start_ns == recording.measured[0].sent_ns
    assert recording.window_end_ns == recording.measured[-1].end_ns
    assert len({record.request_id for record in recording.records}) == len(recording.records)


def test_kernel_stamps_and_certificate() -> None:
    with sse_server(Behaviour(itl_s=0.001)) as server:
        recording = run(server, traffic(requests=20))
    assert {record.stamp for record in recording.measured} == {Stamp.KERNEL}
    certificate = recording.certificate
    assert certificate.receive_lag_p99_s is not None
    # A wrong offset of the clocks would be decades; a lag below zero beyond the noise of sampling would be a stamp from the future.
    assert 0 < certificate.receive_lag_p99_s < 60
    assert all(record.receive_lag_ns is not None and record.receive_lag_ns > -100_000 for record in recording.measured)
    assert certificate.send_lag_p99_s is not None
    assert certificate.send_lag_p99_s > 0
    assert certificate.mean_in_flight is not None
    assert 0 < certificate.mean_in_flight <= 1
    assert certificate.coalesced_share is not None
    assert certificate.cpu_s is not None
    assert certificate.cpu_s > 0
    assert certificate.run_delay_s is not None
    assert certificate.clock_step_s < 60


def test_what_is_sent() -> None:
    endpoint_body = (("temperature", 0), ("nvext", {"extra_fields": ["timing"]}))
    with sse_server(Behaviour()) as server:
        endpoint = Endpoint(base_url=f"{server.url}/prefix/", model="fake", extra_body=endpoint_body, headers=(("X-Team", "a"),))
        recording = run_load(endpoint, asked(), traffic(requests=1, warmup=0), run="1", seed=1, records_path=None)
        seen = server.requests[0]
    assert seen.body == {
        "model": "fake",
        "messages": [{"role": "user", "content": "prompt 0"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": OSL,
        "min_tokens": OSL,
        "ignore_eos": True,
        "temperature": 0,
        "nvext": {"extra_fields": ["timing"]},
    }
    assert seen.headers["accept-encoding"] == "identity"
    assert seen.headers["x-team"] == "a"
    assert seen.headers["x-request-id"] == only(recording).request_id
    assert seen.headers["host"] == server.url.removeprefix("http://")
    assert "authorization" not in seen.headers


def test_without_ignore_eos_any_length_counts() -> None:
    with sse_server(Behaviour(osl=2, finish_reason="stop")) as server:
        record = only(run(server, traffic(requests=1, warmup=0, ignore_eos=False)))
        seen = server.requests[0].body
    assert record.error is None
    assert record.completion_tokens == 2
    assert "ignore_eos" not in seen
    assert "min_tokens" not in seen


def test_the_key_is_sent_and_never_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FAKE_KEY", "sesame-1\n")
    with sse_server(Behaviour()) as server:
        endpoint = Endpoint(base_url=server.url, model="fake", api_key_variable="FAKE_KEY")
        run_load(endpoint, asked(), traffic(requests=1), run="1", seed=1, records_path=tmp_path / "r.jsonl")
        assert {seen.headers["authorization"] for seen in server.requests} == {"Bearer sesame-1"}
    assert b"sesame" not in (tmp_path / "r.jsonl").read_bytes()
    monkeypatch.delenv("FAKE_KEY")
    with pytest.raises(UsageError, match="FAKE_KEY"):
        run_load(endpoint, asked(), traffic(), run="1", seed=1, records_path=None)
    monkeypatch.setenv("FAKE_KEY", "sesame\r\nX-Evil: 1")
    with pytest.raises(UsageError, match="Authorization") as caught:
        run_load(endpoint, asked(), traffic(), run="1", seed=1, records_path=None)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("behaviour", "kind", "evidence"),
    [
        (Behaviour(error_after=2), FailureKind.ERROR_CHUNK, "worker is gone"),
        (Behaviour(error_after=0), FailureKind.ERROR_CHUNK, "503"),
        (Behaviour(stop_after=2, stop="truncate"), FailureKind.TRUNCATED, "without [DONE], after 2"),
        (Behaviour(stop_after=2, stop="close"), FailureKind.CONNECTION, "closed the connection after"),
        (Behaviour(stop_after=2, stop="reset"), FailureKind.CONNECTION, "broke the connection"),
        (Behaviour(done=False), FailureKind.TRUNCATED, "without [DONE]"),
        (Behaviour(framing="close", stop_after=2, stop="truncate"), FailureKind.TRUNCATED, "without [DONE]"),
        (Behaviour(osl=0), FailureKind.NO_TOKENS, "no chunk had content"),
        (Behaviour(osl=0, role_chunk=False), FailureKind.NO_TOKENS, "no chunk had content"),
        (Behaviour(finish_reason=None), FailureKind.NO_FINISH_REASON, "finish_reason"),
        (Behaviour(osl=OSL - 1), FailureKind.WRONG_LENGTH, "asked for 4 tokens with ignore_eos, got 3"),
        (Behaviour(completion_tokens=OSL + 1), FailureKind.WRONG_LENGTH, "got 5"),
        (Behaviour(usage=False), FailureKind.WRONG_LENGTH, "no usage"),
        (Behaviour(status=429), FailureKind.OVERLOADED, "HTTP 429"),
        (Behaviour(status=503, body=b'{"message":"all workers are busy"}'), FailureKind.OVERLOADED, "all workers are busy"),
        (Behaviour(status=529), FailureKind.OVERLOADED, "HTTP 529"),
        (Behaviour(status=400, body=b"unknown field `ignore_eos`"), FailureKind.HTTP_STATUS, "unknown field"),
        (Behaviour(status=500, body=b""), FailureKind.HTTP_STATUS, "empty body"),
        (
            Behaviour(status=307, headers=(("Location", "http://evil.example/"),)),
            FailureKind.HTTP_STATUS,
            "redirects to http://evil.example/",
        ),
        (Behaviour(body=b"<html>Log in</html>", content_type="text/html"), FailureKind.MALFORMED, "Log in"),
        (Behaviour(body=b"data: {oops\n\ndata: [DONE]\n\n"), FailureKind.MALFORMED, "oops"),
        (Behaviour(body=b'data: {"choices": 3}\n\ndata: [DONE]\n\n'), FailureKind.MALFORMED, "choices"),
        (Behaviour(body=b""), FailureKind.TRUNCATED, "without [DONE]"),
        (Behaviour(garbage=b"SSH-2.0-OpenSSH_9.2\r\n"), FailureKind.MALFORMED, "SSH-2.0"),
        (Behaviour(huge_line_bytes=2 << 20), FailureKind.MALFORMED, "a line of more than 1048576 bytes"),
        (Behaviour(headers=(("Content-Encoding", "gzip"),)), FailureKind.MALFORMED, "gzip"),
        (Behaviour(headers=(("X-Long", "x" * 100_000),)), FailureKind.MALFORMED, "headers of more than"),
        (Behaviour(body=b"x" * 10, headers=(("Content-Length", "99999"),)), FailureKind.MALFORMED, "not HTTP/1.1"),
    ],
)
def test_every_failure_has_its_kind(behaviour: Behaviour, kind: FailureKind, evidence: str) -> None:
    with sse_server(behaviour) as server:
        record = only(run(server, traffic(requests=1, warmup=0)))
    assert record.error is not None
    assert record.error.kind is kind
    assert evidence in record.error.detail
    assert len(record.error.detail) <= 500
    assert record.end_ns is not None


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
@pytest.mark.parametrize("split_bytes", [0, 1, 7])
def test_every_framing_succeeds(framing: str, split_bytes: int) -> None:
    with sse_server(Behaviour(framing=framing, split_bytes=split_bytes)) as server:  # type: ignore[arg-type]
        record = only(run(server, traffic(requests=1, warmup=0)))
    assert record.error is None
    assert len(record.chunk_ns) == OSL


@pytest.mark.parametrize("delta", ["content", "reasoning_content", "tool_calls"])
def test_every_kind_of_delta_is_content(delta: str) -> None:
    with sse_server(Behaviour(delta=delta)) as server:  # type: ignore[arg-type]
        record = only(run(server, traffic(requests=1, warmup=0)))
    assert record.error is None
    assert len(record.chunk_ns) == OSL


def test_chunks_of_one_read_are_counted() -> None:
    with sse_server(Behaviour(framing="length")) as server:  # one write for the whole body
        recording = run(server, traffic(requests=1, warmup=0))
    record = only(recording)
    assert record.coalesced == OSL - 1
    assert len(set(record.chunk_ns)) == 1
    assert recording.certificate.coalesced_share == pytest.approx((OSL - 1) / OSL)


def test_exactly_c_in_flight() -> None:
    # The server answers only while three requests wait: with two in flight the run would end in timeouts, with four `max_in_flight` tells.
    with sse_server(Behaviour(hold=3)) as server:
        recording = run(server, traffic(concurrency=3, requests=20, warmup=5, total_s=5.0, token_s=5.0))
        assert server.max_in_flight == 3
        assert server.connections == 3
    assert [record.error for record in recording.measured] == [None] * 20


def test_too_few_in_flight_would_show() -> None:
    with sse_server(Behaviour(hold=3)) as server:
        recording = run(server, traffic(concurrency=2, requests=2, warmup=0, total_s=0.3))
    assert {record.error.kind for record in recording.measured if record.error} == {FailureKind.TIMEOUT}


def test_load_goes_on_until_the_last_measured_request_has_ended() -> None:
    slow = Behaviour(itl_s=0.1)
    with sse_server(slow, Behaviour()) as server:  # the first request outlives the second by far
        recording = run(server, traffic(concurrency=2, requests=2, warmup=0))
    unmeasured = [record for record in recording.records if not record.measured]
    assert len(unmeasured) > 3  # the free slot went on, beyond what was prepared
    assert recording.window_end_ns == max(record.end_ns or 0 for record in recording.measured)
    for record in unmeasured:
        assert record.error is None or record.error.kind is FailureKind.CANCELLED
    assert [record.error for record in recording.measured] == [None, None]


def test_connections_are_reused() -> None:
    with sse_server(Behaviour()) as server:
        recording = run(server, traffic(concurrency=2, requests=10, warmup=2))
        assert server.connections == 2
    assert {record.connection_reused for record in recording.measured} == {True}


def test_a_kept_alive_connection_that_was_closed_is_replaced() -> None:
    with sse_server(Behaviour(close_after=True)) as server:
        recording = run(server, traffic(requests=10, warmup=1))
    assert [record.error for record in recording.measured] == [None] * 10
    assert all(
        late.sent_ns is not None and early.end_ns is not None and late.sent_ns >= early.end_ns
        for early, late in pairwise(recording.measured)
    )


def test_closed_unanswered_is_asked_again_once() -> None:
    with sse_server(Behaviour(), Behaviour(close_unanswered=True), Behaviour()) as server:
        record = only(run(server, traffic(requests=1, warmup=1)))
        ids = [seen.headers["x-request-id"] for seen in server.requests[:3]]
    assert record.error is None
    assert record.connection_reused is False
    assert ids[1] == ids[2] == record.request_id
    with sse_server(Behaviour(close_unanswered=True)) as server:
        record = only(run(server, traffic(requests=1, warmup=0)))
        assert len(server.requests) == 2
    assert record.error is not None
    assert record.error.kind is FailureKind.CONNECTION
    assert "before the first byte" in record.error.detail


@pytest.mark.parametrize(
    ("behaviour", "total_s", "token_s", "detail"),
    [
        (Behaviour(drip_s=0.05), 0.4, 30.0, "not complete 0.4 s after it was sent"),
        (Behaviour(stop_after=0, stop="hang"), 30.0, 0.3, "no token for 0.3 s"),
        (Behaviour(stop_after=2, stop="hang"), 30.0, 0.3, "no token for 0.3 s"),
        (Behaviour(ping_s=0.02), 30.0, 0.3, "no token for 0.3 s"),
    ],
)
def test_deadlines(behaviour: Behaviour, total_s: float, token_s: float, detail: str) -> None:
    with sse_server(behaviour) as server:
        record = only(run(server, traffic(requests=1, warmup=0, total_s=total_s, token_s=token_s)))
    assert record.error is not None
    assert record.error.kind is FailureKind.TIMEOUT
    assert record.error.detail == detail


def test_tokens_that_keep_coming_pass_no_deadline() -> None:
    with sse_server(Behaviour(itl_s=0.25, split_bytes=3)) as server:  # no piece holds a whole "data:"
        record = only(run(server, traffic(requests=1, warmup=0, token_s=0.6)))
    assert record.error is None


def test_an_incident_stops_the_run_at_once(tmp_path: Path) -> None:
    with sse_server(Behaviour(), Behaviour(), Behaviour(stop_after=1, stop="hang")) as server:
        told = lambda: "etcd ended with status 0" if len(server.requests) >= 3 else None  # noqa: E731
        recording = run(server, traffic(requests=5, warmup=1), path=tmp_path / "r.jsonl", incident=told)
    assert recording.incidents == ("etcd ended with status 0",)
    assert [record.error.kind if record.error else None for record in recording.measured] == [None, FailureKind.CANCELLED]
    assert sorted(read_records(tmp_path / "r.jsonl"), key=lambda record: record.index) == list(recording.records)


def test_a_server_that_fails_everything_is_not_hammered() -> None:
    with sse_server(Behaviour(status=503, body=b"no workers")) as server:
        recording = run(server, traffic(requests=1000))
        assert len(server.requests) < 100
    assert len(recording.incidents) == 1
    assert "20 requests failed in a row" in recording.incidents[0]
    assert "no workers" in recording.incidents[0]


def test_nobody_listens() -> None:
    with sse_server() as server:
        endpoint = Endpoint(base_url=server.url, model="fake")
    recording = run_load(endpoint, asked(), traffic(requests=1000), run="1", seed=1, records_path=None)
    assert "cannot connect" in recording.incidents[0]
    assert [record.error.kind for record in recording.records[:20] if record.error] == [FailureKind.CONNECTION] * 20
    assert recording.certificate.mean_in_flight == 0  # all refused: nothing was ever in flight
    assert recording.certificate.receive_lag_p99_s is None
    assert recording.duration_s >= 0


def test_failures_between_successes_do_not_stop_the_run() -> None:
    with sse_server(*[Behaviour(status=503), Behaviour()] * 50) as server:
        recording = run(server, traffic(requests=60, warmup=0))
    assert recording.incidents == ()
    assert sum(record.error is not None for record in recording.measured) == 30


def test_the_file_holds_what_the_recording_holds(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "r.jsonl"
    with sse_server(Behaviour(), Behaviour(error_after=1), Behaviour()) as server:
        recording = run(server, traffic(concurrency=2, requests=6, warmup=2), path=path)
    assert sorted(read_records(path), key=lambda record: record.index) == list(recording.records)


def test_records_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with sse_server() as server, pytest.raises(RunDirectoryError, match="cannot write request records"):
        run(server, traffic(), path=tmp_path / "file" / "r.jsonl")


def test_a_full_disk_is_said() -> None:
    with sse_server() as server, pytest.raises(RunDirectoryError, match="No space left"):
        run(server, traffic(), path=Path("/dev/full"))


def test_exceptions_of_callbacks_come_out_and_leave_nothing_open() -> None:
    def boom() -> str | None:
        raise RuntimeError("from the callback")

    enabled = gc.isenabled()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with sse_server(Behaviour(itl_s=0.2)) as server, pytest.raises(RuntimeError, match="from the callback"):
        run(server, traffic(concurrency=4), incident=boom)
    assert gc.isenabled() is enabled
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_a_stall_of_the_event_loop_makes_the_run_invalid() -> None:
    asking = replace(traffic(concurrency=2, requests=8, warmup=0), osl=100)
    lenient = Expectation(gates=(), max_send_lag_s=60, max_receive_lag_s=60, min_in_flight_share=0.01)
    stalls = iter([0.0, 0.0, 0.2])
    with sse_server(Behaviour(itl_s=0.002)) as server:
        requests = (Request(index=index, content="x x", isl=7, osl=100) for index in count())
        endpoint = Endpoint(base_url=server.url, model=server.model)
        recording = run_load(
            endpoint, requests, asking, run="1", seed=1, records_path=None, incident=lambda: time.sleep(next(stalls, 0.0))
        )  # fmt: skip
    certificate = recording.certificate
    assert certificate.loop_lag_max_s is not None
    assert certificate.loop_lag_max_s >= 0.195  # all of it but a period of the heartbeat
    assert certificate.uncertain_share is not None
    assert certificate.uncertain_share > 0.03
    assert certificate.coalesced_share is not None
    assert certificate.coalesced_share >= certificate.uncertain_share
    assert any("came while the load generator was held up" in problem for problem in problems(recording, asking, lenient))


def test_an_interrupt_leaves_what_was_captured(tmp_path: Path) -> None:
    """What had ended was not parsed yet: it is on the way out."""

    def interrupt() -> str | None:
        if len(server.requests) >= 3:
            os.kill(os.getpid(), signal.SIGINT)
        return None

    path = tmp_path / "r.jsonl"
    with sse_server(Behaviour(), Behaviour(), Behaviour(stop_after=1, stop="hang")) as server, pytest.raises(KeyboardInterrupt):
        run(server, traffic(), path=path, incident=interrupt)
    kinds = [record.error.kind if record.error else None for record in sorted(read_records(path), key=lambda record: record.index)]
    assert kinds == [None, None, FailureKind.CANCELLED]


def test_what_was_captured_before_an_exception_is_written(tmp_path: Path) -> None:
    def boom() -> str | None:
        if len(server.requests) >= 3:
            raise RuntimeError("from the callback")
        return None

    path = tmp_path / "r.jsonl"
    with (
        sse_server(Behaviour(), Behaviour(), Behaviour(stop_after=1, stop="hang")) as server,
        pytest.raises(RuntimeError, match="callback"),
    ):
        run(server, traffic(), path=path, incident=boom)
    assert len(list(read_records(path))) == 3


def test_an_interrupt_comes_out() -> None:
    def interrupt() -> str | None:
        os.kill(os.getpid(), signal.SIGINT)
        return None

    with sse_server(Behaviour(stop_after=1, stop="hang")) as server, pytest.raises(KeyboardInterrupt):
        run(server, traffic(), incident=interrupt)


def test_progress_is_told() -> None:
    seen: list[Progress] = []
    with sse_server(Behaviour(itl_s=0.02)) as server:
        endpoint = Endpoint(base_url=server.url, model="fake")
        run_load(endpoint, asked(), traffic(requests=20), run="r7", seed=1, records_path=None, progress=seen.append)
    assert {progress.run for progress in seen} == {"r7"}
    assert {progress.total for progress in seen} == {20}
    assert all(late.elapsed_s - early.elapsed_s >= 0.49 and late.done >= early.done for early, late in pairwise(seen))
    assert seen[-1].tokens_per_s is not None
    assert seen[-1].tokens_per_s > 0


def test_a_workload_that_is_too_short() -> None:
    endpoint = Endpoint(base_url="http://127.0.0.1:9", model="fake")
    with pytest.raises(WorkloadError, match=r"needs 4 requests.*has 3"):
        run_load(endpoint, islice(asked(), 3), traffic(), run="1", seed=1, records_path=None)


def test_a_workload_that_ends_just_in_time() -> None:
    with sse_server() as server:
        endpoint = Endpoint(base_url=server.url, model="fake")
        recording = run_load(endpoint, islice(asked(), 4), traffic(concurrency=2), run="1", seed=1, records_path=None)
    assert len(recording.records) == 4
    assert recording.incidents == ()


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "ftp://host", "http://", "http://user:key@host", "http://host:port", "http://host/?a=1", "http://host/a b"]
)
def test_urls_that_cannot_be_asked(url: str) -> None:
    with pytest.raises(EndpointError):
        run_load(Endpoint(base_url=url, model="m"), asked(), traffic(), run="1", seed=1, records_path=None)


def test_what_the_endpoint_must_not_set() -> None:
    url = "http://127.0.0.1:9"
    endpoint = Endpoint(base_url=url, model="m", extra_body=(("stream", False), ("max_tokens", 3)))
    with pytest.raises(UsageError, match="max_tokens, stream"):
        run_load(endpoint, asked(), traffic(), run="1", seed=1, records_path=None)
    with pytest.raises(UsageError, match="Host"):
        run_load(Endpoint(base_url=url, model="m", headers=(("Host", "x"),)), asked(), traffic(), run="1", seed=1, records_path=None)


def test_a_large_prompt_is_sent_whole() -> None:
    large = iter([Request(index=0, content="x " * 3_000_000, isl=1, osl=OSL)])
    with sse_server() as server:
        endpoint = Endpoint(base_url=server.url, model="fake")
        record = only(run_load(endpoint, large, traffic(requests=1, warmup=0), run="1", seed=1, records_path=None))
        assert len(server.requests[0].body["messages"][0]["content"]) == 6_000_000
    assert record.error is None


def test_calibrated_prompts_are_counted_as_asked() -> None:
    with sse_server(template_tokens=9) as server:
        endpoint = Endpoint(base_url=server.url, model="fake")
        source = CalibratedPrompts(template_tokens=9)
        recording = run_load(endpoint, synthetic_requests(source, isl=64, osl=OSL, seed=1), traffic(), run="1", seed=1, records_path=None)
    assert {record.prompt_tokens for record in recording.measured} == {64}


def test_tls_has_user_stamps_and_checks_the_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the program openssl to make a certificate, found none")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    argv = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", *subject, *files]
    subprocess.run(argv, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with sse_server(tls=context) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        recording = run(server, traffic(concurrency=2))
        assert [record.error for record in recording.measured] == [None] * 3
        assert {record.stamp for record in recording.measured} == {Stamp.USER}
        assert {record.receive_lag_ns for record in recording.measured} == {None}
        assert recording.certificate.receive_lag_p99_s is None
        monkeypatch.delenv("SSL_CERT_FILE")
        distrusted = run(server, traffic(requests=1, warmup=0))
    assert only(distrusted).error is not None
    assert "certificate" in str(only(distrusted).error)
