"""Which requests count: a failure is never a latency, and what was sent around the measured phase is never measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.request_record import RequestRecord


def successful(recording: Recording) -> tuple[RequestRecord, ...]:
    """Measured records without an error, in the order of the recording."""
    return tuple(record for record in recording.records if record.measured and record.error is None)
