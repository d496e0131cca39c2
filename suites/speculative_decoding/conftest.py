"""Drafts of one model with more and more noise must be accepted less and less: what no arm can say of itself."""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf import Cell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_dynperf import Case
    from pytest_dynperf.measurement.measurement import Measurement

RATE = Cell("speculation_acceptance_rate.v1", "value")
BY_NOISE = ("draft-model", "draft-noise-5", "draft-noise-10")
APART = 0.1
"""Ten points at least: what noise is made for."""


def disorder(accepted: Mapping[str, float]) -> str | None:
    """Why the arms are not in order; ``None`` where they are, as far as they have been measured."""
    known = [(arm, accepted[arm]) for arm in BY_NOISE if arm in accepted]
    for (cleaner, more), (noisier, less) in pairwise(known):
        if less > more - APART:
            return f"{noisier} is accepted at {less:.1%} and {cleaner} at {more:.1%}: it must be {APART:.0%} less at least"
    return None


@pytest.fixture(scope="session")
def falls_with_noise() -> Callable[[Case, Measurement], None]:
    """Called for each case that was measured and judged; compares those of one process."""
    points: dict[str, dict[str, float]] = {}

    def look(case: Case, measurement: Measurement) -> None:
        if case.platform != "cpu" or case.arm not in BY_NOISE:
            return  # elsewhere the arm draft-model drafts with another model
        accepted = points.setdefault(case.point, {})
        accepted[case.arm] = median(run.values[RATE] for run in measurement.runs)
        found = disorder(accepted)
        assert found is None, found

    return look
