"""A metric over sessions, drawn."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from pytest_dynperf.report.trend_line import Dot, trend_line


def drawn(values: list[float], *, changes: tuple[int, ...] = ()) -> ElementTree.Element:
    dots = [Dot(value=value, kind="regressed" if place == 1 else "unchanged", words=f"<{place}>") for place, value in enumerate(values)]
    return ElementTree.fromstring(trend_line(dots, words='a "metric" & <b>', changes=changes))


def test_a_dot_a_session_higher_values_higher_and_the_newest_larger() -> None:
    image = drawn([1.0, 2.0, 1.5], changes=(1,))
    circles = image.findall("circle")
    assert [circle.get("class") for circle in circles] == ["unchanged", "regressed", "unchanged"]
    heights = [float(circle.get("cy") or "") for circle in circles]
    assert heights[1] < heights[2] < heights[0]
    assert [circle.get("r") for circle in circles] == ["2.5", "2.5", "4"]
    assert [circle.findtext("title") for circle in circles] == ["<0>", "<1>", "<2>"]
    assert image.get("aria-label") == 'a "metric" & <b>'
    (change,) = image.findall("line")
    between = sorted(float(circles[place].get("cx") or "") for place in (0, 1))
    assert between[0] < float(change.get("x1") or "") < between[1]


def test_noise_does_not_look_like_mountains() -> None:
    heights = [float(circle.get("cy") or "") for circle in drawn([1.0, 1.001, 0.999]).findall("circle")]
    assert max(heights) - min(heights) < 5


@pytest.mark.parametrize("values", [[3.0], [0.0, 0.0], [2.0, 2.0, 2.0]])
def test_one_session_and_equal_ones_have_a_place(values: list[float]) -> None:
    for circle in drawn(values).findall("circle"):
        assert 0 < float(circle.get("cx") or "") < 420
        assert 0 < float(circle.get("cy") or "") < 72
