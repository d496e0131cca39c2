"""Synthetic courses of runs, and what a page draws of a session beside its report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.observation.run_columns import RequestColumns, RunColumns, SeriesColumn
from pytest_dynperf.observation.series import SeriesKind
from pytest_dynperf.report.drilldown import CaseDrilldown, Drilldown
from tests.fakes.session_reports import ITL, TTFT, a_distribution

if TYPE_CHECKING:
    from pytest_dynperf.report.session_report import SessionReport

REQUESTS, SECONDS = 200, 10.0
PEAK_S = 3.0
"""One request took this long, and must be seen however few points are drawn."""


def a_course(run: str = "run-1", *, requests: int = REQUESTS, fault: bool = False) -> RunColumns:
    """``requests`` evenly over ten seconds, TTFT around 30 ms; what two workers and a GPU said twice a second."""
    sent = tuple(round(index * SECONDS / requests, 6) for index in range(requests))
    first = tuple(at + 0.03 + 0.01 * math.sin(index) for index, at in enumerate(sent))
    peak = requests // 3
    first = (*first[:peak], sent[peak] + PEAK_S, *first[peak + 1 :])
    end = tuple(at + 0.2 for at in first)
    failed = tuple(int(index == requests // 2) for index in range(requests))
    asked = RequestColumns(sent_s=sent, first_s=first, end_s=end, tokens=(32,) * requests, failed=failed, measured=(1,) * requests)
    at = tuple(index / 2 for index in range(21))
    series = (
        *(
            SeriesColumn(
                id=ids.ENGINE_REQUESTS_RUNNING, source=f"worker-{n}", kind=SeriesKind.GAUGE, labels={}, at_s=at, values=(4.0 + n,) * 21
            )
            for n in (0, 1)
        ),
        SeriesColumn(id=ids.GPU_POWER, source="GPU-1", kind=SeriesKind.GAUGE, labels={"gpu": "0"}, at_s=at, values=(610.0,) * 21),
        *(
            (SeriesColumn(id=ids.FAULT_ACTIVE, source="fault", kind=SeriesKind.GAUGE, labels={}, at_s=(4.0, 6.0), values=(1.0, 0.0)),)
            if fault
            else ()
        ),
    )
    return RunColumns(run=run, duration_s=SECONDS, requests=asked, series=series)


def a_case_drilldown(*, requests: int = REQUESTS) -> CaseDrilldown:
    return CaseDrilldown(
        runs=tuple(a_course(f"run-{number}", requests=requests) for number in (1, 2, 3)),
        baseline={metric: (a_distribution(level),) for metric, level in ((ITL.metric, 0.0058), (TTFT.metric, 0.03))},
        baseline_name="20261120T030501Z-0a1b2c",
        files=tuple(f"series/suite/case/run-{number}.json.gz" for number in (1, 2, 3)),
    )


def a_drilldown(report: SessionReport, *, requests: int = REQUESTS) -> Drilldown:
    """The same for every case of ``report``."""
    return Drilldown(cases={result.case.name: a_case_drilldown(requests=requests) for result in report.results})
