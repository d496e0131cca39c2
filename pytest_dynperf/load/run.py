"""LOAD: requests in, a recording out, from one process or several."""

from __future__ import annotations

import math
import tempfile
from itertools import count
from pathlib import Path
from time import monotonic_ns
from typing import TYPE_CHECKING

from pytest_dynperf.load.ask import Work, prepare
from pytest_dynperf.load.board import Board
from pytest_dynperf.load.chat_request import origin_of, request_head
from pytest_dynperf.load.descriptors import demand_connections
from pytest_dynperf.load.driver import Driver
from pytest_dynperf.load.progress import Progress, Teller
from pytest_dynperf.load.segment import merge
from pytest_dynperf.load.share import Share
from pytest_dynperf.load.supervision import Crew
from pytest_dynperf.load.supply import Prepared
from pytest_dynperf.load.transport import tls_context
from pytest_dynperf.observation.record_file_writing import record_file
from pytest_dynperf.run_directory import own_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.load.ask import Unit
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.request_record import RequestRecord
    from pytest_dynperf.scenario.traffic import Traffic
    from pytest_dynperf.workload.request import Request

__all__ = ["Progress", "default_processes", "run_load"]

CHUNK_CPU_S = 20e-6
"""CPU time that one chunk costs a load process, all included: 22 µs measured at 12,800 chunks/s on two cores of a virtual machine."""

STREAM_CHUNKS_PER_S = 100.0
"""Of one stream, assumed: an inter-token latency of 10 ms."""

BUSY_SHARE = 0.4
"""Of a core. A busier event loop is late too often: what waits for it waits with the square of its load."""


_FEWEST_AHEAD = 8  # units of work in the spool of a load process
_HEAD_START_NS = 5_000_000  # to have everything in place when the first send is due


def default_processes(traffic: Traffic, cpu_count: int) -> int:
    """So many that none is busier than 40 % of a core with the chunks it gets, but one core is left, and no process is without a slot."""
    arrival = traffic.arrival
    if arrival.closed:
        chunks_per_s, most = traffic.slots * STREAM_CHUNKS_PER_S, traffic.slots
    else:
        peak_per_s = arrival.max_rate_per_s if arrival.process == "sinusoidal" else arrival.mean_rate_per_s
        chunks_per_s, most = (peak_per_s or 0.0) * traffic.osl, arrival.max_in_flight or cpu_count
    return max(1, min(math.ceil(chunks_per_s * CHUNK_CPU_S / BUSY_SHARE), cpu_count - 1, most))


def run_load(
    endpoint: Endpoint,
    requests: Iterator[Request],
    traffic: Traffic,
    *,
    run: str,
    seed: int,
    records_path: Path | None,
    processes: int = 1,
    progress: Callable[[Progress], None] | None = None,
    incident: Callable[[], str | None] | None = None,
    temporary: Path | None = None,
) -> Recording:
    """One run: warm-up, then ``traffic.request_count`` measured requests, and load until the last of them has ended.

    ``requests`` come in order, the turns of a conversation one after the other. ``seed`` decides the schedule of an open loop.
    ``incident`` is polled every 100 ms: text from it stops the run at once (what is in flight ends as CANCELLED) and stands in
    ``Recording.incidents``. So does a row of max(20, 2 x concurrency) failures (open loop: max(20, two seconds of the rate)), or as many as
    ``traffic.max_failures_in_a_row`` says, so a server that is down is not hammered. ``progress`` is called at most twice a second. Both
    must be quick: with one process they run between the events of its loop. Deadlines are applied every 100 ms. ``records_path`` is
    replaced; one that ends in ``.gz`` is packed when the run has ended. Answers are parsed after the phase, failures and what does not fit
    into 256 MiB per process earlier, and written when parsed; on every way out what had ended is written. The garbage collector rests
    during the run. A failed request raises nothing: it is a record with an ``error``.

    ``processes`` beyond the concurrency, or what an open loop may have in flight, are not used; failures in a row are counted in each. A
    load process that dies or hangs ends the run with an incident that names it. What they share lies below ``temporary``, by default where
    temporary files lie.

    :raises EndpointError: when the base URL cannot be asked.
    :raises UsageError: when a header or the body cannot be sent as configured, or more files would have to be open than the kernel allows.
    :raises WorkloadError: when ``requests`` ends before the last measured one.
    :raises RunDirectoryError: when records cannot be written.
    """
    processes = _checked(endpoint, traffic, processes)
    work = prepare(endpoint, requests, traffic, run=run, seed=seed)
    with record_file(records_path) as sink:
        if processes == 1:
            return _alone(endpoint, traffic, work, run=run, sink=sink, progress=progress, incident=incident)
        return _together(
            *(endpoint, traffic, work), run=run, sink=sink, progress=progress, incident=incident, processes=processes, temporary=temporary
        )


def _checked(endpoint: Endpoint, traffic: Traffic, processes: int) -> int:
    """How many processes there will be. What is wrong with the endpoint is said here, and not by one of them."""
    origin = origin_of(endpoint)
    request_head(endpoint, origin)
    if origin.tls:
        tls_context(endpoint.ca_file)
    most = traffic.slots if traffic.arrival.closed else traffic.arrival.max_in_flight or processes
    processes = min(processes, traffic.request_count, most)
    if traffic.arrival.closed:
        demand_connections(math.ceil(traffic.slots / processes), what=f"concurrency {traffic.slots}")
    return processes


def _alone(
    endpoint: Endpoint,
    traffic: Traffic,
    work: Work,
    *,
    run: str,
    sink: Callable[[RequestRecord], None],
    progress: Callable[[Progress], None] | None,
    incident: Callable[[], str | None] | None,
) -> Recording:
    share = Share(
        endpoint=endpoint,
        traffic=traffic,
        run=run,
        warmup=work.warmup,
        measured=work.measured,
        measured_total=work.measured,
        lead_ns=_lead_ns(work),
        peak_rate_per_s=work.peak_rate_per_s,
    )
    board, started_ns = Board.in_memory(), monotonic_ns()
    teller = Teller(progress, board, run=run, total=work.measured, started_ns=started_ns)

    def tick(now_ns: int) -> str | None:
        teller.tell(now_ns)
        return incident() if incident is not None else None

    async def agree() -> int:
        return monotonic_ns() + _HEAD_START_NS

    segment = Driver(share, Prepared(work.ready, work.more), board, sink=sink, tick=tick, agree=agree).run()
    return merge([segment], run=run, traffic=traffic, fallback_ns=started_ns)


def _together(
    endpoint: Endpoint,
    traffic: Traffic,
    work: Work,
    *,
    run: str,
    sink: Callable[[RequestRecord], None],
    progress: Callable[[Progress], None] | None,
    incident: Callable[[], str | None] | None,
    processes: int,
    temporary: Path | None,
) -> Recording:
    ready, shares = _dealt(endpoint, traffic, work, run=run, processes=processes)
    # Several times what a process needs until the parent looks again; matters for the end of the phase alone, all else is ready.
    spare = 2 * traffic.slots if traffic.arrival.closed else math.ceil(traffic.arrival.mean_rate_per_s or 0.0)
    more = ((_owner(number, traffic, processes), unit) for number, unit in zip(count(len(work.ready)), work.more))
    with (
        tempfile.TemporaryDirectory(prefix="dynperf-load-", dir=temporary and own_directory(temporary)) as root,
        Crew(Path(root), shares, ready, more, ahead=_FEWEST_AHEAD + math.ceil(spare / processes)) as crew,
    ):
        started_ns = monotonic_ns()
        teller = Teller(progress, crew.board, run=run, total=work.measured, started_ns=started_ns)

        def tick(now_ns: int) -> str | None:
            teller.tell(now_ns)
            return incident() if incident is not None else None

        incidents: tuple[str, ...] = ()
        try:
            incidents = crew.load(tick)
        except BaseException:
            crew.interrupt()
            raise
        finally:
            recording = merge(crew.segments(), run=run, traffic=traffic, fallback_ns=started_ns, incidents=incidents)
            for record in recording.records:
                sink(record)
    return recording


def _owner(number: int, traffic: Traffic, processes: int) -> int:
    """Which process does unit ``number``: that of its slot in a closed loop, in turn in an open one."""
    return (number % traffic.slots if traffic.arrival.closed else number) % processes


def _dealt(endpoint: Endpoint, traffic: Traffic, work: Work, *, run: str, processes: int) -> tuple[list[list[Unit]], list[Share]]:
    ready: list[list[Unit]] = [[] for _ in range(processes)]
    warmup, measured, dealt = [0] * processes, [0] * processes, 0
    for number, unit in enumerate(work.ready):
        owner = _owner(number, traffic, processes)
        ready[owner].append(unit)
        for _ in unit.asks:
            if dealt < work.warmup:
                warmup[owner] += 1
            elif dealt < work.warmup + work.measured:
                measured[owner] += 1
            dealt += 1
    shares = [
        Share(
            endpoint=endpoint,
            traffic=traffic,
            run=run,
            warmup=warmup[number],
            measured=measured[number],
            measured_total=work.measured,
            lead_ns=_lead_ns(work),
            peak_rate_per_s=work.peak_rate_per_s,
            number=number,
            processes=processes,
        )
        for number in range(processes)
    ]
    return ready, shares


def _lead_ns(work: Work) -> int:
    return max(0, -(work.ready[0].offset_ns or 0)) if work.ready else 0
