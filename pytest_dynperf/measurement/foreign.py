"""A run that another tool made: what it holds, and what of it may be judged. Pure.

In: what ``foreign_aiperf`` and ``foreign_vllm`` read, in SI. Out: a :class:`~pytest_dynperf.measurement.measurement.Run` like any other.
Another tool's lags are not known: that alone is no flaw here, and the note that says so goes into the report. Everything else that would
make a run of ours invalid makes this one invalid too, and so does a file that contradicts itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pytest_dynperf.errors import UsageError
from pytest_dynperf.measurement.measurement import Run
from pytest_dynperf.metrics.catalogue import cells
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.metrics.objectives import NOTHING_STATED, Objectives
from pytest_dynperf.metrics.statistic import statistic
from pytest_dynperf.observation.recording import Certificate
from pytest_dynperf.quantity import Absent
from pytest_dynperf.scenario.traffic import Arrival, Traffic, Workload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dynperf.measurement.measurement import Distribution
    from pytest_dynperf.observation.request_record import RequestRecord
    from pytest_dynperf.scenario.expectation import Expectation

SAME = 0.01
"""Two statements of one quantity may differ by this fraction; beyond it the file contradicts itself."""

THROUGHPUT = Cell("output_token_throughput.v1", "value")
PER_GPU = Cell("output_token_throughput_per_gpu.v1", "value")
ERROR_RATE = Cell("request_error_rate.v1", "value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the tool was told to ask for, as far as its file says it; ``None`` where it does not. Lengths in tokens, without the chat
    template where the tool does not count it. ``objectives`` are those that the
    tool counted goodput by. ``dataset`` describes prompts that are not synthetic, ``random_seed`` is what made them.
    """

    model: str | None = None
    url: str | None = None
    isl: int | None = None
    osl: int | None = None
    isl_stddev: float = 0.0
    osl_stddev: float = 0.0
    concurrency: int | None = None
    arrival: Arrival = field(default_factory=Arrival)
    requests: int | None = None
    warmup_requests: int | None = None
    ignore_eos: bool = False
    objectives: Objectives = NOTHING_STATED
    dataset: str | None = None
    random_seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRun:
    """One run. ``requests`` and ``errors`` count measured ones, failed included. ``values`` and ``distributions`` are in the units of the
    catalogue. ``problems`` are what the file itself says against its run; ``notes`` are what cannot be known. ``records`` is empty where
    the tool wrote no requests; stamps in it are those of the tool's clock.
    """

    file: str
    tool: str
    version: str | None
    asked: Asked
    requests: int
    errors: int
    error_kinds: Mapping[str, int]
    duration_s: float
    mean_in_flight: float | None
    values: Mapping[Cell, float]
    distributions: Mapping[str, Distribution]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    records: tuple[RequestRecord, ...] = ()
    error_detail: str = ""

    @property
    def generator(self) -> str:
        """``AIPerf 0.13.0``."""
        return f"{self.tool} {self.version or '(version unknown)'}"


def traffic_of(asked: Asked, *, file: str, runs: int) -> Traffic:
    """What was asked, as a case states it.

    :raises UsageError: where the file does not say what a case must: names the option that does.
    """
    for name, value in (("isl", asked.isl), ("osl", asked.osl)):
        if value is None:
            msg = f"{file} does not say {name.upper()}: give it with --{name} TOKENS"
            raise UsageError(msg)
    assert asked.isl is not None
    assert asked.osl is not None
    if asked.arrival.closed and asked.concurrency is None:
        msg = f"{file} says neither a concurrency nor a rate: give --concurrency N"
        raise UsageError(msg)
    workload = Workload(isl_stddev=asked.isl_stddev, osl_stddev=asked.osl_stddev)
    return Traffic(
        isl=asked.isl,
        osl=asked.osl,
        concurrency=asked.concurrency if asked.arrival.closed else None,
        arrival=asked.arrival,
        workload=workload if asked.dataset is None else Workload(kind="trace", file=asked.dataset),
        requests=asked.requests,
        warmup_requests=asked.warmup_requests or 0,
        runs=runs,
        ignore_eos=asked.ignore_eos,
    )


def to_run(
    foreign: ForeignRun, *, name: str, traffic: Traffic, expectation: Expectation, gpu_count: int | None = None, judged: bool = True
) -> Run:
    """The run as every judge sees it: each cell of the catalogue in ``values`` or in ``absent``; an invalid run has no values, unless
    nobody is going to judge it (``judged``).
    """
    problems = tuple(flaws(foreign, traffic, expectation))
    hidden = bool(problems) and judged
    values = {} if hidden else dict(foreign.values)
    if gpu_count and THROUGHPUT in values:
        values[PER_GPU] = values[THROUGHPUT] / gpu_count
    missing = f"the run is invalid: {problems[0]}" if hidden else f"the file of {foreign.tool} does not hold it"
    return Run(
        name=name,
        values=values,
        absent={cell: _absent(foreign, cell, missing) for cell in cells() if cell not in values},
        distributions={} if hidden else foreign.distributions,
        requests=foreign.requests,
        errors=foreign.errors,
        error_kinds=foreign.error_kinds,
        duration_s=foreign.duration_s,
        certificate=Certificate(
            send_lag_p99_s=None,
            receive_lag_p99_s=None,
            mean_in_flight=foreign.mean_in_flight,
            coalesced_share=None,
            clock_step_s=0.0,  # latencies of both tools are differences of a monotonic clock
        ),
        witness={},
        problems=problems,
        parts={ERROR_RATE.metric: (float(foreign.errors), float(foreign.requests))} if ERROR_RATE in values else {},
    )


def _absent(foreign: ForeignRun, cell: Cell, missing: str) -> Absent:
    distribution = foreign.distributions.get(cell.metric)
    few = too_few(distribution.n, cell.statistic) if distribution is not None and cell.statistic != "value" else None
    return Absent(missing) if few is None else few


def too_few(count: int, name: str) -> Absent | None:
    """Why ``count`` samples do not give the statistic ``name``, by the rule for our own samples."""
    found = statistic(np.zeros(count), name)
    return found if isinstance(found, Absent) else None


def flaws(foreign: ForeignRun, traffic: Traffic, expectation: Expectation) -> Iterator[str]:
    """What forbids judging the run: sentences for people, the most telling first."""
    yield from foreign.problems
    yield from _failures(foreign, expectation)
    needed = max(30, 4 * traffic.slots) if traffic.arrival.closed else 30
    if foreign.requests < needed:
        yield f"{foreign.requests} requests were measured, needed are {needed}: the larger of 30 and 4 × concurrency"
    if not foreign.duration_s > 0:
        yield f"{foreign.file}: the phase window is {foreign.duration_s} s long, it must be longer than 0"
    found = foreign.mean_in_flight
    if traffic.arrival.closed and found is not None and not found >= expectation.min_in_flight_share * traffic.slots:
        yield (
            f"{found:.4g} requests were in flight on average, needed are {expectation.min_in_flight_share * traffic.slots:g} "
            f"({expectation.min_in_flight_share:.0%} of {traffic.slots}): {foreign.tool} did not offer the load that was asked for"
        )
    yield from _too_slow(foreign, traffic, expectation)


def _too_slow(foreign: ForeignRun, traffic: Traffic, expectation: Expectation) -> Iterator[str]:
    """Whether an open loop sent what its rate asks for. The tool's schedule is not known, so chance is allowed three standard errors of the
    mean gap: each is 1/√(n × burstiness) of it for n gaps, and 0 where gaps are equal.
    """
    asked, sent_ns = traffic.arrival.rate_per_s, sorted(record.sent_ns for record in foreign.records if record.measured and record.sent_ns)
    if asked is None or len(sent_ns) < 2:
        return
    gaps, span_s = len(sent_ns) - 1, (sent_ns[-1] - sent_ns[0]) / 1e9
    burstiness = {"poisson": 1.0, "gamma": traffic.arrival.burstiness}.get(traffic.arrival.process)
    chance = 0.0 if burstiness is None else 3 / math.sqrt(gaps * burstiness)
    if gaps * (1 + chance) < expectation.min_rate_share * asked * span_s:
        yield (
            f"{gaps / span_s:.4g} requests/s were sent, asked were {asked:g}, and at least {expectation.min_rate_share:.0%} of them, "
            f"give or take {chance:.0%} by chance: {foreign.tool} did not offer the load that was asked for"
        )


def _failures(foreign: ForeignRun, expectation: Expectation) -> Iterator[str]:
    if not foreign.requests or foreign.errors >= foreign.requests:
        yield f"no request of {foreign.requests} succeeded, so there is no latency{_evidence(foreign)}"
    elif foreign.errors / foreign.requests > expectation.max_error_share:
        yield (
            f"{foreign.errors} of {foreign.requests} requests failed ({foreign.errors / foreign.requests:.1%}, "
            f"allowed {expectation.max_error_share:.1%}){_evidence(foreign)}"
        )


def _evidence(foreign: ForeignRun) -> str:
    if not foreign.error_kinds:
        return ""
    kind, times = max(foreign.error_kinds.items(), key=lambda item: item[1])
    return f"; most often: {kind} ({times} times): {foreign.error_detail}".rstrip(": ")


def contradictions(stated: Mapping[Cell, float], computed: Mapping[Cell, float], *, file: str) -> Iterator[str]:
    """Where what the tool states differs from what its own requests give: the two do not belong together, or one is broken."""
    for cell in stated.keys() & computed.keys():
        ours, theirs = computed[cell], stated[cell]
        if abs(ours - theirs) > SAME * max(abs(ours), abs(theirs)):
            yield f"{file} states {theirs:.6g} for {cell}, the requests give {ours:.6g}: they are not of one run, or a file is damaged"
