"""Whether the frontend counted the requests that this run sent: a difference means that not all load was ours, or that not all of ours
went there. Worth a note, never a verdict: which requests a frontend counts, and when, is its own affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.metrics.series_ids import FRONTEND_REQUESTS
from pytest_dynperf.observation.request_record import FailureKind

if TYPE_CHECKING:
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.request_record import RequestRecord

_MAY_BE_UNCOUNTED = {FailureKind.CANCELLED, FailureKind.CONNECTION, FailureKind.TIMEOUT, FailureKind.DROPPED}
"""Ends of which the frontend may learn late, or never."""

SETTLING_NS = 500_000_000
"""A frontend counts a request when it has let go of it, which may be after its last byte."""


def disagreement(recording: Recording) -> str | None:
    """What to say, or ``None`` where the counts agree or the frontend states none. All readings count, not the window alone: the first lies
    before the first request, the last after the last one, so nothing needs to be interpolated.
    """
    counted = [series for series in recording.series if series.id == FRONTEND_REQUESTS and len(series.values) > 1]
    if not counted:
        return None
    found = round(sum(series.values[-1] - series.values[0] for series in counted))
    sent = sum(record.sent_ns is not None for record in recording.records)
    settled_ns = min(series.stamps_ns[-1] for series in counted) - SETTLING_NS
    surely = sum(_surely_counted(record, settled_ns) for record in recording.records)
    sources = ", ".join(series.source for series in counted)
    if found > sent:
        return f"{sources} counted {found} requests while this run sent {sent}: somebody else sent requests as well"
    if found < surely:
        return f"{sources} counted {found} requests while {surely} of this run came to their end: some went another way"
    return None


def _surely_counted(record: RequestRecord, settled_ns: int) -> bool:
    if record.sent_ns is None or record.end_ns is None or record.end_ns > settled_ns:
        return False
    return record.error is None or record.error.kind not in _MAY_BE_UNCOUNTED
