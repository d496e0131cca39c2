"""What became of drafted tokens. Source: the engines' counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.metrics.over_window import increase, of_id, ratio, total
from pytest_dynperf.metrics.service_metric import ONE_POINT, definition, parts_of, rate
from pytest_dynperf.quantity import Absent, Direction, Unit

if TYPE_CHECKING:
    from pytest_dynperf.metrics.definition import MetricDefinition, RunFacts
    from pytest_dynperf.metrics.service_metric import Parts
    from pytest_dynperf.observation.recording import Recording

POSITIONS = 5
"""Positions of a draft that have a metric of their own; engines draft three to five tokens as a rule."""


def acceptance_length(recording: Recording, _facts: RunFacts) -> float | Absent:
    """1 + accepted tokens / drafts, in tokens per step."""
    accepted = ratio(recording, ids.ENGINE_ACCEPTED_TOKENS, ids.ENGINE_DRAFTS)
    return accepted if isinstance(accepted, Absent) else 1 + accepted


def accepted_at(position: int) -> Parts:
    """Accepted tokens at ``position`` (from 1; engines count from 0), and drafts. Absent where no draft was so long."""

    def parts(recording: Recording, _facts: RunFacts) -> tuple[float, float] | Absent:
        found = of_id(recording, ids.ENGINE_ACCEPTED_AT_POSITION)
        if isinstance(found, Absent):
            return found
        here = [series for series in found if dict(series.labels).get("position") == str(position - 1)]
        if not here:
            return Absent(f"no engine drafts {position} tokens")
        accepted = 0.0
        for series in here:
            part = increase(series, recording.window_start_ns, recording.window_end_ns)
            if isinstance(part, Absent):
                return part
            accepted += part.value
        drafts = total(recording, ids.ENGINE_DRAFTS)
        if isinstance(drafts, Absent):
            return drafts
        return (accepted, drafts.value) if drafts.value > 0 else Absent(f"{ids.ENGINE_DRAFTS} did not rise within the window")

    return parts


def _at(position: int) -> MetricDefinition:
    return rate(
        f"speculation_acceptance_rate_at_{position}",
        formula=f"Δ tokens accepted at position {position} of a draft / Δ drafts, shorter ones included",
        source="vllm:spec_decode_num_accepted_tokens_per_pos_total, vllm:spec_decode_num_drafts_total",
        parts=accepted_at(position),
        prior_sd=ONE_POINT,
    )


DEFINITIONS = (
    rate(
        "speculation_acceptance_rate",
        formula="Δ accepted tokens / Δ drafted tokens",
        source="vllm:spec_decode_num_accepted_tokens_total, vllm:spec_decode_num_draft_tokens_total",
        parts=parts_of(ids.ENGINE_ACCEPTED_TOKENS, ids.ENGINE_DRAFT_TOKENS),
        prior_sd=ONE_POINT,
    ),
    definition(
        "speculation_acceptance_length",
        Unit.TOKENS,
        Direction.HIGHER_IS_BETTER,
        formula="1 + Δ accepted tokens / Δ drafts",
        source="vllm:spec_decode_num_accepted_tokens_total, vllm:spec_decode_num_drafts_total",
        value=acceptance_length,
    ),
    *(_at(position) for position in range(1, POSITIONS + 1)),
)
