from __future__ import annotations

from dataclasses import replace

from pytest_dynperf.report.chart import draw
from pytest_dynperf.report.spread import spread
from tests.fakes.session_reports import ITL, a_distribution


def test_a_line_a_run_and_medians_of_both_sides() -> None:
    found = spread(ITL.metric, "ITL", [a_distribution(level) for level in (0.006, 0.0062, 0.0061)], [a_distribution(0.005)], {})
    assert found is not None
    assert [bool(series.line) for series in found.chart.series] == [False, True, True, True]
    assert found.percentiles == (("p50", "5.00 ms", "6.10 ms"), ("p90", "5.50 ms", "6.71 ms"))
    drawing = draw(found.chart, anchor="a")
    assert drawing.count('class="median"') == 3
    assert drawing.count('class="baseline"') == 1


def test_a_line_ends_at_p99_where_there_is_one_else_at_the_maximum() -> None:
    whole = spread(ITL.metric, "ITL", [a_distribution(0.006)], (), {})
    assert whole is not None
    assert whole.chart.series[0].line[-1] == (0.006 * 1.3 * 1e3, 100.0)
    tailed = replace(a_distribution(0.006), percentiles={"p50": 0.006, "p99": 0.008, "p99.9": 0.5})
    cut = spread(ITL.metric, "ITL", [tailed], (), {})
    assert cut is not None
    assert cut.chart.series[0].line[-1] == (8.0, 99.0)
    assert ("p99.9", "–", "500 ms") in cut.percentiles
    assert not cut.has_baseline


def test_without_a_distribution_now_there_is_nothing() -> None:
    assert spread(ITL.metric, "ITL", (), [a_distribution(0.005)], {}) is None
