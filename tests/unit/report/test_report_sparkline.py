from __future__ import annotations

from xml.etree import ElementTree as ET

from pytest_dynperf.report.sparkline import sparkline


def test_history_then_now_with_higher_values_higher() -> None:
    root = ET.fromstring(sparkline((5.0, 5.5, 5.2), 6.0, kind="regressed", words="3 sessions <"))
    (line,) = root.iter("polyline")
    heights = [float(point.split(",")[1]) for point in line.get("points", "").split()]
    assert heights[3] < heights[1] < heights[2] < heights[0]
    (dot,) = root.iter("circle")
    assert float(dot.get("cy", "")) == heights[3]
    assert (root.get("class"), root.findtext("title")) == ("spark regressed", "3 sessions <")


def test_noise_of_a_per_mille_is_flat() -> None:
    (line,) = ET.fromstring(sparkline((5.0, 5.005), 5.0, kind="unchanged", words="")).iter("polyline")
    heights = [float(point.split(",")[1]) for point in line.get("points", "").split()]
    assert max(heights) - min(heights) < 1


def test_without_history_there_is_nothing_and_without_now_no_dot() -> None:
    assert sparkline((), 5.0, kind="unchanged", words="") == ""
    assert "<circle" not in sparkline((5.0,), None, kind="invalid", words="")
