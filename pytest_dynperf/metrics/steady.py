"""The steady state of a closed loop: without the beginning and the end, where fewer requests are in flight than were asked for.

The steady window lies within the phase window, from the first to the last instant at which at least 95 % of the concurrency were in flight
(from send to end of a request, whatever became of it, surrounding ones included). Tokens count at the instant at which their chunk arrived,
also those of surrounding requests and of those that were in flight when the run was stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pytest_dynperf.metrics.definition import MetricDefinition
from pytest_dynperf.observation.request_record import FailureKind
from pytest_dynperf.quantity import Absent, Direction, Unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_dynperf.metrics.definition import RunFacts
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.request_record import RequestRecord

SHARE = 0.95
"""Of the concurrency, in flight at the ends of the window."""

LEAST = 0.5
"""Share of the phase that the window must cover."""

_NS_PER_S = 1e9


class Window(NamedTuple):
    """Both ends in nanoseconds, as the stamps, and the time-mean of requests in flight between them."""

    start_ns: int
    end_ns: int
    mean_in_flight: float

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return (self.end_ns - self.start_ns) / _NS_PER_S


def steady_window(recording: Recording) -> Window | Absent:
    """The steady window. Absent for an open loop, and where it would be shorter than half of the phase. Sorts all stamps once."""
    if recording.concurrency is None:
        return Absent("an open loop has no concurrency to be steady at")
    phase_ns = recording.window_end_ns - recording.window_start_ns
    if phase_ns <= 0:
        return Absent(f"the phase window is empty ({recording.duration_s} s)")
    stamps, in_flight = _levels(recording)
    full = np.flatnonzero((in_flight >= SHARE * recording.concurrency) & (np.diff(stamps) > 0))
    start_ns, end_ns = (int(stamps[full[0]]), int(stamps[full[-1] + 1])) if len(full) else (0, 0)
    if end_ns - start_ns < LEAST * phase_ns:
        return Absent(
            f"at least {SHARE:.0%} of {recording.concurrency} requests were in flight for {(end_ns - start_ns) / _NS_PER_S:.3g} s from the "
            f"first to the last time, under half of the phase ({recording.duration_s:.3g} s)"
        )
    inside = slice(full[0], full[-1] + 1)
    mean = float(np.average(in_flight[inside], weights=np.diff(stamps)[inside]))
    return Window(start_ns, end_ns, mean)


def _levels(recording: Recording) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Stamps from the start to the end of the phase, and the requests in flight from each one to the next."""
    start_ns, end_ns = recording.window_start_ns, recording.window_end_ns
    lives = [(r.sent_ns, end_ns if r.end_ns is None else r.end_ns) for r in recording.records if r.sent_ns is not None]
    sent = np.sort(np.array([life[0] for life in lives], dtype=np.int64))
    ended = np.sort(np.array([life[1] for life in lives], dtype=np.int64))
    edges = np.unique(np.concatenate([sent, ended, np.array([start_ns, end_ns], dtype=np.int64)]))
    stamps = edges[(edges >= start_ns) & (edges <= end_ns)]
    in_flight = np.searchsorted(sent, stamps[:-1], side="right") - np.searchsorted(ended, stamps[:-1], side="right")
    return stamps, in_flight


def _answered(record: RequestRecord) -> bool:
    """Whether its tokens count: it succeeded, or was stopped with the run."""
    return record.error is None or (not record.measured and record.error.kind is FailureKind.CANCELLED)


def steady_tokens_per_second(recording: Recording, _facts: RunFacts) -> float | Absent:
    """Output tokens whose chunk arrived within the steady window / its length, in tokens/s.

    A chunk holds the tokens that the server states for it, else OSL / chunks of its request, else (a request that was stopped has no
    usage) as many as the chunks of the others on average. Absent without a steady window, and where no request has usage.
    """
    window = steady_window(recording)
    if isinstance(window, Absent):
        return window
    answered = [record for record in recording.records if record.chunk_ns and _answered(record)]
    counted = [record for record in answered if record.completion_tokens is not None]
    chunks = sum(len(record.chunk_ns) for record in counted)
    if not chunks:
        return Absent("no successful request has usage")
    usual = sum(record.completion_tokens or 0 for record in counted) / chunks
    return sum(_tokens_within(record, window, usual) for record in answered) / window.duration_s


def _tokens_within(record: RequestRecord, window: Window, usual: float) -> float:
    stamps = np.array(record.chunk_ns, dtype=np.int64)
    within = (stamps > window.start_ns) & (stamps <= window.end_ns)
    if record.chunk_tokens is not None and len(record.chunk_tokens) == len(record.chunk_ns):
        return float(np.array(record.chunk_tokens)[within].sum())
    each = usual if record.completion_tokens is None else record.completion_tokens / len(record.chunk_ns)
    return each * int(within.sum())


def steady_requests_per_second(recording: Recording, _facts: RunFacts) -> float | Absent:
    """Successful requests, surrounding ones included, that ended within the steady window / its length, in requests/s."""
    window = steady_window(recording)
    if isinstance(window, Absent):
        return window
    ended = sum(
        record.error is None and record.end_ns is not None and window.start_ns < record.end_ns <= window.end_ns
        for record in recording.records
    )
    return ended / window.duration_s if ended else Absent("no request ended successfully within the steady window")


def steady_in_flight(recording: Recording, _facts: RunFacts) -> float | Absent:
    """Time-mean of requests in flight over the steady window."""
    window = steady_window(recording)
    return window if isinstance(window, Absent) else window.mean_in_flight


_WINDOW = "steady window: within the phase, from the first to the last instant with ≥ 95 % of the concurrency in flight"

STEADY_OUTPUT_TOKEN_THROUGHPUT = MetricDefinition(
    id="steady_output_token_throughput.v1",
    unit=Unit.TOKENS_PER_SECOND,
    direction=Direction.HIGHER_IS_BETTER,
    formula=f"output tokens that arrived within the steady window, those of surrounding requests included / its length; {_WINDOW}",
    source="load generator and server usage",
    prior_sd=0.02,
    value=steady_tokens_per_second,
)
STEADY_REQUEST_THROUGHPUT = MetricDefinition(
    id="steady_request_throughput.v1",
    unit=Unit.REQUESTS_PER_SECOND,
    direction=Direction.HIGHER_IS_BETTER,
    formula="successful requests that ended within the steady window, surrounding ones included / its length",
    source="load generator",
    prior_sd=0.02,
    value=steady_requests_per_second,
)
STEADY_CONCURRENCY = MetricDefinition(
    id="steady_concurrency.v1",
    unit=Unit.REQUESTS,
    direction=Direction.NEITHER,
    formula="time-mean of requests in flight over the steady window",
    source="load generator",
    prior_sd=0.02,
    value=steady_in_flight,
)

DEFINITIONS = (STEADY_OUTPUT_TOKEN_THROUGHPUT, STEADY_REQUEST_THROUGHPUT, STEADY_CONCURRENCY)
