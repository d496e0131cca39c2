"""A night on disk, judged by the real judge: baselines, then a session with a case of every outcome, and what was accepted after it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.proposal import binding_key, propose
from pytest_dynperf.baseline.store import read, write
from pytest_dynperf.measurement.measurement import Duet, Measurement, Pair
from pytest_dynperf.metrics.catalogue import MEANINGS
from pytest_dynperf.report.json_file import encode_session, to_text
from pytest_dynperf.run_directory import RunDirectory, write_atomically
from pytest_dynperf.verdict.confirmation import confirm
from pytest_dynperf.verdict.duet import confirm_by_duet
from pytest_dynperf.verdict.judge import invalid, judge
from pytest_dynperf.verdict.sequential import Step, next_step
from pytest_dynperf.verdict.terms import Terms
from tests.fakes.session_reports import (
    ITL,
    THROUGHPUT,
    a_case,
    a_measurement,
    a_report,
    a_result,
    a_run,
    an_environment,
    the_values,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_dynperf.metrics.definition import Meaning
    from pytest_dynperf.report.session_report import CaseResult, SessionReport
    from pytest_dynperf.scenario.case import Case

NIGHT = "20261121T030501Z"
EARLIER = tuple(f"202611{day:02d}T030000Z" for day in range(1, 11))
SCATTER = (1.0, 1.004, 0.997, 1.002, 0.995, 1.001, 0.999, 1.006, 0.998, 1.003)


def named(name: str, concurrency: int = 4) -> Case:
    return replace(a_case(concurrency), case_id=name)


def accepted(root: Path, case: Case, stamp: str, factor: float, *, session_id: str = "aaaaaa", host: str = "Intel Xeon") -> None:
    """One document of ``case``, ``factor`` slower than the first."""
    environment = replace(an_environment(), key={**an_environment().key, "cpu.model": host})
    document = propose(
        a_measurement(4, factor),
        case=case,
        environment=environment,
        key=binding_key(case, environment),
        session_id=session_id,
        stamp=stamp,
    )
    write(root, document)


def a_noisy_duet(factor: float, pairs: int = 10, *, scatter: float = 1.0) -> Duet:
    """Pairs whose two runs scatter each on its own, by a few thousandths times ``scatter``."""
    return Duet(
        pairs=tuple(
            Pair(
                candidate=a_run(f"pair-{number}-candidate", the_values(4, factor, SCATTER[number % 10] ** scatter)),
                control=a_run(f"pair-{number}-control", the_values(4, 1.0, SCATTER[(3 * number + 1) % 10] ** scatter)),
                candidate_first=number % 2 == 0,
            )
            for number in range(pairs)
        ),
        control="image registry.example/dynamo:1.4.1",
    )


def judged(
    case: Case,
    root: Path,
    measurement: Measurement,
    *,
    fresh: Measurement | None = None,
    duet: Duet | None = None,
    prior_sd: Mapping[str, float] | None = None,
    meanings: Mapping[str, Meaning] | None = None,
) -> CaseResult:
    """As a session judges: the first look, and what decides a suspect."""
    terms = Terms(meanings={**MEANINGS, **(meanings or {})}, prior_sd=prior_sd or {}, duet=duet is not None)
    environment = an_environment()
    key = binding_key(case, environment)
    found = read(root, suite=case.suite, case_id=case.case_id, key=key)
    verdict = judge(measurement, found, case.expectation, key=key, terms=terms)
    asked = next_step(verdict).step is not Step.ENOUGH
    if asked and duet is not None:
        verdict = confirm_by_duet(verdict, duet, case.expectation, documents=found.documents, terms=terms, final=True)
    elif asked and fresh is not None:
        verdict = confirm(verdict, fresh, found.documents, case.expectation, terms=terms)
    return replace(
        a_result(case=case),
        verdict=verdict,
        measurement=measurement,
        confirmation=fresh if asked and duet is None else None,
        duet=duet if asked else None,
        environment=environment,
        meanings=meanings or {},
        prior_sd=prior_sd or {},
        duet_possible=duet is not None,
    )


def every_way(root: Path) -> tuple[CaseResult, ...]:
    """Each outcome, and each way to it. ``root`` is filled with ten nights of baselines first."""
    normal, slow, fast, slightly = a_measurement(4), a_measurement(4, 1.2), a_measurement(4, 0.8), a_measurement(4, 1.022)
    names = ("unchanged", "improved", "suspect", "cleared", "regressed", "duet-regressed", "duet-cleared", "duet-open", "pooled", "failed")
    for name in names:
        for stamp, factor in zip(EARLIER, SCATTER, strict=True):
            accepted(root, named(name), stamp, factor)
    accepted(root, named("elsewhere"), EARLIER[0], 1.0, host="AMD EPYC")
    broken = Measurement(runs=(), discarded=normal.runs[:2], problems=("run-1: 3 of 30 requests failed",))
    gone = judged(named("failed"), root, slow)
    return (
        judged(named("unchanged"), root, normal),
        judged(named("improved"), root, fast),
        judged(named("suspect"), root, slow),
        judged(named("cleared"), root, slow, fresh=normal),
        judged(named("regressed"), root, slow, fresh=slow),
        judged(named("duet-regressed"), root, slow, duet=a_noisy_duet(1.2)),
        judged(named("duet-cleared"), root, slow, duet=a_noisy_duet(1.0)),
        judged(named("duet-open"), root, slow, duet=a_noisy_duet(1.022, pairs=5, scatter=8.0)),
        judged(named("pooled"), root, slightly, prior_sd={ITL.metric: 0.2, THROUGHPUT.metric: 0.2}),
        judged(named("elsewhere"), root, normal),
        judged(named("new"), root, normal),
        judged(named("broken"), root, broken),
        replace(gone, verdict=invalid(("suspect, and the fresh session could not be measured",), gone.case.expectation)),
    )


def a_night(root: Path, *results: CaseResult, stamp: str = NIGHT, session_id: str = "3f2a9c") -> SessionReport:
    return replace(a_report(*results), stamp=stamp, session_id=session_id, baseline_directory=str(root))


def written(directory: Path, report: SessionReport) -> Path:
    """The run directory of ``report`` below ``directory``."""
    run = RunDirectory(directory / f"{report.stamp}-{report.session_id}")
    write_atomically(run.session_json, to_text(encode_session(replace(report, run_directory=str(run.root)))))
    return run.root
