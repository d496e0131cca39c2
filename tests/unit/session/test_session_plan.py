"""What a plan promises: which regressions would be found, and what it takes to find a given one."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.baseline.document import Baseline, BaselineRun
from pytest_dynperf.baseline.pooled import pooled_prior
from pytest_dynperf.baseline.store import write
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.scenario.case import Case
from pytest_dynperf.scenario.expectation import Expectation, Gate
from pytest_dynperf.scenario.platform import Platform
from pytest_dynperf.scenario.topology import Topology
from pytest_dynperf.scenario.traffic import Traffic, Workload
from pytest_dynperf.session import judging
from pytest_dynperf.session.detection import Affordable, affordable_pairs, detectable, documents_for, pairs_s
from pytest_dynperf.session.plan import START_S, Plan, Settings, case_limit_s, estimate, plan_lines
from pytest_dynperf.verdict.sequential import LOOKS

if TYPE_CHECKING:
    from pathlib import Path

ITL = Cell("inter_token_latency.v1", "p50")
CASE = Case(
    suite="suite",
    case_id="c2",
    question="?",
    platform="mocker",
    topology=Topology(engine="mocker", model="m"),
    traffic=Traffic(isl=64, osl=16, concurrency=2),
    expectation=Expectation(gates=(Gate(cell=ITL, tolerance=0.03),)),
)
KEY = {"topology.shape": CASE.topology.shape, "topology.engine": "mocker", "workload": CASE.traffic.workload_hash}


def _documents(
    root: Path, sessions: int, *, spread: float = 0.01, environment: str = "mocker-x", key: tuple[str, str] = ("cpu.count", "2")
) -> None:
    for number in range(sessions):
        middle = 0.006 * (1 + spread * (number % 3 - 1))
        runs = tuple(
            BaselineRun(values={ITL: middle * (1 + spread * (one - 1))}, distributions={}, requests=30, errors=0, duration_s=2.0)
            for one in range(3)
        )
        document = Baseline(
            suite="suite",
            case_id="c2",
            session_id=f"s{number:02d}",
            stamp=f"202601{number + 1:02d}T000000Z",
            environment_name=environment,
            key=KEY | dict([key]),
            provenance={},
            units={ITL.metric: "s"},
            runs=runs,
        )
        write(root, document)


def _settings(root: Path) -> Settings:
    return Settings(
        session_id="s",
        stamp="20260201T000000Z",
        seed=1,
        command="pytest",
        rootdir=root,
        baselines=root,
        run_directory=root / "run",
        cache_directory=root / "cache",
    )


def _lines(root: Path, *, cases: tuple[Case, ...] = (CASE,), **settings: object) -> str:
    made = _settings(root)
    platform = Platform(
        name="mocker",
        summary="no GPU",
        gpu_pattern="",
        gpu_count=0,
        gpu_memory_gib=0,
        launcher="process",
        simulated=True,
        verified=True,
        defaults={},
        file="mocker.toml",
    )
    return "\n".join(plan_lines(Plan(platform=platform, why="?", cases=cases), replace(made, **settings)))  # type: ignore[arg-type]


def test_without_a_baseline_nothing_is_promised(tmp_path: Path) -> None:
    text = _lines(tmp_path, control=("baseline",), detect=0.03)
    assert "no baseline tells what would be found" in text
    assert "takes" not in text


def test_a_reference_that_is_not_selected_is_planned_and_so_is_the_warming_of_caches(tmp_path: Path) -> None:
    off = replace(CASE, case_id="c2-off", arm="off")
    warm = replace(CASE, case_id="c2-warm", arm="warm", traffic=replace(CASE.traffic, cache="warm"), reference=off)
    alone, both = (_lines(tmp_path, cases=cases) for cases in ((warm,), (off, warm)))
    assert "first, where nothing has measured it: c2-off, about " in alone
    assert "c2-off, about" not in both
    assert estimate(warm, tmp_path).seconds == 2 * estimate(off, tmp_path).seconds
    made = _settings(tmp_path)
    limits = [case_limit_s(case, made) for case in (replace(warm, reference=None), warm)]
    assert limits[0] is not None
    assert limits[1] is not None
    assert limits[1] > limits[0]


def test_a_real_engine_takes_longer_to_start_than_a_simulated_one(tmp_path: Path) -> None:
    real = replace(CASE, topology=replace(CASE.topology, engine="vllm"))
    run_s = estimate(CASE, tmp_path).seconds
    for case, start_s in ((CASE, START_S["process"]), (real, START_S["engine"])):
        assert f"1 case, about {run_s + start_s:.0f} s" in _lines(tmp_path, cases=(case,))


def test_a_reference_is_planned_once_for_all_arms_that_need_it(tmp_path: Path) -> None:
    off = replace(CASE, case_id="c2-off", arm="off")
    arms = tuple(replace(CASE, case_id=f"c2-{arm}", arm=arm, reference=off) for arm in ("cold", "warm", "disk"))
    text = _lines(tmp_path, cases=arms)
    assert text.count("first, where nothing has measured it: c2-off") == 1
    run_s = estimate(off, tmp_path).seconds
    assert f"3 cases, about {4 * run_s + 2 * START_S['process']:.0f} s" in text, (
        "three arms on one deployment, and the reference on its own"
    )


def test_what_must_be_deployed_anew_for_every_run_is_planned(tmp_path: Path) -> None:
    """Questions are the same in every run, and nothing empties the mocker's caches."""
    asked = replace(CASE, traffic=replace(CASE.traffic, workload=Workload(kind="fact-table"), requests=512))
    cold, warm = (replace(asked, traffic=replace(asked.traffic, cache=cache)) for cache in ("as-is", "warm"))
    made, words = _settings(tmp_path), "deployed anew before each further run"
    assert words in _lines(tmp_path, cases=(cold,))
    assert words not in _lines(tmp_path, cases=(warm,))
    assert words not in _lines(tmp_path, cases=(CASE,))
    assert words not in _lines(tmp_path, cases=(cold,), endpoint_url="http://127.0.0.1:1", model="m")
    dealt = replace(cold, traffic=replace(cold.traffic, workload=Workload(kind="fact-table", deal=True)))
    assert words not in _lines(tmp_path, cases=(dealt,)), "each run asks others"
    assert (case_limit_s(cold, made) or 0) > (case_limit_s(dealt, made) or 0)


def test_documents_of_another_load_platform_or_shape_promise_nothing(tmp_path: Path) -> None:
    _documents(tmp_path, 2, environment="h100-x", key=("gpu.sku", "H100"))
    _documents(tmp_path, 2, environment="mocker-y", key=("workload", "another"))
    assert documents_for(CASE, tmp_path) == ()
    _documents(tmp_path, 3)
    assert len(documents_for(CASE, tmp_path)) == 3


def test_more_baselines_and_more_pairs_find_smaller_regressions(tmp_path: Path) -> None:
    found = []
    for sessions in (1, 3, 10):
        root = tmp_path / str(sessions)
        _documents(root, sessions)
        (one,) = detectable(CASE, documents_for(CASE, root), Affordable(pairs=20))
        assert one.by_fresh_session is not None
        assert one.by_duet is not None
        assert one.by_duet < one.by_fresh_session
        found.append(one.by_fresh_session)
    assert found == sorted(found, reverse=True)
    documents = documents_for(CASE, tmp_path / "3")
    few, many = (detectable(CASE, documents, Affordable(pairs=pairs))[0].by_duet for pairs in (5, 20))
    assert few is not None
    assert many is not None
    assert many < few
    assert detectable(CASE, documents, Affordable(pairs=0))[0].by_duet is None
    (blocks,) = detectable(CASE, documents, Affordable(pairs=20, blocks=True))
    assert blocks.by_duet is not None
    assert blocks.by_duet > many, "deployments scatter too"


def test_what_is_asked_for_is_answered_and_what_cannot_be_is_said(tmp_path: Path) -> None:
    _documents(tmp_path, 3)
    documents = documents_for(CASE, tmp_path)
    (large,) = detectable(CASE, documents, Affordable(), detect=0.5)
    assert (large.pairs, large.sessions) == (5, 1)
    (tiny,) = detectable(CASE, documents, Affordable(), detect=0.001)
    assert (tiny.pairs, tiny.sessions) == (None, None)
    text = _lines(tmp_path, control=("baseline",), detect=0.5)
    assert "to find 50 % of ITL p50 takes 5 pairs with a control (about" in text
    assert "1 baseline session (there are enough)" in text
    nothing = _lines(tmp_path, detect=0.001)
    assert f"more than {LOOKS[-1]} pairs" in nothing
    assert "more than 10 baseline sessions can give" in nothing


def test_the_budget_bounds_the_pairs(tmp_path: Path) -> None:
    assert affordable_pairs(None, run_s=1.0, start_s=1.0) == LOOKS[-1]
    assert affordable_pairs(0.0, run_s=1.0, start_s=1.0) == 0
    for before, look in pairwise((0, *LOOKS)):
        cost_s = pairs_s(look, run_s=3.0, start_s=7.0)
        assert affordable_pairs(cost_s, run_s=3.0, start_s=7.0) == look
        assert affordable_pairs(cost_s - 0.1, run_s=3.0, start_s=7.0) == before
    assert pairs_s(5, run_s=1.0, start_s=0.0, blocks=True) == 20.0, "a cycle of blocks is ten pairs"
    _documents(tmp_path, 3)
    assert "within the budget" in _lines(tmp_path, control=("baseline",), budget_s=60.0)
    assert "does not reach the first look" in _lines(tmp_path, control=("baseline",), budget_s=1.0)


@pytest.mark.parametrize(
    ("control", "words"), [((), "a fresh session of its case"), (("baseline",), f"up to {LOOKS[-1]} pairs with the control")]
)
def test_the_total_says_what_a_suspect_adds(tmp_path: Path, control: tuple[str, ...], words: str) -> None:
    assert words in _lines(tmp_path, control=control)


def test_the_history_of_an_environment_is_read_once_for_all_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _documents(tmp_path, 3)
    read: list[str] = []

    def counted(root: Path, name: str) -> dict[str, float]:
        read.append(name)
        return pooled_prior(root, name)

    monkeypatch.setattr(judging, "pooled_prior", counted)
    for _ in range(3):
        assert "finds, with 3 baseline sessions" in _lines(tmp_path)
    assert read == ["mocker-x"]


def test_a_budget_of_nothing_measures_nothing_for_a_suspect(tmp_path: Path) -> None:
    text = _lines(tmp_path, control=("baseline",), budget_s=0.0)
    assert "nothing is measured for a suspect" in text
    assert "pairs with the control, both" not in text
