"""What metrics are called where there is little room."""

from __future__ import annotations

import pytest

from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.report.meaning import label


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (Cell("inter_token_latency.v1", "p50"), "ITL p50"),
        (Cell("output_sequence_length.v1", "mean"), "OSL mean"),
        (Cell("request_error_rate.v1", "value"), "failed requests"),
        (Cell("steady_concurrency.v1", "value"), "steady in flight"),
        (Cell("of_a_newer_version.v12", "p90"), "of_a_newer_version p90"),
    ],
)
def test_a_label(cell: Cell, said: str) -> None:
    assert label(cell) == said


def test_no_two_metrics_go_by_one_name() -> None:
    labels = [label(Cell(metric, "value")) for metric in CATALOGUE]
    assert len(set(labels)) == len(labels)
