from __future__ import annotations

import math
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.report.chart import Chart, Series, _steps, draw, nice_ticks, swatch
from pytest_dynperf.report.interval_bar import extent_of, interval_axis, interval_bar
from pytest_dynperf.report.sweep import sweeps
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.session_reports import PER_GPU, a_case, a_measurement, a_result


def a_chart(*series: Series, doubling: bool = True) -> Chart:
    return Chart(title="T <b>", description="D & d", x_label="x", y_label="y", series=series, x_doubling=doubling)


def places(svg: str, kind: str) -> list[list[tuple[float, float]]]:
    lines = [node.get("points", "") for node in ET.fromstring(svg).iter("polyline") if node.get("class") == kind]
    return [[(float(pair.split(",")[0]), float(pair.split(",")[1])) for pair in line.split()] for line in lines]


def test_a_chart_is_well_formed_named_and_escaped() -> None:
    root = ET.fromstring(draw(a_chart(Series(label="s", style=0, points=((1, 2), (4, 3)))), anchor="a"))
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "a-t a-d"
    assert [root.findtext("title"), root.findtext("desc")] == ["T <b>", "D & d"]


def test_higher_values_are_drawn_higher_and_doublings_equally_far_apart() -> None:
    line = ((1.0, 10.0), (2.0, 20.0), (4.0, 40.0))
    ((a, b, c),) = places(draw(a_chart(Series(label="s", style=0, points=line, line=line)), anchor="a"), "median")
    assert a[1] > b[1] > c[1]
    assert b[0] - a[0] == pytest.approx(c[0] - b[0], abs=0.11)


def test_a_line_is_broken_where_a_value_is_missing() -> None:
    svg = draw(a_chart(Series(label="s", style=0, points=((1, 1),), baseline=((1, 1), (2, 2), None, (8, 3)))), anchor="a")
    pieces = places(svg, "baseline")
    assert [len(piece) for piece in pieces] == [2, 2]
    assert pieces[1][0][1] == pieces[1][1][1], "a single value is a short level line"


@pytest.mark.parametrize("style", range(8))
def test_marks_of_every_style_are_well_formed(style: int) -> None:
    ET.fromstring(swatch(style))
    ET.fromstring(draw(a_chart(Series(label="s", style=style, points=((1, 0),)), doubling=False), anchor="a"))


def test_a_chart_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="has no point"):
        draw(a_chart(Series(label="s", style=0, points=())), anchor="a")


@given(st.floats(1e-6, 1e9))
def test_ticks_reach_the_top_in_few_steps(top: float) -> None:
    ticks = nice_ticks(top)
    assert ticks[0] == 0
    assert ticks[-1] >= top * (1 - 1e-9)
    assert 3 <= len(ticks) <= 8


def bar(delta: float, interval: tuple[float, float], **changes: object) -> ET.Element:
    arguments: dict[str, object] = {"tolerance": 0.03, "limit": 0.05, "extent": 0.1, "kind": "regressed", "words": "ITL"} | changes
    return ET.fromstring(interval_bar(delta, interval, **arguments))  # type: ignore[arg-type]


def x_of(element: ET.Element, path: str, name: str) -> float:
    found = element.find(path)
    assert found is not None
    return float(found.get(name, "nan"))


def test_worse_is_drawn_to_the_right() -> None:
    zero = x_of(bar(0.04, (0.02, 0.06)), "line[@class='zero']", "x1")
    assert x_of(bar(0.04, (0.02, 0.06)), "circle", "cx") > zero
    assert x_of(bar(-0.04, (-0.06, -0.02)), "circle", "cx") < zero
    assert x_of(bar(0.0, (-0.02, 0.02)), "circle", "cx") == pytest.approx(zero)
    assert x_of(bar(0.04, (0.02, 0.06)), "line[@class='limit']", "x1") > zero


@pytest.mark.parametrize(("interval", "arrows"), [((0.02, 0.06), 0), ((0.02, 0.2), 1), ((-0.3, -0.05), 1), ((-0.3, 0.3), 2)])
def test_an_end_beyond_the_axis_is_an_arrow(interval: tuple[float, float], arrows: int) -> None:
    assert len(bar(0.0, interval).findall("polygon")) == arrows


def test_a_change_beyond_the_axis_has_no_dot_on_it() -> None:
    assert bar(0.5, (0.4, 0.6)).find("circle") is None
    assert len(bar(0.5, (0.4, 0.6)).findall("polygon")) == 1


def test_the_axis_is_common_bounded_and_named() -> None:
    assert extent_of([]) == pytest.approx(math.log(1.06))
    assert extent_of([(-0.1, 0.12)]) == pytest.approx(0.132)
    assert extent_of([(-5.0, 0.1)]) == pytest.approx(math.log(1.30))
    for extent in (extent_of([]), 0.132, math.log(1.30)):
        texts = [node.text for node in ET.fromstring(interval_axis(extent)).iter("text")]
        assert "worse →" in texts
        assert any(re.fullmatch(r"\d+ %", text or "") for text in texts)


def test_a_sweep_has_one_series_per_topology_and_points_per_run() -> None:
    results = [a_result(n, case=a_case(n, mode=mode)) for mode in ("agg", "disagg") for n in (4, 1, 16)]
    (sweep,) = sweeps(results)
    assert sweep.legend == (("agg", 0), ("disagg", 1))
    throughput, ttft, itl, frontier = sweep.charts
    assert [len(chart.series) for chart in sweep.charts] == [2, 2, 2, 2]
    assert [x for x, _ in throughput.series[0].points] == [1] * 3 + [4] * 3 + [16] * 3
    assert ttft.y_label == "TTFT p50, ms"
    first = a_measurement(1).runs[0].values[Cell("inter_token_latency.v1", "p50")]
    assert itl.series[0].points[0][1] == pytest.approx(first * 1e3), "shown in ms"
    assert [note[2] for note in frontier.series[0].notes] == ["c1", "c4", "c16"]
    assert frontier.y_label == "throughput, tok/s"


def test_throughput_is_shown_per_gpu_where_every_run_knows_its_gpus() -> None:
    results = []
    for n in (1, 4):
        result = a_result(n)
        assert result.measurement is not None
        runs = tuple(replace(run, values={**run.values, PER_GPU: 100.0 * n}, absent={}) for run in result.measurement.runs)
        results.append(replace(result, measurement=replace(result.measurement, runs=runs)))
    assert sweeps(results)[0].charts[3].y_label == "throughput, tok/s/GPU"


def test_no_sweep_where_there_is_one_concurrency_or_no_value() -> None:
    assert sweeps([a_result(4), a_result(4, case=a_case(4, mode="disagg"))]) == []
    assert sweeps([replace(a_result(n), measurement=None) for n in (1, 4)]) == []


def test_a_case_without_baseline_interrupts_the_baseline_line() -> None:
    (sweep,) = sweeps([a_result(1), a_result(4, Outcome.NO_BASELINE), a_result(16)])
    assert [point is None for point in sweep.charts[0].series[0].baseline] == [False, True, False]
    assert None not in sweep.charts[0].series[0].line


def test_between_two_places_of_the_frontier_nobody_came_higher_than_the_second() -> None:
    # On the page y grows downwards: 900 tok/s at 30 tok/s/user, then 400 at 60.
    assert 'points="30.0,10.0 30.0,60.0 60.0,60.0"' in _steps([(30.0, 10.0), (60.0, 60.0)])
