"""Several load processes: their shares add up to one run, and whatever happens to one of them ends it, with its name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.errors import EndpointError, UsageError
from pytest_dynperf.load import supervision
from pytest_dynperf.load.run import Progress, default_processes, run_load
from pytest_dynperf.measurement.validity import problems
from pytest_dynperf.observation.record_file import read_records
from pytest_dynperf.observation.request_record import FailureKind
from pytest_dynperf.scenario.expectation import Expectation
from pytest_dynperf.scenario.traffic import Arrival, Traffic
from pytest_dynperf.workload.request import Request
from tests.fakes.sse_server import Behaviour, SseServer, sse_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_dynperf.observation.recording import Recording

OSL = 4


def asked(turns: int = 0) -> Iterator[Request]:
    for index in count():
        conversation = f"talk {index // turns}" if turns else None
        yield Request(index=index, content=f"prompt {index}", isl=7, osl=OSL, conversation=conversation, turn=index % turns if turns else 0)


def traffic(*, concurrency: int = 3, requests: int = 30, warmup: int = 3) -> Traffic:
    return Traffic(isl=7, osl=OSL, concurrency=concurrency, requests=requests, warmup_requests=warmup, inter_token_timeout_s=10.0)


def run(
    server: SseServer,
    asking: Traffic,
    *,
    processes: int = 2,
    turns: int = 0,
    path: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    incident: Callable[[], str | None] | None = None,
) -> Recording:
    endpoint = Endpoint(base_url=server.url, model=server.model)
    return run_load(
        endpoint, asked(turns), asking, run="1", seed=1, records_path=path, processes=processes, progress=progress, incident=incident
    )


def children() -> list[psutil.Process]:
    """The load processes of this test, in the order of their numbers."""
    found = [child for child in psutil.Process().children() if "pytest_dynperf.load.process" in child.cmdline()]
    return sorted(found, key=lambda child: child.cmdline()[-1])


def when_loaded(server: SseServer, act: Callable[[], None], *, requests: int = 5) -> Callable[[], None]:
    """Something that does ``act`` once, when the server has seen so many requests."""
    done: list[bool] = []

    def incident() -> None:
        if not done and len(server.requests) >= requests:
            done.append(True)
            act()

    return incident


def test_a_closed_loop_is_shared(tmp_path: Path) -> None:
    # The server answers only while three requests wait, so the slots of both processes are busy at the same time.
    with sse_server(Behaviour(hold=3)) as server:
        recording = run(server, traffic(), path=tmp_path / "r.jsonl")
        assert server.max_in_flight == 3
        assert server.connections == 3
    assert recording.incidents == ()
    assert [record.error for record in recording.measured] == [None] * 30
    indices = [record.index for record in recording.records]
    assert indices == sorted(set(indices))
    assert set(range(33)) <= set(indices)
    assert len(recording.certificate.processes) == 2
    assert all(process.cpu_s for process in recording.certificate.processes)
    assert recording.window_end_ns == max(record.end_ns or 0 for record in recording.measured)
    assert list(read_records(tmp_path / "r.jsonl")) == list(recording.records)
    assert children() == []


def test_an_open_loop_is_shared() -> None:
    constant = Traffic(isl=7, osl=OSL, arrival=Arrival(process="constant", rate_per_s=200.0), requests=40, warmup_requests=4)
    with sse_server(Behaviour()) as server:
        recording = run(server, constant)
    assert [record.error for record in recording.measured] == [None] * 40
    due = [record.scheduled_ns for record in recording.records[:44]]  # at the end the one may stop a little before the other
    assert [instant - due[0] for instant in due] == [number * 5_000_000 for number in range(44)]
    assert [record.index for record in recording.measured] == list(range(4, 44))


def test_what_may_be_in_flight_is_shared_too() -> None:
    few = Arrival(process="constant", rate_per_s=200.0, max_in_flight=1)
    with sse_server(Behaviour(ttft_s=0.05)) as server:
        recording = run(server, Traffic(isl=7, osl=OSL, arrival=few, requests=10, warmup_requests=0))
        assert server.max_in_flight == 1
    assert len(recording.certificate.processes) == 1  # the other would have had nothing to do
    assert recording.certificate.dropped_sends > 0


def test_a_conversation_stays_in_one_process() -> None:
    with sse_server(Behaviour()) as server:
        recording = run(server, traffic(concurrency=2, requests=18, warmup=0), turns=3)
        connections: dict[str, set[int]] = {}
        for request in server.requests:
            connections.setdefault(request.headers["x-session-id"], set()).add(request.connection)
    assert len(recording.measured) == 18
    assert all(len(numbers) == 1 for numbers in connections.values())
    assert len({number for numbers in connections.values() for number in numbers}) == 2


def test_load_goes_on_in_all_processes_until_the_last_measured_request_has_ended() -> None:
    with sse_server(Behaviour(itl_s=0.15), Behaviour()) as server:  # one of the first two is slow; the other process goes on
        recording = run(server, traffic(concurrency=2, requests=2, warmup=0))
    assert [record.error for record in recording.measured] == [None, None]
    assert sum(not record.measured for record in recording.records) > 20  # more than was prepared: the parent supplied the rest


def test_progress_is_read_off_the_board() -> None:
    seen: list[Progress] = []
    with sse_server(Behaviour(itl_s=0.02)) as server:
        run(server, traffic(requests=60), progress=seen.append)
    assert {progress.total for progress in seen} == {60}
    assert seen[-1].done > seen[0].done
    assert max(progress.in_flight for progress in seen) == 3
    assert max(progress.tokens_per_s or 0 for progress in seen) > 0


def test_a_process_that_is_killed_ends_the_run_with_its_name(tmp_path: Path) -> None:
    def kill() -> None:
        children()[1].kill()

    with sse_server(Behaviour(itl_s=0.005)) as server:
        recording = run(server, traffic(requests=2000), path=tmp_path / "r.jsonl", incident=when_loaded(server, kill))
    assert len(recording.incidents) == 1
    assert recording.incidents[0].startswith("load process 2 of 2 (process id ")
    assert "ended by SIGKILL before its part was done" in recording.incidents[0]
    assert len(recording.records) > 0  # what the other one saw
    assert {record.error.kind for record in recording.records if record.error} <= {FailureKind.CANCELLED}
    assert list(read_records(tmp_path / "r.jsonl")) == list(recording.records)
    assert children() == []


def test_a_process_that_hangs_ends_the_run_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def suspend() -> None:
        children()[0].suspend()

    monkeypatch.setattr(supervision, "_SILENT_NS", 1_000_000_000)
    with sse_server(Behaviour(itl_s=0.005)) as server:
        recording = run(server, traffic(requests=2000), incident=when_loaded(server, suspend))
    assert "load process 1 of 2" in recording.incidents[0]
    assert "has given no sign of life for 1 s" in recording.incidents[0]
    assert children() == []


def test_the_last_words_of_a_process_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", str(Path(sys.executable).with_name("ruff")))
    with sse_server() as server:
        recording = run(server, traffic())
    assert "ended with status 2 before its part was done; its last words: " in recording.incidents[0]
    assert recording.records == ()


def test_an_incident_stops_all_of_them() -> None:
    with sse_server(Behaviour(itl_s=0.01)) as server:
        told = lambda: "etcd ended with status 0" if len(server.requests) >= 5 else None  # noqa: E731
        recording = run(server, traffic(requests=2000), incident=told)
    assert recording.incidents == ("etcd ended with status 0",)
    assert {record.error.kind for record in recording.records if record.error} == {FailureKind.CANCELLED}


def test_a_server_that_fails_everything_stops_all_of_them() -> None:
    with sse_server(Behaviour(status=503, body=b"no workers")) as server:
        recording = run(server, traffic(concurrency=2, requests=2000))
        assert len(server.requests) < 5000
    assert "requests failed in a row" in recording.incidents[0]


def test_an_interrupt_ends_them_and_leaves_what_they_saw(tmp_path: Path) -> None:
    with sse_server(Behaviour(itl_s=0.005)) as server, pytest.raises(KeyboardInterrupt):
        run(
            server, traffic(requests=2000), path=tmp_path / "r.jsonl",
            incident=when_loaded(server, lambda: os.kill(os.getpid(), signal.SIGINT)),
        )  # fmt: skip
    assert children() == []
    assert len(list(read_records(tmp_path / "r.jsonl"))) >= 1


PARENT = """
import sys
from itertools import count
from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.load.run import run_load
from pytest_dynperf.scenario.traffic import Traffic
from pytest_dynperf.workload.request import Request

asked = (Request(index=index, content="x", isl=7, osl=4) for index in count())
traffic = Traffic(isl=7, osl=4, concurrency=2, requests=2000)
run_load(Endpoint(base_url=sys.argv[1], model="fake"), asked, traffic, run="1", seed=1, records_path=None, processes=2)
"""


def test_they_die_with_their_parent_and_leave_nothing(tmp_path: Path) -> None:
    with sse_server(Behaviour(itl_s=0.005)) as server:
        parent = subprocess.Popen([sys.executable, "-c", PARENT, server.url], env=os.environ | {"TMPDIR": str(tmp_path)})
        try:
            wait = threading.Event()
            while len(server.requests) < 5:
                assert parent.poll() is None
                wait.wait(0.02)
            orphans = psutil.Process(parent.pid).children()
            assert len(orphans) == 2
        finally:
            parent.kill()
            parent.wait()
        _, alive = psutil.wait_procs(orphans, timeout=10)
    assert alive == []
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_was_stopped_for_a_while_makes_the_run_invalid() -> None:
    """Chunks that came meanwhile were read in one go, with the stamp of the last: the receive lag hardly shows it, the certificate does."""
    asking = Traffic(isl=7, osl=60, concurrency=2, requests=30, warmup_requests=0)
    expectation = Expectation(gates=(), max_send_lag_s=60, max_receive_lag_s=60, min_in_flight_share=0.01)
    with sse_server(Behaviour(itl_s=0.002)) as server:

        def pause() -> None:
            child = children()[0]
            child.suspend()
            threading.Timer(0.4, child.resume).start()

        requests = (Request(index=index, content="x x", isl=7, osl=60) for index in count())
        endpoint = Endpoint(base_url=server.url, model=server.model)
        recording = run_load(
            endpoint, requests, asking, run="1", seed=1, records_path=None, processes=2, incident=when_loaded(server, pause)
        )  # fmt: skip
    assert recording.incidents == ()
    assert recording.certificate.loop_lag_max_s is not None
    assert recording.certificate.loop_lag_max_s > 0.3
    (problem,) = problems(recording, asking, expectation)
    assert "came while the load generator was held up" in problem


def test_how_many_processes() -> None:
    def closed(concurrency: int) -> Traffic:
        return Traffic(isl=7, osl=100, concurrency=concurrency)

    assert default_processes(closed(2000), 1) == 1
    assert default_processes(closed(2000), 2) == 1  # one core is left
    assert [default_processes(closed(concurrency), 16) for concurrency in (1, 256, 512, 1024, 100_000)] == [1, 2, 3, 6, 15]
    poisson = Traffic(isl=7, osl=1000, arrival=Arrival(process="poisson", rate_per_s=100.0))
    assert default_processes(poisson, 16) == 5  # 100,000 chunks/s
    assert default_processes(Traffic(isl=7, osl=1000, requests=9, arrival=Arrival(process="trace")), 16) == 1


def test_more_connections_than_files_may_be_open() -> None:
    endpoint = Endpoint(base_url="http://127.0.0.1:9", model="m")
    with pytest.raises(UsageError, match=r"concurrency 5000000 needs 2500000 connections in one process.*ulimit -Hn"):
        run_load(endpoint, asked(), traffic(concurrency=5_000_000), run="1", seed=1, records_path=None, processes=2)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_bad_file_of_authorities_is_said_before_anything_starts(tmp_path: Path, processes: int) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    endpoint = Endpoint(base_url="https://127.0.0.1:9", model="m", ca_file=str(tmp_path / "ca.pem"))
    with pytest.raises(EndpointError, match=r"ca\.pem \(ca_file\) cannot be read"):
        run_load(endpoint, asked(), traffic(), run="1", seed=1, records_path=None, processes=processes)
