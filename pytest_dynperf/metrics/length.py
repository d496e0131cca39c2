"""Sequence lengths, as the server's usage states them: never counted in chunks. One value per successful measured request, in tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_dynperf.metrics.definition import MetricDefinition
from pytest_dynperf.metrics.success import successful
from pytest_dynperf.quantity import Direction, Unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_dynperf.observation.recording import Recording


def output_tokens(recording: Recording) -> NDArray[np.float64]:
    """completion_tokens, in the order of the records."""
    return np.array([r.completion_tokens for r in successful(recording) if r.completion_tokens is not None], dtype=np.float64)


def input_tokens(recording: Recording) -> NDArray[np.float64]:
    """prompt_tokens, chat template included, in the order of the records."""
    return np.array([r.prompt_tokens for r in successful(recording) if r.prompt_tokens is not None], dtype=np.float64)


OUTPUT_SEQUENCE_LENGTH = MetricDefinition(
    id="output_sequence_length.v1",
    unit=Unit.TOKENS,
    direction=Direction.NEITHER,
    formula="usage.completion_tokens per request",
    source="server usage; AIPerf output_sequence_length with --use-server-token-count",
    prior_sd=0.02,
    samples=output_tokens,
)
INPUT_SEQUENCE_LENGTH = MetricDefinition(
    id="input_sequence_length.v1",
    unit=Unit.TOKENS,
    direction=Direction.NEITHER,
    formula="usage.prompt_tokens per request, chat template included",
    source="server usage; AIPerf input_sequence_length with --use-server-token-count",
    prior_sd=0.02,
    samples=input_tokens,
)

DEFINITIONS = (OUTPUT_SEQUENCE_LENGTH, INPUT_SEQUENCE_LENGTH)
