"""A document as the measurement that it was made from: what was accepted can be judged in the place of a candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.measurement.measurement import Measurement, Run
from pytest_dynperf.observation.recording import Certificate

if TYPE_CHECKING:
    from pytest_dynperf.baseline.document import Baseline

_NOT_KEPT = Certificate(send_lag_p99_s=None, receive_lag_p99_s=None, mean_in_flight=None, coalesced_share=None, clock_step_s=0.0)


def as_measurement(document: Baseline) -> Measurement:
    """Its runs, valid as they were when they were accepted. What a document does not keep (certificate, witness) is not there."""
    return Measurement(
        runs=tuple(
            Run(
                name=f"run-{number}",
                values=run.values,
                absent={},
                distributions=run.distributions,
                requests=run.requests,
                errors=run.errors,
                error_kinds={},
                duration_s=run.duration_s,
                certificate=_NOT_KEPT,
                witness={},
                parts=run.parts,
            )
            for number, run in enumerate(document.runs, start=1)
        )
    )
