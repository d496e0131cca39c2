"""What was seen of one run: its requests, its window, the generator that made it and the services that answered.

The file of a recording (``records/<suite>/<case id>/<run>.jsonl.gz``) has one JSON object per request with the field names of
:class:`~pytest_dynperf.observation.request_record.RequestRecord`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf.observation.request_record import RequestRecord
    from pytest_dynperf.observation.series import Series


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessUsage:
    """One load process over the window: CPU time used, and time for which its loop waited for a CPU (``/proc/thread-self/schedstat``)."""

    cpu_s: float | None
    run_delay_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What the load generator says about itself. Values are ``None`` where they could not be had; validity decides what that means.

    ``send_lag_p99_s``: from the instant at which a request was due (closed loop: the end of the one before it) to its first byte handed to
    the kernel. ``receive_lag_p99_s``: user stamp minus kernel stamp over all reads. ``loop_lag_p99_s`` and ``loop_lag_max_s``: how late a
    heartbeat of the event loop was. ``coalesced_share``: content chunks that share a read, and so a stamp, with an earlier one.
    ``uncertain_share``: those of them that were read after the loop had been held up, so that the kernel's stamp is that of the last one
    and the earlier ones may have come long before. ``mean_in_flight``: time-mean of measured plus surrounding requests in flight (of a
    workload of conversations: of conversations, pauses included) over the window. ``late_sends`` and ``dropped_sends`` count measured
    requests of an open loop that were sent more than 1 ms after their time, or not at all. ``achieved_rate_per_s`` and
    ``scheduled_rate_per_s``: measured sends, done and due, over the span of the schedule; ``None`` for a closed loop.
    ``processes``: one entry per load process.
    """

    send_lag_p99_s: float | None
    receive_lag_p99_s: float | None
    mean_in_flight: float | None
    coalesced_share: float | None
    clock_step_s: float
    """Largest change of CLOCK_REALTIME minus CLOCK_MONOTONIC over the phase."""
    processes: tuple[ProcessUsage, ...] = ()
    loop_lag_p99_s: float | None = None
    loop_lag_max_s: float | None = None
    uncertain_share: float | None = None
    late_sends: int = 0
    dropped_sends: int = 0
    achieved_rate_per_s: float | None = None
    scheduled_rate_per_s: float | None = None

    @property
    def cpu_s(self) -> float | None:
        """CPU time of all load processes over the window."""
        return _total([process.cpu_s for process in self.processes])

    @property
    def run_delay_s(self) -> float | None:
        """Time that the load processes waited for a CPU, together."""
        return _total([process.run_delay_s for process in self.processes])


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One run of a case.

    ``window_start_ns`` is the send instant of the first measured request, ``window_end_ns`` the end of the last measured one: the phase
    window that throughput divides by. ``records`` holds measured and unmeasured requests in order of their index.
    ``incidents`` are facts that forbid judging, found outside the requests (a service that went away, messages that did not move), in
    words for people. ``witness`` holds server-side counters over the window (``nats.in_msgs``: 1234), ``series`` what the services' own
    metrics said before, during and after it. ``concurrency`` is ``None`` in an open loop.
    """

    run: str
    records: tuple[RequestRecord, ...]
    window_start_ns: int
    window_end_ns: int
    concurrency: int | None
    certificate: Certificate
    incidents: tuple[str, ...] = ()
    witness: dict[str, float] = field(default_factory=dict)
    series: tuple[Series, ...] = ()

    @property
    def duration_s(self) -> float:
        """Length of the phase window in seconds."""
        return (self.window_end_ns - self.window_start_ns) / 1e9

    @property
    def measured(self) -> tuple[RequestRecord, ...]:
        """The measured records alone, failed ones included."""
        return tuple(record for record in self.records if record.measured)


def _total(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
