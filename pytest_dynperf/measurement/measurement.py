"""The result of measuring one case: one value per cell and run, everything that the judge may see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.observation.recording import Certificate
    from pytest_dynperf.quantity import Absent


MINIMUM_RUNS = 3
"""The run is the statistical unit: a session with fewer cannot be judged and cannot become a baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Of one metric within one run, in the metric's unit: enough to apply every rule again. ``sd`` is the standard deviation (ddof 0, as
    AIPerf states it), ``None`` in what was written without it. ``sd_log`` is that of the natural logarithms (ddof 1), ``None`` below two
    positive values. ``percentiles`` maps ``p1 p5 p10 p25 p50 p75 p90 p95 p99 p99.9`` to the linear percentile; p95 and above are left out
    where there are too few values.
    """

    n: int
    mean: float
    sd_log: float | None
    minimum: float
    maximum: float
    percentiles: Mapping[str, float]
    sd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run, summarised. ``problems`` (words for people) make it invalid; an invalid run has no values. ``notes`` are worth knowing and
    forbid nothing: metrics of a service that could not be read, say. ``parts`` maps the id of a rate to its numerator and denominator.
    """

    name: str
    values: Mapping[Cell, float]
    absent: Mapping[Cell, Absent]
    distributions: Mapping[str, Distribution]
    requests: int
    errors: int
    error_kinds: Mapping[str, int]
    duration_s: float
    certificate: Certificate
    witness: Mapping[str, float]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    parts: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """R valid runs of a case, and the invalid ones that were repeated. ``problems`` make the whole measurement invalid."""

    runs: tuple[Run, ...]
    discarded: tuple[Run, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One run of each arm with the same prompts, one right after the other. A pair with a problem in either run takes no part."""

    candidate: Run
    control: Run
    candidate_first: bool

    @property
    def problems(self) -> tuple[str, ...]:
        """Those of both runs, each with the arm it belongs to."""
        arms = (("candidate", self.candidate), ("control", self.control))
        return tuple(f"{arm}: {problem}" for arm, run in arms for problem in run.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duet:
    """Pairs of candidate and control, in the order of measurement. ``control`` says in words what the candidate was compared with.

    ``problems`` forbid judging the duet as a whole; ``discarded`` are pairs that were invalid and repeated. ``layout`` is ``side by side``
    (both deployed throughout) or ``blocks`` (one at a time, in the order ABBA).
    """

    pairs: tuple[Pair, ...]
    control: str
    layout: str = "side by side"
    control_provenance: Mapping[str, str] = field(default_factory=dict)
    discarded: tuple[Pair, ...] = ()
    problems: tuple[str, ...] = ()
