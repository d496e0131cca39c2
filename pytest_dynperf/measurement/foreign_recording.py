"""What another tool's requests give by our own formulas: one pass of the catalogue over its records."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_dynperf.measurement.run import cells_of
from pytest_dynperf.metrics.definition import RunFacts
from pytest_dynperf.observation.completeness import OVERLOAD_STATUSES, failure
from pytest_dynperf.observation.recording import Certificate, Recording
from pytest_dynperf.observation.request_record import FailureKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.measurement.foreign import Asked
    from pytest_dynperf.measurement.run import Cells
    from pytest_dynperf.observation.request_record import Failure, RequestRecord

UNKNOWN = Certificate(send_lag_p99_s=None, receive_lag_p99_s=None, mean_in_flight=None, coalesced_share=None, clock_step_s=0.0)

_WORDS = (
    ("timeout", FailureKind.TIMEOUT),
    ("timed out", FailureKind.TIMEOUT),
    ("cancel", FailureKind.CANCELLED),
    ("invalidinferenceresult", FailureKind.NO_TOKENS),
    ("never received a valid chunk", FailureKind.NO_TOKENS),
    ("payload", FailureKind.TRUNCATED),
    ("sse", FailureKind.ERROR_CHUNK),
    ("json", FailureKind.MALFORMED),
    ("connect", FailureKind.CONNECTION),
    ("disconnect", FailureKind.CONNECTION),
    ("oserror", FailureKind.CONNECTION),
)


def computed(records: Sequence[RequestRecord], *, duration_s: float, name: str, asked: Asked) -> Cells:
    """The catalogue over the measured records, in a window of ``duration_s`` from the first of them."""
    start_ns = min((record.sent_ns for record in records if record.measured and record.sent_ns is not None), default=0)
    recording = Recording(
        run=name,
        records=tuple(records),
        window_start_ns=start_ns,
        window_end_ns=start_ns + round(duration_s * 1e9),
        concurrency=asked.concurrency if asked.arrival.closed else None,
        certificate=UNKNOWN,
    )
    return cells_of(recording, RunFacts(gpu_count=None, objectives=asked.objectives))


def failure_of(*, status: int | None, kind: str, message: str) -> Failure:
    """An error of another tool as one of ours. By its status where it has one, else by the words of its type and text; what nobody
    foresaw counts as ``connection``: the request did not come to its end.
    """
    detail = f"{kind}: {message}" if kind else message
    lowered = f"{kind} {message}".lower()
    found = next((ours for word, ours in _WORDS if word in lowered), FailureKind.CONNECTION)
    if found is FailureKind.CANCELLED or status is None or not 400 <= status <= 599 or status == 499:
        return failure(found, detail)
    return failure(FailureKind.OVERLOADED if status in OVERLOAD_STATUSES else FailureKind.HTTP_STATUS, f"HTTP {status}: {detail}")


def tally(failures: Sequence[Failure]) -> dict[str, int]:
    """How often each kind occurs, the most frequent first."""
    return dict(Counter(failure.kind.value for failure in failures).most_common())
