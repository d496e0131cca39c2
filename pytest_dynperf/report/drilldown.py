"""What the page draws beside the report: the course of each run over time, and the distributions of the baseline. Plain values.

Whoever writes a page reads them from files and hands them in; without them the page is complete but for these drawings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.measurement.measurement import Distribution
    from pytest_dynperf.observation.run_columns import RunColumns


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDrilldown:
    """Of one case. ``runs`` in the order of measurement. ``baseline`` maps metric ids to the distributions of all runs of the newest
    baseline session that the case was compared with, which ``baseline_name`` names. ``files`` are those that ``runs`` were read from,
    relative to the page.
    """

    runs: tuple[RunColumns, ...] = ()
    baseline: Mapping[str, tuple[Distribution, ...]] = field(default_factory=dict)
    baseline_name: str = ""
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drilldown:
    """``cases`` by name (``suite/case_id``); a case that is not among them has nothing to draw."""

    cases: Mapping[str, CaseDrilldown] = field(default_factory=dict)

    def of(self, name: str) -> CaseDrilldown:
        """That of a case, empty where there is none."""
        return self.cases.get(name, CaseDrilldown())
