"""Each fault of the proxy through the real load generator and plain sockets: it happens, it is counted, and it ends."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.control import exchange
from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.errors import EndpointError, FaultError
from pytest_dynperf.fault.proxy import Disturbance, FaultProxy, fault_proxy
from pytest_dynperf.load.run import run_load
from pytest_dynperf.observation.request_record import FailureKind
from pytest_dynperf.scenario.traffic import Traffic
from pytest_dynperf.workload.request import Request
from tests.fakes.sse_server import Behaviour, SseServer, sse_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dynperf.observation.request_record import RequestRecord

OSL = 8


def load(proxy: FaultProxy, *, requests: int = 3, total_s: float = 20.0, token_s: float = 10.0) -> tuple[RequestRecord, ...]:
    """Measured records of a closed loop of one through the proxy."""
    traffic = Traffic(
        isl=7,
        osl=OSL,
        concurrency=1,
        requests=requests,
        warmup_requests=0,
        request_timeout_s=total_s,
        inter_token_timeout_s=token_s,
        max_failures_in_a_row=1000,
    )
    asked = (Request(index=index, content=f"prompt {index}", isl=7, osl=OSL) for index in count())
    endpoint = Endpoint(base_url=proxy.url, model="fake")
    return run_load(endpoint, asked, traffic, run="1", seed=1, records_path=None).measured


@pytest.fixture
def server() -> Iterator[SseServer]:
    with sse_server(Behaviour(itl_s=0.001)) as running:
        yield running


@pytest.fixture
def proxy(server: SseServer) -> Iterator[FaultProxy]:
    with fault_proxy(server.url) as running:
        yield running


def test_undisturbed_nothing_is_different(proxy: FaultProxy, server: SseServer) -> None:
    records = load(proxy, requests=5)
    assert [record.error for record in records] == [None] * 5
    assert all(record.completion_tokens == OSL and len(record.chunk_ns) == OSL for record in records)
    assert server.requests[0].body["messages"] == [{"role": "user", "content": "prompt 0"}]
    assert set(proxy.counts) == {"connections"}
    assert exchange("GET", f"{proxy.url}/v1/models", timeout_s=10).body == exchange("GET", f"{server.url}/v1/models", timeout_s=10).body


@pytest.mark.parametrize(
    ("disturbance", "kind", "evidence"),
    [
        pytest.param(Disturbance(refuse=True), FailureKind.CONNECTION, "", id="refused"),
        pytest.param(Disturbance(reset_after_bytes=0), FailureKind.CONNECTION, "", id="reset before a byte"),
        pytest.param(Disturbance(reset_after_bytes=600), FailureKind.CONNECTION, "", id="reset in mid-stream"),
        pytest.param(Disturbance(truncate_after_bytes=600), FailureKind.CONNECTION, "", id="truncated"),
        pytest.param(Disturbance(without_done=True), FailureKind.TRUNCATED, "[DONE]", id="no [DONE]"),
        pytest.param(Disturbance(malformed_after_events=2), FailureKind.MALFORMED, "", id="a chunk that is no JSON"),
        pytest.param(Disturbance(error_after_events=3), FailureKind.ERROR_CHUNK, "an error by the fault proxy", id="an error chunk"),
        pytest.param(Disturbance(zero_tokens=True), FailureKind.NO_TOKENS, "no chunk had content", id="zero tokens"),
        pytest.param(Disturbance(status=429), FailureKind.OVERLOADED, "HTTP 429", id="429"),
        pytest.param(Disturbance(status=500), FailureKind.HTTP_STATUS, "HTTP 500", id="500"),
        pytest.param(Disturbance(status=503), FailureKind.OVERLOADED, "HTTP 503", id="503"),
        pytest.param(Disturbance(status=529), FailureKind.OVERLOADED, "HTTP 529", id="529"),
        pytest.param(Disturbance(endless=1 << 28), FailureKind.MALFORMED, "", id="a body without an end"),
    ],
)
def test_each_fault_is_a_failure_of_its_kind_and_then_it_is_over(
    proxy: FaultProxy, disturbance: Disturbance, kind: FailureKind, evidence: str
) -> None:
    with proxy.disturbed(disturbance):
        records = load(proxy)
    for record in records:
        assert record.error is not None
        assert record.error.kind is kind
        assert evidence in record.error.detail
    assert all(proxy.counts[name] >= 3 for name in disturbance.kinds)
    assert [record.error for record in load(proxy)] == [None] * 3


def test_a_slow_drip_ends_at_the_deadline_of_the_request(proxy: FaultProxy) -> None:
    with proxy.disturbed(Disturbance(drip_s=0.02)):
        (record,) = load(proxy, requests=1, total_s=0.5)
    assert record.error is not None
    assert record.error.kind is FailureKind.TIMEOUT


def test_a_stall_ends_at_the_deadline_between_tokens(proxy: FaultProxy) -> None:
    with proxy.disturbed(Disturbance(stall_after_bytes=700)):
        (record,) = load(proxy, requests=1, token_s=0.5)
    assert record.error is not None
    assert record.error.kind is FailureKind.TIMEOUT
    assert record.chunk_ns
    assert len(record.chunk_ns) < OSL


def test_a_stall_that_heals_is_a_late_answer_and_no_failure(proxy: FaultProxy) -> None:
    proxy.disturb(Disturbance(stall_after_bytes=700))

    def heal() -> None:
        _wait(proxy, "stall_after_bytes")
        proxy.heal()

    healer = threading.Thread(target=heal)
    healer.start()
    records = load(proxy)
    healer.join()
    assert [record.error for record in records] == [None] * 3
    assert proxy.counts["stall_after_bytes"] == 1


def _wait(proxy: FaultProxy, kind: str) -> None:
    happened = threading.Event()
    while not proxy.counts[kind]:
        happened.wait(0.01)


def test_latency_is_added_to_every_piece(proxy: FaultProxy) -> None:
    with proxy.disturbed(Disturbance(latency_s=0.03, jitter_s=0.01)):
        (record,) = load(proxy, requests=1)
    assert record.error is None
    assert record.sent_ns is not None
    gaps = [later - earlier for earlier, later in zip(record.chunk_ns, record.chunk_ns[1:], strict=False)]
    assert min(gaps) >= 25_000_000  # a lower bound: only the machine can add to it
    assert proxy.counts["latency_s"] == 1


def test_bandwidth(proxy: FaultProxy) -> None:
    with proxy.disturbed(Disturbance(bytes_per_s=4000.0)):
        (record,) = load(proxy, requests=1)
    assert record.error is None
    assert record.sent_ns is not None
    assert record.end_ns is not None
    # Some 1,900 bytes of eight tokens, their usage and the head.
    assert record.end_ns - record.sent_ns > 250_000_000


def test_so_many_requests_and_no_more(proxy: FaultProxy) -> None:
    with proxy.disturbed(Disturbance(status=503, after=1, times=2)):
        records = load(proxy, requests=5)
    assert [record.error is None for record in records] == [True, False, False, True, True]
    assert proxy.counts["status"] == 2


def test_other_paths_are_left_alone(proxy: FaultProxy) -> None:
    proxy.disturb(Disturbance(status=503, times=1))
    assert exchange("GET", f"{proxy.url}/v1/models", timeout_s=10).status == 200
    (record,) = load(proxy, requests=1)
    assert record.error is not None, "the models did not use it up"
    with proxy.disturbed(Disturbance(status=500, paths=("/",))):
        assert exchange("GET", f"{proxy.url}/v1/models", timeout_s=10).status == 500


def test_a_fault_that_never_happened_is_an_error(proxy: FaultProxy) -> None:
    never = pytest.raises(FaultError, match=r"was to do error_after_events and never did: [3-9] connections or requests")
    with never, proxy.disturbed(Disturbance(error_after_events=1000)):
        load(proxy)
    with pytest.raises(FaultError, match=r"was to do status and never did: 0 connections"), proxy.disturbed(Disturbance(status=500)):
        pass
    assert [record.error for record in load(proxy)] == [None] * 3


def test_an_error_of_the_test_is_not_hidden_by_it(proxy: FaultProxy) -> None:
    with pytest.raises(ZeroDivisionError), proxy.disturbed(Disturbance(status=500)):
        _ = 1 / 0
    assert proxy.current.kinds == ()


def test_a_server_that_is_gone_is_a_connection_that_is_closed() -> None:
    with sse_server(Behaviour()) as server, fault_proxy(server.url) as proxy:
        url = proxy.url
        port = server.port
    with fault_proxy(f"http://127.0.0.1:{port}") as proxy, pytest.raises(EndpointError):
        exchange("GET", f"{proxy.url}/v1/models", timeout_s=10)
    with pytest.raises(EndpointError, match="refuses"):
        exchange("GET", f"{url}/v1/models", timeout_s=10)


# ---- bytes


@contextmanager
def echo() -> Iterator[int]:
    """A server that sends back what it gets; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with connection:
                try:
                    while data := connection.recv(65536):
                        connection.sendall(data)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@pytest.fixture
def bytes_proxy() -> Iterator[FaultProxy]:
    with echo() as port, fault_proxy(f"nats://127.0.0.1:{port}") as running:
        yield running


def received(proxy: FaultProxy, data: bytes) -> tuple[bytes, str]:
    """What comes back of ``data``, and how it ended: ``all``, ``closed``, ``reset``."""
    got = b""
    with socket.socket() as connection:
        connection.settimeout(10)
        try:
            connection.connect(("127.0.0.1", proxy.port))
            connection.sendall(data)
            while len(got) < len(data):
                piece = connection.recv(65536)
                if not piece:
                    return got, "closed"
                got += piece
        except ConnectionResetError:
            return got, "reset"
        return got, "all"


@pytest.mark.parametrize(
    ("disturbance", "length", "end"),
    [
        (Disturbance(), 1000, "all"),
        (Disturbance(refuse=True), 0, "reset"),
        (Disturbance(truncate_after_bytes=600), 600, "closed"),
        (Disturbance(reset_after_bytes=0), 0, "reset"),
        (Disturbance(bytes_per_s=20_000.0), 1000, "all"),
        (Disturbance(latency_s=0.01), 1000, "all"),
    ],
)
def test_any_protocol(bytes_proxy: FaultProxy, disturbance: Disturbance, length: int, end: str) -> None:
    assert bytes_proxy.url.startswith("nats://127.0.0.1:")
    with bytes_proxy.disturbed(disturbance):
        data = bytes(range(250)) * 4
        assert received(bytes_proxy, data) == (data[:length], end)
    assert received(bytes_proxy, b"again") == (b"again", "all")


def test_what_needs_http_is_refused_where_there_is_none(bytes_proxy: FaultProxy) -> None:
    with pytest.raises(FaultError, match="zero_tokens: needs a proxy of HTTP"):
        bytes_proxy.disturb(Disturbance(zero_tokens=True))


@pytest.mark.parametrize("upstream", ["https://127.0.0.1:1", "http://127.0.0.1", "127.0.0.1"])
def test_an_upstream_that_cannot_be_stood_before(upstream: str) -> None:
    with pytest.raises(FaultError, match="cannot stand before"):
        FaultProxy(upstream)


def test_it_can_be_stopped_twice_and_not_used_before_it_runs(server: SseServer) -> None:
    proxy = FaultProxy(server.url)
    with pytest.raises(FaultError, match="does not run"):
        proxy.heal()
    proxy.start()
    proxy.stop()
    proxy.stop()
    with pytest.raises(FaultError, match="does not run"):
        proxy.heal()
