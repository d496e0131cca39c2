"""What a user loses when something breaks, and for how long. One value per run.

The instant of the fault is that of the series ``fault.active``. Where no fault was injected, what is counted from it is absent.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.metrics.definition import Kind, MetricDefinition
from pytest_dynperf.metrics.latency import effective_of
from pytest_dynperf.metrics.over_window import total
from pytest_dynperf.observation.request_record import FailureKind
from pytest_dynperf.quantity import Absent, Direction, Unit

if TYPE_CHECKING:
    from pytest_dynperf.metrics.definition import RunFacts
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.request_record import RequestRecord

IN_A_ROW = 10
"""Requests that must go well one after the other before service counts as recovered: one that slips through is no recovery."""

AS_BEFORE = 2.0
"""Times the median effective latency before the fault, within which a request goes well again."""

LEAST_BEFORE = 10
"""Requests that must have ended before the fault: what is normal is not known otherwise."""


def injected_ns(recording: Recording) -> int | Absent:
    """The instant at which the fault was injected (CLOCK_MONOTONIC)."""
    found = next((series for series in recording.series if series.id == ids.FAULT_ACTIVE and series.stamps_ns), None)
    return found.stamps_ns[0] if found is not None else Absent("no fault was injected into this run")


def recovery_s(recording: Recording, _facts: RunFacts) -> float | Absent:
    """From the fault to the end of the first of ten requests in a row, by the instants at which they were due, that all went well."""
    instant = injected_ns(recording)
    if isinstance(instant, Absent):
        return instant
    measured = sorted(recording.measured, key=lambda record: record.scheduled_ns)
    normal = _normal_s(measured, instant)
    if isinstance(normal, Absent):
        return normal
    since = [record for record in measured if record.scheduled_ns >= instant]
    for place, first in enumerate(since):
        row = since[place : place + IN_A_ROW]
        if len(row) == IN_A_ROW and all(_went_well(record, normal) for record in row) and first.chunk_ns:
            return (first.chunk_ns[-1] - instant) / 1e9
    return Absent(
        f"service did not recover within the run: after the fault, {IN_A_ROW} requests in a row never went well "
        f"({len(since)} were due, {sum(_went_well(record, normal) for record in since)} of them went well)"
    )


def _normal_s(measured: list[RequestRecord], instant_ns: int) -> float | Absent:
    ended = [record for record in measured if record.error is None and record.end_ns is not None and record.end_ns < instant_ns]
    latencies = [latency for record in ended if (latency := effective_of(record)) is not None]
    if len(latencies) < LEAST_BEFORE:
        return Absent(f"{len(latencies)} requests had ended before the fault, {LEAST_BEFORE} are needed to know what is normal")
    return median(latencies)


def _went_well(record: RequestRecord, normal_s: float) -> bool:
    latency = effective_of(record)
    return record.error is None and latency is not None and latency <= AS_BEFORE * normal_s


def stall_s(recording: Recording, _facts: RunFacts) -> float | Absent:
    """The largest gap between consecutive content chunks of one request that was under way at the fault or came after it."""
    instant = injected_ns(recording)
    if isinstance(instant, Absent):
        return instant
    gaps = [
        later - earlier
        for record in recording.measured
        for earlier, later in zip(record.chunk_ns, record.chunk_ns[1:], strict=False)
        if later >= instant
    ]
    return max(gaps) / 1e9 if gaps else Absent("no request gave two chunks after the fault")


def failures_of_hit(recording: Recording, _facts: RunFacts) -> tuple[float, float] | Absent:
    """Failed ones of the measured requests that were under way at the fault or came after it, and all of these."""
    instant = injected_ns(recording)
    if isinstance(instant, Absent):
        return instant
    hit = [record for record in recording.measured if record.end_ns is None or record.end_ns >= instant]
    if not hit:
        return Absent("no request was under way at the fault, and none came after it")
    return float(sum(record.error is not None for record in hit)), float(len(hit))


def hung_of_all(recording: Recording, _facts: RunFacts) -> tuple[float, float] | Absent:
    """Measured requests that ended at a deadline of the client, and all measured ones; of a run with a fault."""
    instant, measured = injected_ns(recording), recording.measured
    if isinstance(instant, Absent):
        return instant
    if not measured:
        return Absent("no request was measured")
    hung = sum(record.error is not None and record.error.kind is FailureKind.TIMEOUT for record in measured)
    return float(hung), float(len(measured))


def _failed_share(recording: Recording, facts: RunFacts) -> float | Absent:
    found = failures_of_hit(recording, facts)
    return found if isinstance(found, Absent) else found[0] / found[1]


def _hung_share(recording: Recording, facts: RunFacts) -> float | Absent:
    found = hung_of_all(recording, facts)
    return found if isinstance(found, Absent) else found[0] / found[1]


def migrations(recording: Recording, _facts: RunFacts) -> float | Absent:
    """Increase of the frontends' counter over the phase window."""
    found = total(recording, ids.FRONTEND_MIGRATIONS)
    return found if isinstance(found, Absent) else found.value


RECOVERY_TIME = MetricDefinition(
    id="fault_recovery_time.v1",
    unit=Unit.SECONDS,
    direction=Direction.LOWER_IS_BETTER,
    formula=(
        "fault → last content chunk of the first of 10 measured requests in a row (by the instants at which they were due, all after the "
        "fault) that succeeded within twice the median effective_latency of those that had ended before it; absent where there is none"
    ),
    source="load generator and the stamp of the injection",
    # What is waited for are leases, reconnects and polls: each has a period of its own, and the fault falls anywhere into it.
    prior_sd=0.2,
    value=recovery_s,
)
STALL = MetricDefinition(
    id="fault_stall.v1",
    unit=Unit.SECONDS,
    direction=Direction.LOWER_IS_BETTER,
    formula="largest gap between consecutive content chunks of one measured request that ends after the fault, failed requests included",
    source="load generator and the stamp of the injection",
    prior_sd=0.2,
    value=stall_s,
)
ERROR_RATE = MetricDefinition(
    id="fault_error_rate.v1",
    unit=Unit.RATIO,
    direction=Direction.LOWER_IS_BETTER,
    formula="failed measured requests that were under way at the fault or came after it / all of these",
    source="load generator and the stamp of the injection",
    prior_sd=0.2,
    kind=Kind.RATE,
    value=_failed_share,
    parts=failures_of_hit,
)
HUNG_RATE = MetricDefinition(
    id="hung_request_rate.v1",
    unit=Unit.RATIO,
    direction=Direction.LOWER_IS_BETTER,
    formula="measured requests that no answer and no error ended before a deadline of the client / measured requests",
    source="load generator: failures of kind timeout",
    prior_sd=0.2,
    kind=Kind.RATE,
    value=_hung_share,
    parts=hung_of_all,
)
MIGRATIONS = MetricDefinition(
    id="request_migrations.v1",
    unit=Unit.REQUESTS,
    direction=Direction.NEITHER,
    formula="Δ of migrations that the frontends began; a request counts each time, also where the limit then forbids it",
    source="Prometheus: dynamo_frontend_model_migration_total",
    prior_sd=0.04,
    kind=Kind.COUNT,
    value=migrations,
)

DEFINITIONS = (RECOVERY_TIME, STALL, ERROR_RATE, HUNG_RATE, MIGRATIONS)
