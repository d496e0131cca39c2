"""Results of the parts of judging that go beyond one comparison: pairs, rates, counts, waivers, suspicions, a shift of everything."""

from __future__ import annotations

import datetime
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.waiver import Waiver
from pytest_dynperf.measurement.measurement import Duet, Pair
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.verdict.annotations import Annotations
from pytest_dynperf.verdict.suspicion import Suspicion
from pytest_dynperf.verdict.verdict import CellVerdict, Means, Outcome, Scale
from tests.fakes.session_reports import ITL, THROUGHPUT, a_report, a_result, a_run, the_values

if TYPE_CHECKING:
    from pytest_dynperf.report.session_report import CaseResult, SessionReport

ERROR_RATE = Cell("request_error_rate.v1", "value")
HIT_RATE = Cell("prefix_cache_hit_rate.v1", "value")
PREEMPTIONS = Cell("server_preemptions.v1", "value")
CONTROL = "the same case, run by /opt/dynamo-1.4.1/bin/python"
FACTORS = (1.05, 1.062, 1.055, 1.071, 1.049, 1.064, 1.058, 1.40, 1.06, 1.057)
"""Candidate against control, pair by pair; one of them is far out."""


def a_waiver(reason: str = "the new sampler costs 12 %, agreed", *, expires: str = "2026-12-31", metric: str | None = None) -> Waiver:
    return Waiver(
        case="concurrency_sweep/*",
        reason=reason,
        link="https://tracker.example/41",
        expires=datetime.date.fromisoformat(expires),
        metric=metric,
    )


def waived(concurrency: int = 4, waiver: Waiver | None = None) -> CaseResult:
    result = a_result(concurrency, Outcome.REGRESSED, factor=1.119)
    return replace(result, verdict=replace(result.verdict, waiver=waiver or a_waiver()))


def expired(outcome: Outcome = Outcome.UNCHANGED, concurrency: int = 16) -> CaseResult:
    result = a_result(concurrency, outcome, factor=1.119 if outcome is Outcome.REGRESSED else 1.0)
    return replace(result, verdict=replace(result.verdict, expired=(a_waiver("known since the spring", expires="2026-01-31"),)))


def a_duet(control: str = CONTROL, *, layout: str = "side by side") -> Duet:
    pairs = tuple(
        Pair(
            candidate=a_run(f"pair-{number}-candidate", the_values(4, factor)),
            control=a_run(f"pair-{number}-control", the_values(4, 1.0)),
            candidate_first=number % 2 == 0,
        )
        for number, factor in enumerate(FACTORS, 1)
    )
    return Duet(
        pairs=pairs,
        control=control,
        layout=layout,
        control_provenance={"dynamo.version": "1.4.0", "commit": "0a1b2c3", "host": "perf-1"},
        discarded=(replace(pairs[0], candidate=a_run("pair-0-candidate", {}, problems=("30 of 30 requests failed",))),),
    )


SUSPICIONS = (
    Suspicion(
        what="decode", sentence="the time between tokens grew more than any other stage", cell=ITL, before=5.84e-3, now=6.53e-3, delta=0.112
    ),
    Suspicion(what="queue", sentence="requests waited longer before they were scheduled"),
    Suspicion(
        what="recorded change", sentence="this differs from the baseline", name="dynamo.version", text_before="1.4.1", text_now="1.4.2"
    ),
    Suspicion(what="client", sentence="the load generator waited for CPU"),
)


def by_duet(outcome: Outcome = Outcome.REGRESSED, *, pairs: int = 10, duet: Duet | None = None) -> CaseResult:
    """ITL decided by pairs, the rest as the first session saw it."""
    result = a_result(4, outcome, factor=1.06)
    duet = duet or a_duet()
    cells = tuple(_paired(cell, duet, pairs) if cell.cell == ITL else _calm(cell) for cell in result.verdict.cells)
    return replace(
        result,
        verdict=replace(
            result.verdict, cells=cells, means=Means.DUET, reasons=(f"ITL p50 is 5.9 % longer than in the control, {pairs} pairs",)
        ),
        confirmation=None,
        confirmed_by="",
        duet=duet,
        duet_possible=True,
        suspicions=SUSPICIONS,
    )


def _paired(cell: CellVerdict, duet: Duet, pairs: int) -> CellVerdict:
    found = duet.pairs[:pairs]
    return replace(
        cell,
        baseline=5.84e-3,
        values=tuple(pair.candidate.values[ITL] for pair in found),
        control_values=tuple(pair.control.values[ITL] for pair in found),
        pairs=pairs,
        delta=math.log(1.059),
        interval=(math.log(1.048), math.log(1.07)),
        limit=0.015,
        mde=0.031,
    )


def _calm(cell: CellVerdict) -> CellVerdict:
    return replace(cell, outcome=Outcome.UNCHANGED, suspect=False)


def of_rates() -> CaseResult:
    """A hit rate on log odds, an error rate in points, a count that must be equal."""
    result = a_result(4, Outcome.REGRESSED)
    log_odds = CellVerdict(
        cell=HIT_RATE,
        outcome=Outcome.REGRESSED,
        decisive=True,
        tolerance=0.02,
        candidate=0.619,
        values=(0.61, 0.619, 0.625),
        baseline=0.65,
        delta=0.1336,
        interval=(0.0953, 0.1717),
        limit=0.087,
        mde=0.13,
        sessions=5,
        scale=Scale.LOG_ODDS,
        run_cv=0.012,
    )
    points = CellVerdict(
        cell=ERROR_RATE,
        outcome=Outcome.REGRESSED,
        decisive=True,
        tolerance=0.01,
        candidate=0.034,
        values=(0.03, 0.034, 0.036),
        baseline=0.003,
        delta=0.031,
        interval=(0.022, 0.040),
        limit=0.012,
        mde=0.0045,
        sessions=5,
        scale=Scale.POINTS,
    )
    count = CellVerdict(
        cell=PREEMPTIONS,
        outcome=Outcome.REGRESSED,
        decisive=True,
        tolerance=0.0,
        candidate=5.0,
        values=(5.0, 5.0, 5.0),
        baseline=3.0,
        delta=2.0,
        limit=0.0,
        sessions=5,
        scale=Scale.POINTS,
    )
    return replace(result, verdict=replace(result.verdict, cells=(log_odds, points, count)))


def shifted() -> SessionReport:
    """Four cases, all slower; two regressed, and one of them by more than the session as a whole."""
    results = (
        a_result(1, factor=1.04),
        a_result(4, Outcome.REGRESSED, factor=1.2),
        a_result(16, Outcome.REGRESSED, factor=1.045),
        a_result(64, factor=1.04),
    )
    beyond = ((results[1].case.name, ITL), (results[1].case.name, THROUGHPUT))
    return replace(a_report(*results), annotations=Annotations(judged=16, shift=math.log(1.041), beyond_shift=beyond, survivors=beyond[:1]))


def underpowered() -> SessionReport:
    """Two decisive cells of two cases could have hidden something: a latency, and a throughput."""
    first, second = a_result(1), a_result(4)
    return a_report(_weak(first, ITL, 0.075), _weak(second, THROUGHPUT, 0.16))


def _weak(result: CaseResult, cell: Cell, mde: float) -> CaseResult:
    cells = tuple(replace(one, underpowered=True, mde=mde) if one.cell == cell else one for one in result.verdict.cells)
    return replace(result, verdict=replace(result.verdict, cells=cells))


def of_everything() -> SessionReport:
    """One of each, as on a bad night."""
    open_case = by_duet(Outcome.INCONCLUSIVE, pairs=10)
    case = replace(open_case.case, case_id="agg-isl256-osl32-c8")
    report = shifted()
    rates = of_rates()
    return replace(
        report,
        results=(
            *report.results,
            replace(waived(32), case=replace(waived(32).case, case_id="agg-isl256-osl32-c32")),
            expired(concurrency=128),
            replace(by_duet(), case=replace(by_duet().case, case_id="disagg-isl256-osl32-c4")),
            replace(open_case, case=case),
            replace(rates, case=replace(rates.case, case_id="agg-isl256-osl32-c2")),
            _weak(a_result(256), ITL, 0.15),
        ),
    )
