"""What a judgement rests on beside the measurement, the documents and the expectation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_dynperf.metrics.catalogue import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.metrics.definition import Meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """``meanings``: of every metric that may be judged, by id; a file's own where a file is judged. ``prior_sd``: by metric id, pooled over
    the platform's own history; stands in for :attr:`Meaning.prior_sd`. ``duet``: a control can run, so the screen may be stricter.
    """

    meanings: Mapping[str, Meaning] = field(default_factory=lambda: MEANINGS)
    prior_sd: Mapping[str, float] = field(default_factory=dict)
    duet: bool = False


CATALOGUE_TERMS = Terms()
