"""What pairing and a covariate buy is read off pairs whose noise has known parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.judgement.embedded.less_noise import Pairs, left_by_line, neighbours, paired, pairs_of, table, typical, unpaired

PAIRS = 20


def duet(generator: np.random.Generator, *, prompts: float = 0.0, drift: float = 0.0, load: float = 0.0, own: float = 0.01) -> Pairs:
    """Noise of the prompts is common to a pair, a drift to neighbours, the host's load is each run's own, and so is the rest."""
    walk = np.cumsum(generator.normal(0, drift, PAIRS)) if drift else np.zeros(PAIRS)
    common = generator.normal(0, prompts, PAIRS) + walk
    busy = generator.normal(0, 1, (2, PAIRS))
    values = common + load * busy + generator.normal(0, own, (2, PAIRS))
    return Pairs(cell="x", session=str(generator.integers(1 << 40)), candidate=values[0] + 0.1, control=values[1], busy=busy[0] - busy[1])


def many(**parts: float) -> list[Pairs]:
    generator = np.random.default_rng(1)
    return [duet(generator, **parts) for _ in range(300)]


def test_without_common_noise_pairing_buys_nothing() -> None:
    found = many()
    assert [typical(found, way) / 2e-4 for way in (unpaired, neighbours, paired)] == pytest.approx([1, 1, 1], abs=0.06)


def test_common_prompts_pay_in_the_pair_alone() -> None:
    found = many(prompts=0.01)
    apart = typical(found, unpaired)
    assert typical(found, neighbours) / apart == pytest.approx(1, abs=0.06)
    assert typical(found, paired) / apart == pytest.approx(0.5, abs=0.04)


def test_drift_is_taken_off_by_neighbours_too() -> None:
    found = many(drift=0.01)
    apart = typical(found, unpaired)
    assert typical(found, paired) / apart < typical(found, neighbours) / apart < 0.6


def test_a_covariate_pays_where_it_explains_and_costs_nothing_much_where_not() -> None:
    assert left_by_line(many(load=0.01)) == pytest.approx(0.5, abs=0.04)
    assert left_by_line(many()) == pytest.approx(1, abs=0.02)


def session(values: list[float], *, control: list[float] | None = None, decisive: bool = True) -> dict[str, Any]:
    run = {"witness": {"host.busy_cpu_s": 1.0, "host.cpu_s": 2.0}}
    cell = {"id": "time_to_first_token.v1", "statistic": "p50", "candidate": values, "control": control or values}
    judged = [{"id": cell["id"], "statistic": "p50", "verdict": {"decisive": decisive}}]
    pairs = [{"candidate": run, "control": run} for _ in values]
    return {"session_id": "s", "cases": [{"duet": None, "metrics": []}, {"duet": {"pairs": pairs, "metrics": [cell]}, "metrics": judged}]}


def test_cells_without_all_values_and_short_duets_are_left_out() -> None:
    assert len(list(pairs_of(session([1.0, 2.0, 1.0, 2.0, 1.5])))) == 1
    assert not list(pairs_of(session([1.0, 2.0])))
    assert not list(pairs_of(session([1.0, 2.0, 1.0, 2.0, 1.5], decisive=False)))
    assert not list(pairs_of(session([1.0, 2.0, 1.0, 2.0, 0.0])))


def test_what_has_no_noise_is_left_out_of_the_table() -> None:
    assert len(table([session([2.0] * 5)]).splitlines()) == 2


def test_the_table_says_what_is_left() -> None:
    lines = table([session([1.0, 1.1, 1.0, 1.1, 1.05], control=[1.0, 1.0, 1.2, 1.0, 1.1])]).splitlines()
    assert lines[2].startswith("| time_to_first_token.v1 p50 | 1 | 5 |")
