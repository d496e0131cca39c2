"""A sheet of charts is one file that needs nothing beside it."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from pytest_dynperf.report.chart import SERIES_STYLES, Chart, Series
from pytest_dynperf.report.chart_sheet import draw_sheet

SVG = "{http://www.w3.org/2000/svg}"


def a_chart(title: str, style: int = 0) -> Chart:
    series = Series(label="s", style=style, points=(), line=((0.0, 0.0), (1.0, 2.0)))
    return Chart(title=title, description="d", x_label="x", y_label="y", series=(series,))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_chart_has_a_place_of_its_own_inside_of_the_sheet(count: int) -> None:
    root = ET.fromstring(draw_sheet("A <b> & c", [a_chart(f"chart {number}") for number in range(count)]))
    titles = [node.text for node in root.findall(f"{SVG}text")]
    assert titles == ["A <b> & c", *(f"chart {number}" for number in range(count))]
    frames = [tuple(float(node.get(name, "nan")) for name in ("x", "y", "width", "height")) for node in root.findall(f"{SVG}svg")]
    assert len({frame[:2] for frame in frames}) == count
    width, height = (float(root.get(name, "nan")) for name in ("width", "height"))
    assert all(x >= 0 and y >= 0 and x + wide <= width and y + high <= height for x, y, wide, high in frames)
    assert len({node.get("aria-labelledby") for node in root.iter(f"{SVG}svg") if node.get("role")}) == count


def test_every_class_has_its_colours_in_the_file() -> None:
    text = draw_sheet("t", [a_chart("c", style) for style in range(SERIES_STYLES)])
    style = re.findall(r"<style>(.*?)</style>", text)[0]
    for name in set(re.findall(r'class="([a-z0-9]+)"', text)) - {"chart"}:
        assert re.search(rf"\.{name}\b", style), name
    assert "&" not in style
    assert "var(" not in text


def test_a_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="has no chart"):
        draw_sheet("t", [])
