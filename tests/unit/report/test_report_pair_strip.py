from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dynperf.report.pair_strip import pair_strip

if TYPE_CHECKING:
    from collections.abc import Sequence


def drawn(places: Sequence[float], *, tolerance: float = 0.03) -> ET.Element:
    differences = [(place, f"pair {number}") for number, place in enumerate(places)]
    return ET.fromstring(pair_strip(differences, tolerance=tolerance, tolerance_text="3 %", kind="regressed", words="W <b>"))


def dots(svg: ET.Element) -> list[tuple[float, float]]:
    return [(float(node.get("cx", "")), float(node.get("cy", ""))) for node in svg.iter("circle")]


def lines(svg: ET.Element, kind: str) -> list[float]:
    return [float(node.get("x1", "")) for node in svg.iter("line") if node.get("class") == kind]


def test_one_dot_a_pair_from_the_top_worse_to_the_right_of_zero() -> None:
    svg = drawn([0.05, -0.02, 0.01])
    (zero,) = lines(svg, "zero")
    (worse, best, middle) = dots(svg)
    assert worse[0] > middle[0] > zero > best[0]
    assert worse[1] < best[1] < middle[1]
    assert svg.get("role") == "img"
    assert svg.findtext("title") == "W <b>"


def test_the_tolerance_is_a_line_on_either_side() -> None:
    svg = drawn([0.029, 0.031])
    low, high = lines(svg, "tolerance")
    (zero,) = lines(svg, "zero")
    inside, outside = dots(svg)
    assert zero - low == pytest.approx(high - zero, abs=0.11)
    assert inside[0] < high < outside[0]


def test_one_that_is_far_out_is_an_arrow_and_does_not_squeeze_the_others() -> None:
    calm = dots(drawn([0.05] * 10))
    far = drawn([0.05] * 9 + [2.0])
    assert len(dots(far)) == 9
    assert len(list(far.iter("polygon"))) == 1
    assert dots(far)[0] == calm[0]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20), st.floats(0, 0.3))
def test_every_pair_is_on_the_drawing(places: list[float], tolerance: float) -> None:
    svg = drawn(places, tolerance=tolerance)
    assert len(dots(svg)) + len(list(svg.iter("polygon"))) == len(places)
    width, height = (float(svg.get("viewBox", "").split()[index]) for index in (2, 3))
    assert all(0 <= x <= width and 0 <= y <= height for x, y in dots(svg))


def test_nothing_is_not_drawn() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        drawn([])
