"""A platform that cannot answer a question: the cases are collected and skipped with the reason, and nothing is started or waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.plugin.conftest import SCENARIO

if TYPE_CHECKING:
    from tests.plugin.conftest import Bench

SKIP = '\n[platform.mocker]\nskip = "nothing is simulated that would answer it"\n'
SAID = "cannot be answered on mocker: nothing is simulated that would answer it"


def test_cases_are_collected_and_skipped_with_the_reason(bench: Bench) -> None:
    bench.write("scenario.toml", SCENARIO + SKIP)
    run = bench.run("--gpu=mocker", "-rs")
    assert run.code == 0, run.text
    assert "2 skipped" in run.text
    assert SAID in " ".join(run.text.split()), run.text
    assert not (bench.root / "reports" / "latest").exists(), "nothing was measured, so there is nothing to report"


def test_the_plan_says_it(bench: Bench) -> None:
    bench.write("scenario.toml", SCENARIO + SKIP)
    run = bench.run("--gpu=mocker", "--dynperf-plan")
    assert f"skipped    fake_suite {SAID}" in run.text
    assert "nothing would be measured" not in run.text


def test_another_platform_answers(bench: Bench) -> None:
    bench.write("scenario.toml", SCENARIO + SKIP.replace("mocker", "h100"))
    run = bench.run("--gpu=mocker", "--dynperf-plan")
    assert "skipped" not in run.text
    assert "2 cases" in run.text
