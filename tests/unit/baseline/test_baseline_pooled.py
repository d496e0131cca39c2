"""The pooled prior against sums by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import stdev
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.baseline.pooled import LEAST_DEGREES, pooled_prior
from pytest_dynperf.baseline.store import write
from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.metrics.definition import Cell, Kind
from tests.fakes.observations import ITL, KEY, THROUGHPUT, TTFT, document_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_dynperf.baseline.document import Baseline

ENVIRONMENT = "mocker-xeon-1a2b3c4d"
SPREAD = [0.05, 0.052, 0.049, 0.051, 0.05, 0.053, 0.048, 0.05, 0.051, 0.049, 0.0505]


def documents(values: Sequence[float], **changes: object) -> list[Baseline]:
    """A session per value, which is the median of its runs."""
    return [
        replace(document_of({TTFT: (value * 0.9, value, value * 1.2)}, number=number), **changes)  # type: ignore[arg-type]
        for number, value in enumerate(values)
    ]


def stored(root: Path, *groups: list[Baseline]) -> dict[str, float]:
    for document in (one for group in groups for one in group):
        write(root, document)
    return pooled_prior(root, ENVIRONMENT)


def test_nothing_there_gives_nothing(tmp_path: Path) -> None:
    assert pooled_prior(tmp_path / "missing", ENVIRONMENT) == {}


def test_two_cases_are_pooled_about_their_own_means(tmp_path: Path) -> None:
    slow = [10 * value for value in SPREAD]
    found = stored(tmp_path, documents(SPREAD), documents(slow, case_id="other"))
    assert found == {TTFT.metric: pytest.approx(stdev([math.log(value) for value in SPREAD]), rel=1e-3)}


def test_unequal_groups_are_weighted_by_their_degrees_of_freedom(tmp_path: Path) -> None:
    wide = [0.1, 0.2, 0.1]
    found = stored(tmp_path, documents(SPREAD), documents(SPREAD, case_id="second"), documents(wide, case_id="wide"))
    logs, wide_logs = [math.log(value) for value in SPREAD], [math.log(value) for value in wide]
    expected = math.sqrt((20 * stdev(logs) ** 2 + 2 * stdev(wide_logs) ** 2) / 22)
    assert found[TTFT.metric] == pytest.approx(expected, rel=1e-3)


def test_too_few_degrees_of_freedom_give_nothing(tmp_path: Path) -> None:
    assert len(SPREAD) + len(SPREAD) - 2 == LEAST_DEGREES
    assert stored(tmp_path, documents(SPREAD), documents(SPREAD[:-1], case_id="other")) == {}
    assert stored(tmp_path, documents(SPREAD[-1:] * 2, case_id="third")) != {}


def test_a_level_that_was_accepted_anew_is_no_scatter(tmp_path: Path) -> None:
    doubled = [
        replace(document, stamp=document.stamp.replace("T07", "T08"), epoch=1) for document in documents([2 * value for value in SPREAD])
    ]
    found = stored(tmp_path, documents(SPREAD), doubled)
    assert found[TTFT.metric] == pytest.approx(stdev([math.log(value) for value in SPREAD]), rel=1e-3)


def test_other_keys_and_other_environments_are_apart(tmp_path: Path) -> None:
    other_key = [replace(one, stamp=one.stamp.replace("T07", "T08")) for one in documents(SPREAD, key={**KEY, "workload": "def"})]
    other_environment = documents([value * number for number, value in enumerate(SPREAD, start=1)], environment_name="elsewhere")
    found = stored(tmp_path, documents(SPREAD), other_key, other_environment)
    assert found[TTFT.metric] == pytest.approx(stdev([math.log(value) for value in SPREAD]), rel=1e-3)


def test_a_tail_has_a_scatter_of_its_own(tmp_path: Path) -> None:
    p90, mean = Cell(ITL.metric, "p90"), Cell(ITL.metric, "mean")
    for number in range(25):
        near, far = 1 + number % 3 / 100, 1 + number % 3 / 10
        columns = {THROUGHPUT: (97.0 * near,) * 3, ITL: (0.01 * near,) * 3, p90: (0.02 * far,) * 3, mean: (0.01 * far,) * 3}
        write(tmp_path, document_of(columns, number=number))
    found = pooled_prior(tmp_path, ENVIRONMENT)
    assert set(found) == {THROUGHPUT.metric, ITL.metric, f"{ITL.metric}/p90"}
    assert found[ITL.metric] == pytest.approx(stdev([math.log(1 + number % 3 / 100) for number in range(25)]), rel=1e-2)
    assert found[f"{ITL.metric}/p90"] == pytest.approx(stdev([math.log(1 + number % 3 / 10) for number in range(25)]), rel=1e-3)


def test_a_tail_with_too_few_degrees_of_freedom_gives_nothing(tmp_path: Path) -> None:
    p90 = Cell(ITL.metric, "p90")
    for number in range(25):
        tail = {p90: (0.02 * (1 + number % 3 / 10),) * 3} if number > LEAST_DEGREES - 15 else {}
        write(tmp_path, document_of({ITL: (0.01 * (1 + number % 3 / 100),) * 3, **tail}, number=number))
    assert set(pooled_prior(tmp_path, ENVIRONMENT)) == {ITL.metric}


RATES = [definition.id for definition in CATALOGUE.values() if definition.kind is Kind.RATE]


def test_rates_scatter_in_log_odds_of_their_parts(tmp_path: Path) -> None:
    rate, hits = RATES[0], [50 + number % 5 for number in range(21)]
    cell = Cell(rate, "value")
    for number, hit in enumerate(hits):
        document = document_of({cell: (0.5,) * 3}, number=number)
        write(tmp_path, replace(document, runs=tuple(replace(run, parts={rate: (hit, 100.0)}) for run in document.runs)))
    odds = [math.log((hit + 0.5) / (100 - hit + 0.5)) for hit in hits]
    assert pooled_prior(tmp_path, ENVIRONMENT) == {rate: pytest.approx(stdev(odds))}


def test_a_rate_without_its_parts_and_a_count_give_nothing(tmp_path: Path) -> None:
    counts = [definition.id for definition in CATALOGUE.values() if definition.kind is Kind.COUNT]
    assert RATES
    assert counts
    for number in range(25):
        columns = {Cell(metric, "value"): (1.0 + number,) * 3 for metric in (RATES[0], counts[0])}
        write(tmp_path, document_of(columns, number=number))
    assert pooled_prior(tmp_path, ENVIRONMENT) == {}


def test_what_cannot_be_read_is_left_to_the_case_that_it_belongs_to(tmp_path: Path) -> None:
    found = stored(tmp_path, documents(SPREAD), documents(SPREAD, case_id="other"))
    write(tmp_path, replace(document_of({TTFT: (9.0, 9.0, 9.0)}), case_id="broken")).write_text("{")
    assert pooled_prior(tmp_path, ENVIRONMENT) == found
