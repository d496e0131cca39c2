"""The process that reads, against a real server on loopback, and against servers that fail in every way."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
import zlib
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.telemetry import process
from pytest_dynperf.telemetry.sampler import Reading, read_frames, sampled, understood
from tests.fakes.http_stub import Handler, Server, answer, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_S = 20.0


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        running.answers["/metrics"] = counting()
        yield running


def counting(start: int = 100) -> Callable[[Handler], None]:
    """A counter that grows by 1 with every reading."""
    count = start

    def send(handler: Handler) -> None:
        nonlocal count
        page = f'dynamo_frontend_requests_total{{m="x"}} {count}\nother_total {count}\n'
        answer(page.encode(), content_type="text/plain")(handler)
        count += 1

    return send


def endpoint(server: Server, **paths: str) -> Endpoint:
    urls = tuple((name, server.url + path) for name, path in (paths or {"frontend": "/metrics"}).items())
    return Endpoint(base_url=server.url, model="m", metrics_urls=urls)


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s for {what}"
        time.sleep(0.01)


def readers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if process.__file__ in child.cmdline()]


def test_it_reads_at_once_at_the_interval_and_at_the_end(server: Server) -> None:
    before_ns = time.monotonic_ns()
    with sampled(endpoint(server), interval_s=0.05) as sampler:
        assert len(server.seen) >= 1, "a reading lies before the first request"
        started_ns = time.monotonic_ns()
        wait_for(lambda: len(server.seen) >= 4, "four readings")
        ended_ns = time.monotonic_ns()
        (series,), notes = sampler.finish()
    assert notes == ()
    assert series.values == tuple(float(n) for n in range(len(server.seen)))
    assert before_ns < series.stamps_ns[0] < started_ns
    assert ended_ns < series.stamps_ns[-1] < time.monotonic_ns(), "and one after the last"
    assert list(series.stamps_ns) == sorted(set(series.stamps_ns))
    assert sampler.cpu_s is not None
    assert 0 < sampler.cpu_s < 5
    assert readers() == []


def test_raw_names_on_request(server: Server) -> None:
    with sampled(endpoint(server), interval_s=60.0) as sampler:
        series, _ = sampler.finish(raw=True)
    assert [one.id for one in series] == ["frontend.requests", "raw:other_total"]
    with pytest.raises(ValueError, match="taken already"):
        sampler.finish()


@pytest.mark.parametrize("closes", [False, True])
def test_a_connection_is_kept_and_one_that_the_server_closed_is_no_failure(
    server: Server, monkeypatch: pytest.MonkeyPatch, closes: bool
) -> None:
    monkeypatch.setattr(Handler, "protocol_version", "HTTP/1.1")
    ports: list[int] = []
    inner = counting()

    def send(handler: Handler) -> None:
        inner(handler)
        handler.close_connection = closes  # without a word, as a server does with what was idle
        ports.append(handler.client_address[1])

    server.answers["/metrics"] = send
    with sampled(endpoint(server), interval_s=0.05) as sampler:
        wait_for(lambda: len(ports) >= 4, "four readings")
        _, notes = sampler.finish()
    assert notes == ()
    assert len(set(ports)) == (len(ports) if closes else 1)


def test_nothing_to_read_is_nothing() -> None:
    with sampled(Endpoint(base_url="http://127.0.0.1:1", model="m")) as sampler:
        assert readers() == []
        assert sampler.finish() == ((), ())


def failing_after(count: int, then: Callable[[Handler], None]) -> Callable[[Handler], None]:
    inner, seen = counting(), 0

    def send(handler: Handler) -> None:
        nonlocal seen
        seen += 1
        (inner if seen <= count else then)(handler)

    return send


def hang_up(handler: Handler) -> None:
    handler.connection.close()


def too_large(handler: Handler) -> None:
    answer(b"# " + b"x" * (process.MAX_PAGE_BYTES + 10), content_type="text/plain")(handler)


def cut_short(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    handler.wfile.write(b"dynamo_frontend_requests_total 500\n")


@pytest.mark.parametrize(
    ("then", "words"),
    [
        pytest.param(answer(b"busy", status=503), "HTTP 503", id="refuses"),
        pytest.param(
            answer(b"<html>\n</html>\n", content_type="text/html"), "not Prometheus text, beginning '<html>'", id="a page for people"
        ),
        pytest.param(hang_up, "RemoteDisconnected", id="hangs up"),
        pytest.param(too_large, "more than 4 MiB", id="too large"),
        pytest.param(cut_short, "broke off 965 bytes before its end", id="cut short"),
    ],
)
def test_a_url_that_stops_answering_is_a_note_and_its_readings_stay(server: Server, then: Callable[[Handler], None], words: str) -> None:
    server.answers["/metrics"] = failing_after(2, then)
    server.answers["/fine"] = counting()
    with sampled(endpoint(server, frontend="/metrics", worker="/fine"), interval_s=0.05) as sampler:
        wait_for(lambda: sum(path == "/metrics" for path, *_ in server.seen) >= 4, "four readings")
        (series, other), notes = sampler.finish()
    assert (series.source, series.values) == ("frontend", (0.0, 1.0))
    assert len(other.values) >= 3
    (note,) = notes
    assert note.startswith("metrics of frontend: ")
    assert words in note


def test_nobody_listens(server: Server) -> None:
    dead = Endpoint(base_url=server.url, model="m", metrics_urls=(("worker-0", "http://127.0.0.1:1/metrics"),))
    with sampled(dead) as sampler:
        series, notes = sampler.finish()
    assert series == ()
    assert notes == ("metrics of worker-0: 2 of 2 readings failed; the last: ConnectionRefusedError: [Errno 111] Connection refused",)


def test_one_that_hangs_delays_no_other(server: Server) -> None:
    held = threading.Event()

    def hang(handler: Handler) -> None:
        held.set()
        handler.server.released.wait()

    server.answers["/hangs"] = failing_after(1, hang)
    with sampled(endpoint(server, slow="/hangs", frontend="/metrics"), interval_s=0.05) as sampler:
        assert held.wait(DEADLINE_S)
        count = len(server.seen)
        wait_for(lambda: len(server.seen) >= count + 5, "five readings of the other one")
        series, notes = sampler.finish()
    assert [one.source for one in series] == ["slow", "frontend"]
    assert any("slow: " in note and "TimeoutError" in note for note in notes)


def test_a_broken_line_is_a_note(server: Server) -> None:
    server.answers["/metrics"] = answer(b"dynamo_frontend_requests_total 5\n!!\n", content_type="text/plain")
    with sampled(endpoint(server), interval_s=60.0) as sampler:
        (series,), notes = sampler.finish()
    assert series.values == (0.0, 0.0)
    assert notes == ("metrics of frontend: 2 lines in 2 readings are not Prometheus text, such as '!!'",)


def test_the_space_is_bounded(server: Server) -> None:
    page = b"".join(b'dynamo_frontend_requests_total{m="%s"} 1\n' % os.urandom(8).hex().encode() for _ in range(300))
    server.answers["/metrics"] = answer(page, content_type="text/plain")
    with sampled(endpoint(server), interval_s=0.02, budget_bytes=15_000) as sampler:
        wait_for(lambda: len(server.seen) >= 6, "six readings")
        (series,), notes = sampler.finish()
    assert len(series.values) < len(server.seen)
    assert "space for readings is used up" in notes[0]


def test_the_key_goes_to_its_own_origin_only(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "s3cret")
    with serving() as other:
        other.answers["/metrics"] = counting()
        asked = Endpoint(
            base_url=server.url,
            model="m",
            api_key_variable="THE_KEY",
            headers=(("X-Team", "a"),),
            metrics_urls=(("server", f"{server.url}/metrics"), ("worker", f"{other.url}/metrics")),
        )
        with sampled(asked) as sampler:
            assert all("s3cret" not in " ".join(child.cmdline()) for child in readers())
            sampler.finish()
        assert all(headers["authorization"] == "Bearer s3cret" and headers["x-team"] == "a" for _, headers, _ in server.seen)
        assert other.seen
        assert all("authorization" not in headers and "x-team" not in headers for _, headers, _ in other.seen)


def test_an_error_inside_ends_the_process_at_once(server: Server) -> None:
    with pytest.raises(KeyError), sampled(endpoint(server)):  # noqa: PT012 -- the block is the point
        assert len(readers()) == 1
        raise KeyError
    assert readers() == []


def test_a_reader_that_was_killed_is_a_note_and_what_it_wrote_stays(server: Server) -> None:
    with sampled(endpoint(server), interval_s=0.02) as sampler:
        wait_for(lambda: len(server.seen) >= 3, "three readings")
        (reader,) = readers()
        reader.kill()
        wait_for(lambda: not reader.is_running() or reader.status() == psutil.STATUS_ZOMBIE, "its end")
        (series,), notes = sampler.finish()
    assert len(series.values) >= 2
    assert "ended early" in notes[0]


def test_a_reader_that_cannot_start_is_a_note(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with sampled(endpoint(server)) as sampler:
        series, notes = sampler.finish()
    assert series == ()
    assert "could not be started: No such file" in notes[0]


def test_the_reader_ends_when_whoever_started_it_is_gone(server: Server) -> None:
    reader = subprocess.Popen(
        [sys.executable, "-I", "-S", process.__file__], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert reader.stdin is not None
    assert reader.stderr is not None
    with reader.stderr:
        reader.stdin.write(process.orders([f"{server.url}/metrics"], interval_s=60.0, headers=[{}], ca_file=None))
        reader.stdin.flush()
        assert reader.stderr.read(len(process.READY)) == process.READY
        reader.stdin.close()
        assert reader.wait(DEADLINE_S) == 0


def frame(target: int, page: bytes, *, error: str | None = None) -> bytes:
    payload = b"" if error else zlib.compress(page)
    header = {"target": target, "before_ns": 10, "after_ns": 20, "error": error, "size": len(payload)}
    return json.dumps(header).encode() + b"\n" + payload


def test_half_a_frame_is_dropped() -> None:
    whole = frame(1, b"a 1\n") + frame(0, b"", error="HTTP 500") + frame(1, b"a 2\n")
    for cut in (0, 3, len(frame(1, b"a 2\n")) - 5):
        data = whole[: len(whole) - cut]
        readings, cpu_s = read_frames(io.BytesIO(data), 2)
        assert [reading.page for reading in readings[1]] == ([b"a 1\n", b"a 2\n"] if not cut else [b"a 1\n"])
        assert readings[0] == [Reading(before_ns=10, after_ns=20, page=b"", error="HTTP 500")]
        assert cpu_s is None
    assert read_frames(io.BytesIO(whole + b'{"cpu_s": 0.5}\n'), 2)[1] == 0.5


def test_a_reading_that_took_longer_than_the_interval_is_a_note() -> None:
    slow = Reading(before_ns=0, after_ns=3 * 10**9, page=b"vllm:num_preemptions_total 1\n", error=None)
    (series,), notes = understood("worker-0", [slow], interval_s=1.0)
    assert series.stamps_ns == (3 * 10**9 // 2,)
    assert "a reading took 3 s, longer than the interval of 1 s" in notes[0]
