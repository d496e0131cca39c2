"""The value that every report is made from. It is plain data: ``session.json`` is its image, and reports can be made again from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pytest_dynperf.verdict.verdict import CellVerdict, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.environment import Environment
    from pytest_dynperf.measurement.measurement import Duet, Measurement, Pair, Run
    from pytest_dynperf.metrics.definition import Meaning
    from pytest_dynperf.report.section import Section
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.verdict.annotations import Annotations
    from pytest_dynperf.verdict.arm_parity import ArmParity
    from pytest_dynperf.verdict.suspicion import Suspicion
    from pytest_dynperf.verdict.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What came of one case. ``measurement`` is the first session of runs, ``confirmation`` the fresh one where a suspect asked for it.
    ``baseline_provenance`` is that of the newest baseline document. ``reproduce`` and ``accept`` are commands. ``records`` and ``logs`` are
    paths relative to the run directory. ``meanings`` of metrics, by id: what the file states where the result was read from one, and those
    of extensions; the catalogue stands behind it. ``duet`` holds the pairs where a control decided. ``suspicions`` of a regression, the
    strongest first. ``prior_sd`` and ``duet_possible`` are the terms that the case was judged on (``verdict.terms``): priors pooled over
    the platform's own history, by metric id, and whether a control could have run. ``part`` of the session in which it was measured: 1, and
    one more each time that a session that was cut short went on. ``parity`` holds the case against its reference arm.
    """

    case: Case
    node_id: str
    verdict: Verdict
    measurement: Measurement | None
    confirmation: Measurement | None
    environment: Environment | None
    baseline_provenance: Mapping[str, str]
    duration_s: float
    reproduce: str
    accept: str
    records: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    confirmed_by: str = ""
    meanings: Mapping[str, Meaning] = field(default_factory=dict)
    duet: Duet | None = None
    suspicions: tuple[Suspicion, ...] = ()
    prior_sd: Mapping[str, float] = field(default_factory=dict)
    duet_possible: bool = False
    part: int = 1
    parity: ArmParity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReport:
    """One invocation. ``missing`` lists the cases that were collected and not reported: such a session is incomplete. ``interrupted`` says
    by what it was cut short. ``seed`` makes the prompts again. ``accepted`` lists baseline files that were written (or would be, in a dry
    run), ``refused`` why one was not. ``resumed`` are the UTC stamps at which a session that was cut short went on, each the beginning of a
    part. ``sections`` are those of extensions. ``dry_run``: ``accepted`` are the files that would be written.
    """

    session_id: str
    stamp: str
    command: str
    seed: int
    platform: str
    simulated: bool
    results: tuple[CaseResult, ...]
    missing: tuple[str, ...]
    interrupted: str | None
    versions: Mapping[str, str]
    duration_s: float
    baseline_directory: str
    run_directory: str
    accepted: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    annotations: Annotations | None = None
    resumed: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    dry_run: bool = False

    @property
    def earlier(self) -> tuple[CaseResult, ...]:
        """The cases that were measured before the session last went on."""
        return tuple(result for result in self.results if result.part <= len(self.resumed))

    @property
    def complete(self) -> bool:
        """Whether every collected case was reported and nothing cut the session short."""
        return not self.missing and self.interrupted is None


def withheld(result: CaseResult) -> CaseResult:
    """``result`` as it may be published: an invalid run shows no value of a metric, and an invalid case shows none at all.

    Whoever reads a number uses it, whatever stands beside it. What shows why it is invalid stays: requests, errors, certificate, witness.
    """
    invalid = result.verdict.outcome is Outcome.INVALID
    verdict = replace(result.verdict, cells=tuple(_bare(cell) for cell in result.verdict.cells)) if invalid else result.verdict
    return replace(
        result,
        verdict=verdict,
        measurement=_withheld_measurement(result.measurement, invalid=invalid),
        confirmation=_withheld_measurement(result.confirmation, invalid=invalid),
        duet=_withheld_duet(result.duet, invalid=invalid),
        suspicions=tuple(suspicion for suspicion in result.suspicions if suspicion.cell is None) if invalid else result.suspicions,
    )


def _bare(cell: CellVerdict) -> CellVerdict:
    return CellVerdict(
        cell=cell.cell,
        outcome=cell.outcome,
        decisive=cell.decisive,
        tolerance=cell.tolerance,
        candidate=None,
        sessions=cell.sessions,
        reasons=cell.reasons,
    )


def _withheld_measurement(measurement: Measurement | None, *, invalid: bool) -> Measurement | None:
    if measurement is None:
        return None
    return replace(
        measurement,
        runs=tuple(_empty(run) if invalid or run.problems else run for run in measurement.runs),
        discarded=tuple(_empty(run) for run in measurement.discarded),
    )


def _withheld_duet(duet: Duet | None, *, invalid: bool) -> Duet | None:
    if duet is None:
        return None
    invalid = invalid or bool(duet.problems)
    return replace(
        duet,
        pairs=tuple(_withheld_pair(pair, invalid=invalid) for pair in duet.pairs),
        discarded=tuple(_withheld_pair(pair, invalid=True) for pair in duet.discarded),
    )


def _withheld_pair(pair: Pair, *, invalid: bool) -> Pair:
    candidate, control = (_empty(run) if invalid or run.problems else run for run in (pair.candidate, pair.control))
    return replace(pair, candidate=candidate, control=control)


def _empty(run: Run) -> Run:
    return replace(run, values={}, distributions={}, parts={})
