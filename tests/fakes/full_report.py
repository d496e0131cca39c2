"""A session in which every table of ``session.json`` has an entry."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.waiver import Waiver
from pytest_dynperf.report.section import Section
from pytest_dynperf.scenario.expectation import Parity
from pytest_dynperf.scenario.fault import Fault
from pytest_dynperf.verdict.annotations import Annotations
from pytest_dynperf.verdict.arm_parity import compare_arms
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.arms import answers
from tests.fakes.session_reports import ITL, a_report, a_result, decided_by_duet

if TYPE_CHECKING:
    from pytest_dynperf.report.session_report import SessionReport


def full_report() -> SessionReport:
    """Every table of the file has an entry."""
    result = decided_by_duet()
    waiver = Waiver(case="concurrency_sweep/*", reason="known", link="https://example.org/1", expires=datetime.date(2026, 12, 31))
    result = replace(result, verdict=replace(result.verdict, waiver=waiver, expired=(waiver,)))
    result = replace(result, case=replace(result.case, fault=Fault(inject="kill worker")))
    arms = compare_arms(
        answers(9), answers(9, wrong=[2]), Parity(reference="off", fixed=True, texts=True), name="c4-off", noise=answers(9, wrong=[4])
    )
    result = replace(result, parity=arms)
    annotations = Annotations(judged=3, shift=0.03, beyond_shift=((result.case.name, ITL),), survivors=((result.case.name, ITL),))
    section = Section(title="energy", paragraphs=("joules",), columns=("case", "J"), rows=(("c4", "12"),))
    report = a_report(a_result(4, Outcome.REGRESSED, factor=1.119), result)
    return replace(report, annotations=annotations, sections=(section,), dry_run=True)
