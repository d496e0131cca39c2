"""What one load process is to send, in what order and when: requests made ready for the wire. Pure but for the random request ids."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.load.arrival import schedule_of, trace_offset_ns
from pytest_dynperf.load.chat_request import request_body
from pytest_dynperf.workload.request import Request  # noqa: TC001 msgspec evaluates the annotations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.scenario.traffic import Traffic

_SPARE_S = 5.0
"""Of an open loop's load: prepared for the time in which its last measured requests end. Beyond it requests are made on the fly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request on its way out. ``request`` is without content, history and images, which ``body`` holds as JSON."""

    request: Request
    request_id: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What follows each other on one connection: the turns of a conversation, or one request. ``offset_ns``: when an open loop sends the
    first, from the start of the measured phase.
    """

    asks: tuple[Ask, ...]
    offset_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Of one run. ``ready`` holds at least ``warmup`` + ``measured`` requests, and what the end of the phase needs as a rule; ``more``
    makes further ones. ``warmup`` includes the ramp of an open loop. ``peak_rate_per_s``: of an open loop; the mean, for a trace.
    """

    ready: tuple[Unit, ...]
    more: Iterator[Unit]
    warmup: int
    measured: int
    peak_rate_per_s: float


def prepare(endpoint: Endpoint, requests: Iterator[Request], traffic: Traffic, *, run: str, seed: int) -> Work:
    """Serialise what the phase needs.

    :raises WorkloadError: when ``requests`` ends before the last measured one, or a trace does not say when to send one.
    :raises UsageError: when a request cannot be sent as configured.
    """
    warmup, spare = traffic.warmup_count, traffic.slots if traffic.arrival.closed else 0
    offsets: Iterator[int] | None = None
    peak_per_s = 0.0
    if traffic.arrival.mean_rate_per_s is not None:
        schedule = schedule_of(traffic.arrival, warmup=warmup, seed=seed)
        warmup = len(schedule.before)
        offsets = chain(schedule.before, schedule.after)
        peak_per_s = traffic.arrival.max_rate_per_s or traffic.arrival.mean_rate_per_s
        spare = min(traffic.request_count, round(_SPARE_S * peak_per_s))
    needed = warmup + traffic.request_count
    first = list(islice(requests, needed))
    if len(first) < needed:
        msg = f"run {run} needs {needed} requests, warm-up included, and the workload has {len(first)}"
        raise WorkloadError(msg)
    if traffic.arrival.process == "trace":
        peak_per_s = _trace_rate_per_s(first, traffic)
        spare = min(traffic.request_count, round(_SPARE_S * peak_per_s))
        units = _traced(grouped(chain(first, requests)), traffic, first_s=_first_s(first, warmup))
    else:
        units = ((unit, None if offsets is None else next(offsets)) for unit in grouped(chain(first, requests)))
    del first
    made = _made(units, endpoint, traffic)
    ready: list[Unit] = []
    count = 0
    for unit in made:
        ready.append(unit)
        count += len(unit.asks)
        if count >= needed + spare:
            break
    return Work(ready=tuple(ready), more=made, warmup=warmup, measured=traffic.request_count, peak_rate_per_s=peak_per_s)


def grouped(requests: Iterator[Request]) -> Iterator[list[Request]]:
    """Turns of one conversation together, in order; a request of none alone."""
    unit: list[Request] = []
    for request in requests:
        if unit and request.conversation != unit[0].conversation:
            yield unit
            unit = []
        unit.append(request)
        if request.conversation is None:
            yield unit
            unit = []
    if unit:
        yield unit


def staggered_osl(osl: int, slot: int, concurrency: int) -> int:
    """OSL of the first request in a slot: slot k of C asks for (k + 1)/C of the length.

    Equal requests that start together stay together: an engine that batches prefills and decodes them in step, for ever, or does not, by
    chance (two modes a tenth apart in ITL and nearly a factor of two in TTFT, on Dynamo's mocker at concurrency 4 over two workers). A
    staggered first wave starts at all stages at once, which is what a server in use looks like.
    """
    return max(1, round(osl * (slot + 1) / concurrency))


def _first_s(requests: list[Request], warmup: int) -> float:
    """When the first measured request of a trace is due: a later turn of a conversation has no time of its own."""
    times = [request.at_s for request in requests if request.at_s is not None]
    measured = [request.at_s for request in requests[warmup:] if request.at_s is not None]
    return (measured or times or [0.0])[0]


def _trace_rate_per_s(requests: list[Request], traffic: Traffic) -> float:
    times = [request.at_s for request in requests if request.at_s is not None]
    span_s = (times[-1] - times[0]) / traffic.arrival.speedup if times else 0.0
    return len(requests) / span_s if span_s > 0 else 0.0


def _traced(units: Iterator[list[Request]], traffic: Traffic, *, first_s: float) -> Iterator[tuple[list[Request], int | None]]:
    for unit in units:
        at_s = unit[0].at_s
        if at_s is None:
            msg = f"request {unit[0].index} of the trace does not say when it is sent (at_s)"
            raise WorkloadError(msg)
        yield unit, trace_offset_ns(at_s, first_s=first_s, speedup=traffic.arrival.speedup)


def _made(units: Iterator[tuple[list[Request], int | None]], endpoint: Endpoint, traffic: Traffic) -> Iterator[Unit]:
    staggered = 0
    if traffic.arrival.closed:
        # Measured requests are asked as they come: where the warm-up is smaller than the first wave, the rest of the wave is not staggered.
        staggered = traffic.slots if traffic.arrival.ramp_s else min(traffic.slots, traffic.warmup_count)
    for number, (unit, offset_ns) in enumerate(units):
        if number < staggered:
            unit[0] = replace(unit[0], osl=staggered_osl(unit[0].osl, number, traffic.slots))
        yield Unit(asks=tuple(_ask(request, endpoint, traffic) for request in unit), offset_ns=offset_ns)


def _ask(request: Request, endpoint: Endpoint, traffic: Traffic) -> Ask:
    body = request_body(endpoint, request, traffic)
    return Ask(request=replace(request, content="", history=(), images=()), request_id=uuid.uuid4().hex, body=body)
