"""What was seen of one run: its requests, its window, the generator that made it and the services that answered.

The file of a recording (``records/<suite>/<case id>/<run>.jsonl``) has one JSON object per request with the field names of
:class:`~pytest_dynperf.observation.request_record.RequestRecord`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf.observation.request_record import RequestRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What the load generator says about itself. Values are ``None`` where they could not be had; validity decides what that means.

    ``send_lag_p99_s``: from the instant at which a request was due (closed loop: the end of the one before it) to its first byte handed to
    the kernel. ``receive_lag_p99_s``: user stamp minus kernel stamp over all reads. ``mean_in_flight``: time-mean of measured plus
    surrounding requests in flight over the window. ``cpu_s`` and ``run_delay_s``: CPU time used by the process over the window, and time it
    waited for a CPU (``/proc/self/schedstat``).
    """

    send_lag_p99_s: float | None
    receive_lag_p99_s: float | None
    mean_in_flight: float | None
    coalesced_share: float | None
    cpu_s: float | None
    run_delay_s: float | None
    clock_step_s: float
    """Largest change of CLOCK_REALTIME minus CLOCK_MONOTONIC over the phase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One run of a case.

    ``window_start_ns`` is the send instant of the first measured request, ``window_end_ns`` the end of the last measured one: the phase
    window that throughput divides by. ``records`` holds measured and unmeasured requests in order of their index.
    ``incidents`` are facts that forbid judging, found outside the requests (a service that went away, messages that did not move), in
    words for people. ``witness`` holds server-side counters over the window (``nats.in_msgs``: 1234).
    """

    run: str
    records: tuple[RequestRecord, ...]
    window_start_ns: int
    window_end_ns: int
    concurrency: int
    certificate: Certificate
    incidents: tuple[str, ...] = ()
    witness: dict[str, float] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        """Length of the phase window in seconds."""
        return (self.window_end_ns - self.window_start_ns) / 1e9

    @property
    def measured(self) -> tuple[RequestRecord, ...]:
        """The measured records alone, failed ones included."""
        return tuple(record for record in self.records if record.measured)
