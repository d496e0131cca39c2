"""A client in a process of its own: ``python -m benchmarks.instrument.client KIND PORT STREAMS REQUESTS OSL FILE [MORE...]``.

Load first, then what the comparison needs: only the load is within ``cpu_s``. ``MORE``: load processes of ours; executable and tokenizer of
AIPerf, whose prompts it makes.
The peers run on uvloop and with a resting garbage collector, as ours does; AIPerf as it comes.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import sys
from dataclasses import asdict
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import TYPE_CHECKING

import uvloop

from benchmarks.instrument.aiperf_export import exchanges_in
from benchmarks.instrument.peers import CONTENT, PEERS
from benchmarks.instrument.seen import Exchange, Seen
from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.load.aiperf import RECORDS, probe, run_aiperf
from pytest_dynperf.load.aiperf_command import aiperf_arguments
from pytest_dynperf.load.run import run_load
from pytest_dynperf.load.sse import read_stream
from pytest_dynperf.measurement.validity import problems
from pytest_dynperf.scenario.expectation import Expectation
from pytest_dynperf.scenario.traffic import Traffic
from pytest_dynperf.workload.request import Request

if TYPE_CHECKING:
    from pytest_dynperf.observation.recording import Recording

AIPERF_DEADLINE_S = 300.0


def _asked(port: int, streams: int, requests: int, osl: int) -> tuple[Endpoint, Traffic]:
    traffic = Traffic(isl=8, osl=osl, concurrency=streams, requests=requests - streams, warmup_requests=streams)
    return Endpoint(base_url=f"http://127.0.0.1:{port}", model="instrument"), traffic


def ours(port: int, streams: int, requests: int, osl: int, processes: int) -> Seen:
    """The load generator as a user runs it, parsing, records and certificate included."""
    endpoint, traffic = _asked(port, streams, requests, osl)
    asked = (Request(index=index, content=CONTENT, isl=8, osl=osl) for index in count())
    started_s = _cpu_s()
    recording = run_load(endpoint, asked, traffic, run="1", seed=1, records_path=None, processes=processes)
    cpu_s = _cpu_s() - started_s
    exchanges = tuple(
        Exchange(request_id=record.request_id, sent_ns=record.sent_ns, chunk_ns=record.chunk_ns)
        for record in recording.records
        if record.error is None and record.sent_ns is not None
    )
    failed = sum(record.error is not None for record in recording.measured)
    facts = _facts(recording) | {"invalid": problems(recording, traffic, Expectation(gates=()))}
    return Seen(exchanges=exchanges, failed=failed, cpu_s=cpu_s, facts=facts)


def _facts(recording: Recording) -> dict[str, object]:
    begin_ns, end_ns = recording.window_start_ns, recording.window_end_ns
    chunks = sum(begin_ns <= stamp <= end_ns for record in recording.records for stamp in record.chunk_ns)
    return {"certificate": asdict(recording.certificate), "window_cpu_s": recording.certificate.cpu_s, "window_chunks": chunks}


def peer(kind: str, port: int, streams: int, requests: int, osl: int) -> Seen:
    """One of :data:`~benchmarks.instrument.peers.PEERS`."""
    load = PEERS[kind]
    gc.collect()
    gc.freeze()
    gc.disable()
    started_s = _cpu_s()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        captured = runner.run(load("127.0.0.1", port, streams, requests, osl))
    cpu_s = _cpu_s() - started_s
    exchanges = tuple(
        Exchange(request_id=name, sent_ns=sent_ns, chunk_ns=tuple(read_stream(pieces).chunk_ns)) for name, sent_ns, pieces in captured
    )
    return Seen(exchanges=exchanges, failed=requests - len(captured), cpu_s=cpu_s)


def aiperf(executable: Path, tokenizer: str, endpoint: Endpoint, traffic: Traffic) -> Seen:
    """AIPerf with all of its processes, from its start to its end."""
    _, flags = probe(executable)
    with TemporaryDirectory() as name:
        directory = Path(name)
        arguments = aiperf_arguments(endpoint, traffic, flags=flags, directory=directory / "aiperf", seed=1, tokenizer=tokenizer)
        started_s = _cpu_s()
        run_aiperf(
            executable,
            arguments,
            directory=directory / "aiperf",
            log=directory / "log",
            environment=os.environ,
            deadline_s=AIPERF_DEADLINE_S,
            progress=lambda _done, _elapsed_s: None,
        )
        cpu_s = _cpu_s() - started_s
        exchanges = exchanges_in((directory / "aiperf" / RECORDS).read_bytes())
    return Seen(exchanges=exchanges, failed=traffic.request_count - len(exchanges), cpu_s=cpu_s)


def _cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return process_time() + children.ru_utime + children.ru_stime


def main(arguments: list[str]) -> None:
    """Run, and write the file."""
    kind, (port, streams, requests, osl), file = arguments[0], map(int, arguments[1:5]), Path(arguments[5])
    if kind == "dynperf":
        seen = ours(port, streams, requests, osl, processes=int(arguments[6]))
    elif kind == "aiperf":
        seen = aiperf(Path(arguments[6]), arguments[7], *_asked(port, streams, requests, osl))
    else:
        seen = peer(kind, port, streams, requests, osl)
    seen.save(file)


if __name__ == "__main__":
    main(sys.argv[1:])
