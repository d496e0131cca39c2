"""A control from the option to the verdict, through whole pytest runs against two servers whose speeds the test sets."""

from __future__ import annotations

import gzip
import json
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.command.main import main
from pytest_dynperf.verdict.sequential import LOOKS
from tests.fakes.sse_server import Behaviour, sse_server

if TYPE_CHECKING:
    from tests.plugin.conftest import Bench

QUICK = Behaviour(ttft_s=0.001, itl_s=0.001)
SLOW = Behaviour(ttft_s=0.006, itl_s=0.006)
HERE = ("--dynperf-endpoint=http://127.0.0.1:9", "--dynperf-model=fake")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dynperf-control=basline"], ["--dynperf-control", "did you mean 'baseline'"]),
        (["--dynperf-control=python=/nowhere"], ["--dynperf-control=python=/nowhere", "interpreter"]),
        (["--dynperf-control=set=traffic.isl=9"], ["--dynperf-control=set=traffic.isl=9", "same load"]),
        (["--dynperf-control=image=sha256:00", "--dynperf-launcher=process"], ["--dynperf-control=image", "--dynperf-launcher=container"]),
        ([f"--dynperf-control=python={sys.executable}", "--dynperf-launcher=container"], ["--dynperf-launcher=process", "image=NAME"]),
        (["--dynperf-launcher=docker"], ["--dynperf-launcher: 'docker' is none of auto, process, container"]),
        ([*HERE, "--dynperf-launcher=container"], ["--dynperf-launcher=container", "nothing is: leave it out"]),
        ([*HERE, "--dynperf-control=baseline"], ["--dynperf-control", "endpoint=URL"]),
        ([*HERE, "--dynperf-control=endpoint=http://127.0.0.1:9"], ["the candidate itself"]),
        (["--dynperf-control-layout=stacked"], ["--dynperf-control-layout", "side-by-side"]),
        ([*HERE, "--dynperf-control=endpoint=http://a:1", "--dynperf-control-layout=blocks"], ["--dynperf-control-layout=blocks"]),
        (["--dynperf-budget=soon"], ["--dynperf-budget", "minutes"]),
        (["--dynperf-budget=-1"], ["--dynperf-budget", "negative"]),
        (["--dynperf-budget=nan"], ["--dynperf-budget"]),
        (["--dynperf-detect=little"], ["--dynperf-detect", "percentage"]),
        (["--dynperf-detect=0%"], ["--dynperf-detect", "above 0"]),
    ],
)
def test_a_bad_option_is_named(bench: Bench, arguments: list[str], words: list[str]) -> None:
    run = bench.run(*arguments)
    assert run.code in {2, 4}, run.text
    assert all(word in run.text for word in words), run.text
    assert "Traceback" not in run.text
    assert "INTERNALERROR" not in run.text
    assert not (bench.root / "reports" / "latest").exists()


def test_a_relative_path_in_the_ini_file_starts_at_the_root(bench: Bench) -> None:
    bench.pytester.makeini("[pytest]\ndynperf_control = python=environments/control\n")
    run = bench.run()
    assert run.code in {2, 4}, run.text
    assert str(bench.root / "environments/control") in run.text.replace("\n", "")


@pytest.mark.parametrize("extra", [(), ("-n", "2")])
def test_pairs_with_a_quicker_server_confirm_the_regression(bench: Bench, extra: tuple[str, ...]) -> None:
    with sse_server(QUICK) as quick, sse_server(SLOW) as slow:
        accepted = bench.run("--update-baselines", "-k", "c1", url=quick.url)
        assert accepted.code == 0, accepted.text
        run = bench.run("-k", "c1", f"--dynperf-control=endpoint={quick.url}", *extra, url=slow.url)
    assert run.code == 1, run.text
    (case,) = run.session["cases"]
    assert case["verdict"]["outcome"] == "regressed"
    assert case["confirmation"] is None, "the control decided, no fresh session"
    assert quick.url in json.dumps(case["duet"]["control"])
    assert len(case["duet"]["pairs"]) == 5
    names = [name.rpartition("/")[2] for name in case["records"]]
    assert {"pair-05-candidate.jsonl.gz", "pair-05-control.jsonl.gz"} <= set(names)
    prompts = [_prompts(bench, name) for name in sorted(case["records"]) if "pair-01" in name]
    assert prompts[0] == prompts[1], "both arms are asked for the same lengths"
    assert f"--dynperf-control=endpoint={quick.url}" in run.text


def _prompts(bench: Bench, name: str) -> list[tuple[int, int]]:
    lines = gzip.decompress((bench.root / "reports/latest" / name).read_bytes()).splitlines()
    return [(record["isl_requested"], record["osl_requested"]) for record in map(json.loads, lines)]


def test_a_slow_machine_slows_both_arms_and_nothing_regressed(bench: Bench) -> None:
    """Both servers are as slow as each other, and slower than the baseline: what a single session would call regressed."""
    with sse_server(QUICK) as quick:
        bench.run("--update-baselines", "-k", "c1", url=quick.url)
    with sse_server(SLOW) as candidate, sse_server(SLOW) as control:
        alone = bench.run("-k", "c1", url=candidate.url)
        assert alone.outcomes() == {"agg-isl64-osl8-c1": "regressed"}, alone.text
        run = bench.run("-k", "c1", f"--dynperf-control=endpoint={control.url}", url=candidate.url)
    assert run.code == 0, run.text
    assert set(run.outcomes().values()) <= {"unchanged", "inconclusive"}, run.text


def test_a_control_that_is_not_there_leaves_the_fresh_session_and_says_so(bench: Bench) -> None:
    with sse_server(QUICK) as quick:
        bench.run("--update-baselines", "-k", "c1", url=quick.url)
    with sse_server(SLOW) as slow:
        run = bench.run("-k", "c1", "--dynperf-control=endpoint=http://127.0.0.1:9", url=slow.url)
    assert run.code == 1, run.text
    (case,) = run.session["cases"]
    assert case["duet"] is None
    assert case["confirmation"] is not None
    assert any("no pairs with a control could be measured" in reason for reason in case["verdict"]["reasons"]), case["verdict"]["reasons"]


def test_an_open_suspect_fails_where_that_is_asked_for_and_stays_inconclusive(bench: Bench) -> None:
    with sse_server(QUICK) as quick, sse_server(SLOW) as slow:
        bench.run("--update-baselines", "-k", "c1", url=quick.url)
        run = bench.run("-k", "c1", "--dynperf-budget=0", "--dynperf-fail-on-suspect", url=slow.url)
    assert run.code == 1, run.text
    assert run.outcomes() == {"agg-isl64-osl8-c1": "inconclusive"}
    assert "it fails by --dynperf-fail-on-suspect: beyond the tolerance, and not decided: inter_token_latency p50" in run.text


@pytest.mark.parametrize("control", [True, False])
def test_without_a_budget_a_suspect_stays_inconclusive(bench: Bench, control: bool) -> None:
    with sse_server(QUICK) as quick, sse_server(SLOW) as slow:
        bench.run("--update-baselines", "-k", "c1", url=quick.url)
        extra = [f"--dynperf-control=endpoint={quick.url}"] if control else []
        run = bench.run("-k", "c1", "--dynperf-budget=0", *extra, url=slow.url)
    assert run.code == 0, run.text
    (case,) = run.session["cases"]
    assert case["verdict"]["outcome"] == "inconclusive"
    assert any("the budget of 0 min is spent" in reason for reason in case["verdict"]["reasons"]), case["verdict"]["reasons"]
    assert main(["judge", "--check", str(bench.root / "reports" / "latest"), "--out", str(bench.root / "again")]) == 0
    (again,) = json.loads((bench.root / "again" / "session.json").read_text())["cases"]
    assert again["verdict"]["reasons"] == case["verdict"]["reasons"], "judged again it still says why"
    assert main(["judge", str(bench.root / "reports" / "latest"), "--fail-on-suspect"]) == 1
    assert case["confirmation"] is None
    assert case["duet"] is None


def test_a_control_that_fails_in_the_middle_is_invalid_and_no_verdict(bench: Bench) -> None:
    with sse_server(QUICK) as quick, sse_server(SLOW) as slow:
        bench.run("--update-baselines", "-k", "c1", url=quick.url)
        broken = sse_server(*[QUICK] * 70, Behaviour(status=503))
        with broken as control:
            run = bench.run("-k", "c1", f"--dynperf-control=endpoint={control.url}", url=slow.url)
    assert run.code == 1, run.text
    (case,) = run.session["cases"]
    assert case["verdict"]["outcome"] == "invalid"
    assert any("control" in reason for reason in case["verdict"]["reasons"]), case["verdict"]["reasons"]
    assert all(metric["values"] is None for metric in case["metrics"])


def test_the_plan_says_what_would_be_found(bench: Bench) -> None:
    with sse_server(QUICK) as quick:
        bench.run("--update-baselines", "-k", "c1", url=quick.url)
        control = f"--dynperf-control=endpoint={quick.url}/other"
        plan = bench.run("--dynperf-plan", "--dynperf-detect=40%", control, url=quick.url)
        short = bench.run("--dynperf-plan", "--dynperf-detect=0.4", "--dynperf-budget=0", control, "-k", "c1", url=quick.url)
    assert plan.code == 0, plan.text
    for words in (
        "finds, with 1 baseline session: by a fresh session ITL p50",
        f"finds, by {LOOKS[-1]} pairs: ITL p50",
        "to find 40 % of ITL p50 takes",
        "no baseline tells what would be found",
        f"up to {LOOKS[-1]} pairs with the control",
    ):
        assert words in plan.text, plan.text
    assert "the budget does not reach the first look of a duet, after 5 pairs" in short.text
    assert "to find 40 % of ITL p50 takes" in short.text, "a fraction is one"
