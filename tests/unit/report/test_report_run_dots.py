from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from pytest_dynperf.report.run_dots import run_dots


def test_every_value_is_a_dot_and_higher_values_stand_further_right() -> None:
    drawing = run_dots([("baseline", "before", (5.0, 5.1), 5.05), ("now", "regressed", (6.0, 6.2, 6.1), 6.1)], unit="ms", words="a <b>")
    root = ET.fromstring(drawing)
    assert root.findtext("title") == "a <b>"
    groups = [[float(dot.get("cx", "")) for dot in group.iter("circle")] for group in root.iter("g")]
    assert [len(group) for group in groups] == [2, 3]
    assert groups[1][0] < groups[1][2] < groups[1][1]
    assert max(groups[0]) < min(groups[1])
    assert all(0 <= place <= 330 for group in groups for place in group)


def test_equal_values_and_a_row_without_any_are_drawn() -> None:
    root = ET.fromstring(run_dots([("baseline", "before", (), None), ("now", "unchanged", (3.0, 3.0, 3.0), 3.0)], unit="ms", words=""))
    assert len(list(root.iter("g"))) == 1
    assert len({(dot.get("cx"), dot.get("cy")) for dot in root.iter("circle")}) == 3, "equal runs do not hide each other"


def test_a_drawing_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        run_dots([("now", "unchanged", (), 1.0)], unit="ms", words="")
