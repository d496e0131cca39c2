"""Goodput: the requests that a user would call good, divided by the phase window. One value per run."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from pytest_dynperf.metrics.definition import MetricDefinition
from pytest_dynperf.metrics.latency import effective_of, first_token_of, inter_token_of, request_of
from pytest_dynperf.metrics.success import successful
from pytest_dynperf.metrics.throughput import flaw
from pytest_dynperf.quantity import Absent, Direction, Unit

if TYPE_CHECKING:
    from pytest_dynperf.metrics.definition import RunFacts
    from pytest_dynperf.metrics.objectives import Objectives
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.request_record import RequestRecord

_VALUE_OF = {
    "time_to_first_token_s": first_token_of,
    "inter_token_latency_s": inter_token_of,
    "request_latency_s": request_of,
    "effective_latency_s": effective_of,
}
"""What each objective bounds."""


def stated(objectives: Objectives) -> dict[str, float]:
    """The objectives that are stated, by name."""
    bounds = {field.name: getattr(objectives, field.name) for field in fields(objectives)}
    return {name: bound for name, bound in bounds.items() if bound is not None}


def meets(record: RequestRecord, objectives: Objectives) -> bool:
    """Whether a successful request meets every stated objective. One without the value that a bound is about does not meet it, except for
    the inter-token latency of a single token: nothing was waited for.
    """
    for name, bound in stated(objectives).items():
        value = _VALUE_OF[name](record)
        if value is None and name == "inter_token_latency_s" and record.completion_tokens == 1:
            continue
        if value is None or value > bound:
            return False
    return True


def good_requests_per_second(recording: Recording, facts: RunFacts) -> float | Absent:
    """Successful measured requests that meet every stated objective / phase window, in requests/s.

    Absent where no objective is stated, and where nothing succeeded; 0 where requests succeeded and none was good.
    """
    if not stated(facts.objectives):
        return Absent("no objective is stated (expect.objectives)")
    if (missing := flaw(recording)) is not None:
        return missing
    return sum(meets(record, facts.objectives) for record in successful(recording)) / recording.duration_s


GOODPUT = MetricDefinition(
    id="goodput.v1",
    unit=Unit.REQUESTS_PER_SECOND,
    direction=Direction.HIGHER_IS_BETTER,
    formula="successful measured requests that meet every objective of expect.objectives / phase window",
    source="load generator and server usage; AIPerf goodput",
    prior_sd=0.02,
    value=good_requests_per_second,
)

DEFINITIONS = (GOODPUT,)
