"""One accepted session of one case: what a baseline file holds. Schema 2."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.measurement.measurement import Distribution
    from pytest_dynperf.metrics.definition import Cell

SCHEMA = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRun:
    """One run of the accepted session; fields as in :class:`~pytest_dynperf.measurement.measurement.Run`. ``parts`` maps the id of a rate
    to its numerator and denominator; empty in what was written without it (schema 1).
    """

    values: Mapping[Cell, float]
    distributions: Mapping[str, Distribution]
    requests: int
    errors: int
    duration_s: float
    parts: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """``key`` binds comparability (environment key plus topology shape, workload hash, model); ``provenance`` explains.

    ``stamp`` is UTC, ``20261121T070501Z``. ``epoch`` grows when a regression is accepted, with its ``reason``; only the newest epoch of a
    case is compared with. ``units`` maps metric ids to unit symbols. ``unknown_metrics`` maps those ids that the catalogue does not know to
    direction and kind as the file states them, ``None`` where it does not.
    """

    suite: str
    case_id: str
    session_id: str
    stamp: str
    environment_name: str
    key: Mapping[str, str]
    provenance: Mapping[str, str]
    units: Mapping[str, str]
    runs: tuple[BaselineRun, ...]
    epoch: int = 0
    reason: str | None = None
    unknown_metrics: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """``20261121T070501Z-3f2a9c``: which session it is."""
        return f"{self.stamp}-{self.session_id}"
