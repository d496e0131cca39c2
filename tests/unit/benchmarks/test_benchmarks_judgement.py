"""The simulation of the decision rule: its formulas are the package's, its check can be red, its world is what it says."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmarks.judgement import agreement, gate, others
from benchmarks.judgement.__main__ import main
from benchmarks.judgement.embedded.count import counted, table, upper_bound
from benchmarks.judgement.embedded.step import BASELINE, KINDS, Step, command, finished, steps
from benchmarks.judgement.embedded.suite import write_suite
from benchmarks.judgement.requirement import check
from benchmarks.judgement.rules import FORMER, FRESH, NAMED, PACKAGE
from benchmarks.judgement.study import Setting, evaluate
from benchmarks.judgement.world import World, error_of_statistic, pairs, positions, run_effects, runs

if TYPE_CHECKING:
    from pathlib import Path

# ---- the formulas


def test_the_formulas_are_those_of_the_package() -> None:
    assert agreement.disagreements(PACKAGE, FRESH, cases=200) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"screen": 0.7},
        {"screen_floor": 0.5},
        {"decision": 0.99},
        {"floor": "mean"},
        {"looks": (5, 10, 15, 20), "alphas": (0.001,) * 4},
        {"alphas": (0.0015,) * len(PACKAGE.looks)},
        {"clear": 0.1},
        {"prior_weight": 9.0},
        {"clip_width": 3.0},
        {"least_mad": 0.001},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_another_constant_is_noticed(wrong: dict[str, Any]) -> None:
    assert agreement.disagreements(replace(PACKAGE, **wrong), FRESH, cases=200)


@pytest.mark.parametrize("wrong", [{"screen": 0.75}, {"screen_floor": 0.4}, {"decision": 0.99}, {"floor": "median"}])
def test_another_constant_without_a_control_is_noticed(wrong: dict[str, Any]) -> None:
    found = agreement.disagreements(PACKAGE, replace(FRESH, **wrong), cases=200)
    assert found
    assert all("without a control" in text for text in found)


def test_looks_within_a_block_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "in_blocks", lambda rule: rule)
    found = agreement.disagreements(PACKAGE, FRESH, cases=200)
    assert found
    assert all("in blocks" in text for text in found)


def test_the_constants_of_the_package_are_the_defaults() -> None:
    assert replace(PACKAGE, clear=gate.Rule().clear) == gate.Rule()
    assert PACKAGE.clear == pytest.approx(0.05)
    assert (PACKAGE.looks, set(PACKAGE.alphas)) == ((5, 7, 10, 15, 20, 30), {0.001})
    assert gate.in_blocks(PACKAGE).looks == (5, 10, 15, 20, 30)
    assert (FORMER.looks, set(FORMER.alphas)) == ((5, 10, 15, 20), {0.0015})


def test_formulas_that_nobody_runs_are_not_calibrated(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("benchmarks.judgement.__main__.PACKAGE", replace(PACKAGE, clip_width=3.0))
    assert main(["--quick", "--repetitions", "100"]) == 2
    assert "are not the package's" in capsys.readouterr().out


# ---- the check


def test_the_constants_of_the_package_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--repetitions", "20000"]) == 0
    text = capsys.readouterr().out
    assert "PASS" in text
    assert "MISSED" not in text


def test_a_wrong_rule_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--rule", "loose", "--repetitions", "10000"]) == 1
    text = capsys.readouterr().out
    assert "FAIL" in text
    assert re.search(r"MISSED: false alarms at CV 4 %: \d\.\d+ % \(\d\.\d+ to \d\.\d+\), required at most 0.25 %", text)


@pytest.mark.parametrize("name", ["blind", "former"])
def test_a_rule_that_finds_too_little_fails(name: str) -> None:
    missed = [finding.text for finding in check(NAMED[name], repetitions=10_000) if not finding.met]
    assert len(missed) == 1
    assert "power" in missed[0]


def test_a_rule_that_takes_too_long_fails() -> None:
    patient = replace(PACKAGE, looks=(20,), alphas=(0.006,))
    assert [finding.met for finding in check(patient, repetitions=5000) if "runs" in finding.text] == [False]


# ---- the world


def test_noise_has_the_size_that_is_stated() -> None:
    world, rng = World(run_cv=0.02, outlier_share=0.0), np.random.default_rng(1)
    assert run_effects(world, (200_000,), rng).std() == pytest.approx(0.02, rel=0.03)
    values = runs(world, (100_000, 3), rng)
    assert values.std() == pytest.approx((0.02**2 + 0.01**2 + 0.012**2) ** 0.5, rel=0.03)
    assert np.median(values, axis=1).std() > 0.01


def test_outliers_are_slower_and_as_many_as_stated() -> None:
    noise = run_effects(World(run_cv=1e-9), (100_000,), np.random.default_rng(1))
    assert (noise > 1e-3).mean() == pytest.approx(0.03, rel=0.1)
    assert noise[noise > 1e-3].mean() == pytest.approx(0.12, rel=0.1)


def test_requests_depend_on_each_other() -> None:
    rng = np.random.default_rng(1)
    median, mean = error_of_statistic(World(run_cv=0.02), rng)
    _, independent = error_of_statistic(World(run_cv=0.02, autocorrelation=0.0), rng)
    assert median > mean > 1.5 * independent


@pytest.mark.parametrize("layout", ["adjacent", "abba", "ab", "sequential"])
def test_each_run_of_a_duet_has_a_time_of_its_own(layout: str) -> None:
    when = positions(3, 20, layout, np.random.default_rng(1))
    assert [sorted(row) for row in when.reshape(3, -1).tolist()] == [list(range(40))] * 3


@pytest.mark.parametrize(("layout", "bias"), [("adjacent", 0.0), ("abba", 0.0), ("ab", 5.0), ("sequential", 20.0)])
def test_a_drift_in_a_line_biases_what_its_layout_does_not_cancel(layout: str, bias: float) -> None:
    world = World(run_cv=1e-9, outlier_share=0.0, statistic_error=0.0, slope=1.0)
    found = pairs(world, 4000, 20, layout, np.random.default_rng(1)).differences.mean()
    assert found == pytest.approx(bias, abs=0.02)


def test_a_change_is_found_where_there_is_no_noise_and_nothing_where_there_is_none() -> None:
    world = {"outlier_share": 0.0, "statistic_error": 1e-6}
    same, worse = evaluate(Setting(name="", rule=PACKAGE, world=world), run_cv=1e-6, changes=(0.0, 0.1), repetitions=50, seed=1)
    assert (same.regressed.count, same.runs) == (0, 3)
    assert (worse.regressed.count, worse.runs) == (50, 3 + 2 * PACKAGE.looks[0])


# ---- the rules of others


def test_others_find_a_large_change_and_no_improvement() -> None:
    rng = np.random.default_rng(1)
    baseline = rng.normal(0, 0.01, (20, 3))
    single = rng.normal(0, 0.1, (20, 3, 100))
    for judged, values in (
        (lambda ours, theirs: others.fixed(ours, theirs, limit=0.05), baseline),
        (others.welch, baseline),
        (others.cluster_bootstrap, baseline),
        (others.mann_whitney, single),
    ):
        assert judged(values + 0.2, values).all()
        assert not judged(values - 0.2, values).any()


def test_outcomes_of_the_gate_are_apart() -> None:
    assert len({gate.REGRESSED, gate.UNCHANGED, gate.UNDECIDED}) == 3


# ---- the experiment


def session(outcome: str, cells: list[str], *, pairs: int = 0) -> dict[str, Any]:
    metrics: list[dict[str, Any]] = [{"verdict": {"outcome": cell, "decisive": True, "suspect": cell == "regressed"}} for cell in cells]
    metrics += [{"verdict": None}, {"verdict": {"outcome": "regressed", "decisive": False, "suspect": True}}]
    case: dict[str, Any] = {
        "metrics": metrics,
        "verdict": {"outcome": outcome},
        "runs": [{}] * 3,
        "discarded": None,
        "confirmation": None,
        "duet": {"pairs": [{}] * pairs, "discarded": []} if pairs else None,
    }
    return {"cases": [case], "duration_s": 90.0}


def test_cells_are_counted_and_what_was_not_judged_is_told_apart() -> None:
    found = counted([session("regressed", ["unchanged", "regressed", "inconclusive"], pairs=5), session("invalid", ["invalid"])])
    assert (found.sessions, found.found, found.judged, found.outcomes["regressed"], found.suspects) == (2, 1, 3, 1, 1)
    assert (found.runs, found.minutes) == (16, 3.0)
    row = table({"unchanged": found, "slowed": counted([])}).splitlines()[-1]
    assert row.startswith("| unchanged | 2 | 1 | 3 | 1 |")


def test_an_upper_bound_of_none_in_many() -> None:
    assert upper_bound(0, 600) == pytest.approx(0.005, abs=1e-4)
    assert upper_bound(3, 3) == 1.0


def test_kinds_take_turns_after_the_baseline() -> None:
    order = steps(baselines=2, unchanged=3, slowed=1)
    assert [step.kind for step in order[:2]] == [BASELINE, BASELINE]
    assert [step.kind for step in order[2:5]] == list(KINDS[1:])
    assert len({step.name for step in order}) == len(order) == 7


def test_a_slowed_session_is_judged_with_the_baseline_as_control(tmp_path: Path) -> None:
    step = Step(kind="slowed by 5 %", number=1)
    words = command(step, tmp_path, write_suite(tmp_path), layout="blocks")
    assert "--dynperf-control=baseline" in words
    assert "--dynperf-set=topology.worker.args=--speedup-ratio 0.95" in words
    assert "--dynperf-control-layout=blocks" in words
    assert not any("--update-baselines" in word for word in words)
    assert finished(step, tmp_path) is None


def test_another_suite_in_the_same_place_is_refused(tmp_path: Path) -> None:
    write_suite(tmp_path)
    (write_suite(tmp_path) / "scenario.toml").write_text("schema = 1\n")
    with pytest.raises(ValueError, match="another version"):
        write_suite(tmp_path)
