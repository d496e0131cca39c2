"""What `dynperf load` says: one load, R runs of it, nothing compared. Made by ``session.load_once``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.measurement.measurement import Run
    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.scenario.expectation import Expectation
    from pytest_dynperf.scenario.traffic import Traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOverRuns:
    """One cell, in the unit of its metric. ``mean`` is that of the runs, ``run_cv`` their standard deviation (ddof 1) divided by it;
    ``None`` below two runs. Where a single run lacks the cell, ``mean`` is ``None`` and ``absent`` says why.
    """

    cell: Cell
    mean: float | None
    run_cv: float | None
    absent: str | None


OWN = "pytest-dynperf"
"""Our load generator; its version stands in ``software``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """``runs`` keep their values where ``problems`` forbid judging them: they are shown, with the reasons beside them.

    ``prompts`` says in words where the lengths of prompts come from, ``notes`` what of the server's own metrics could not be read.
    ``interrupted``: somebody ended it before its last run. ``generator`` is ``AIPerf 0.13.0`` where that made the requests; its lags and
    its ``processes`` are not known. ``ended`` says why a run that was begun is not among ``runs``.
    """

    endpoint: Endpoint
    traffic: Traffic
    expectation: Expectation
    seed: int
    processes: int | None
    prompts: str
    runs: tuple[Run, ...]
    cells: tuple[CellOverRuns, ...]
    stamp: str
    interrupted: bool = False
    generator: str = OWN
    ended: str | None = None
    notes: tuple[str, ...] = ()
    software: Mapping[str, str] = field(default_factory=dict)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why what was measured must not be judged; with the name of the run where there are several. Empty: it is valid."""
        several = len(self.runs) > 1
        found = tuple(f"{run.name}: {problem}" if several else problem for run in self.runs for problem in run.problems)
        if self.ended is not None:
            return (*found, self.ended)
        return found if self.runs else ("nothing was measured",)
