"""`dynperf import` and `dynperf export` as somebody types them: what is printed, written and returned."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.command.main import main
from pytest_dynperf.session import closing

if TYPE_CHECKING:
    from pytest_dynperf.report.session_report import SessionReport
    from pytest_dynperf.session.plan import Settings

DATA = Path(__file__).parents[2] / "data" / "aiperf"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    for place in (1, 2, 3):
        shutil.copytree(DATA / "c8", tmp_path / "three" / f"run_{place}")


def test_an_import_is_judged_accepted_and_judged_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "three"]) == 0
    first = capsys.readouterr().out
    assert re.search(r"gt-model-isl200-osl32-c8\s+no baseline\s+674 tok/s\s+ITL 10.00 ms\s+TTFT 53.9 ms", first)
    assert "the load generator was AIPerf 0.13.0; its lags are not known" in first
    assert "accept: dynperf import three --update-baselines" in first
    assert main(["import", "three", "--environment", "lab", "--update-baselines"]) == 0
    assert "baseline: " in capsys.readouterr().out
    assert main(["import", "three", "--environment", "lab"]) == 0
    assert "1 unchanged" in capsys.readouterr().out
    assert main(["import", "three", "--environment", "elsewhere"]) == 0
    assert "incomparable" in capsys.readouterr().out


def test_strict_fails_without_a_baseline_and_an_invalid_run_always_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "three", "--strict"]) == 1
    assert main(["import", str(DATA / "c8_clienttok")]) == 1
    assert "--use-server-token-count" in capsys.readouterr().out


def test_reports_are_written_where_they_are_asked_for() -> None:
    main(["import", "three", "--report-dir", "elsewhere", "--suite", "mine", "--case-id", "x", "--gpus", "2"])
    session = json.loads(Path("elsewhere/latest/session.json").read_text())
    assert session["command"] == "dynperf import three --suite mine --case-id x --gpus 2 --report-dir elsewhere"
    assert (session["cases"][0]["suite"], session["cases"][0]["case_id"]) == ("mine", "x")
    per_gpu = next(metric for metric in session["cases"][0]["metrics"] if metric["id"] == "output_token_throughput_per_gpu.v1")
    assert per_gpu["values"] == [pytest.approx(674.2732 / 2)] * 3
    assert Path("elsewhere/latest/report.html").exists()


def test_an_export_is_read_back_as_the_same_case(capsys: pytest.CaptureFixture[str]) -> None:
    main(["import", "three"])
    capsys.readouterr()
    assert main(["export", "reports/latest", "--to", "aiperf", "--output", "out"]) == 0
    homes = capsys.readouterr().out.splitlines()
    assert homes == [f"out/imported/gt-model-isl200-osl32-c8/run-{place}" for place in (1, 2, 3)]
    assert main(["import", "out"]) == 0
    assert re.search(r"no baseline\s+674 tok/s\s+ITL 10.00 ms\s+TTFT 53.9 ms", capsys.readouterr().out)


def test_rooms_below_name_the_options_of_the_plugin_and_an_import_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def close(report: SessionReport, _settings: Settings) -> tuple[SessionReport, tuple[str, ...]]:
        return replace(report, refused=("c8: name it with --dynperf-environment",)), ("give --dynperf-environment",)

    monkeypatch.setattr(closing, "close", close)
    assert main(["import", "three"]) == 1
    printed = capsys.readouterr()
    assert printed.err == "dynperf: give --environment\n"
    assert "name it with --environment" in printed.out
    assert "--dynperf-" not in printed.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", "nowhere"], "nowhere: no such file or directory"),
        (["import", "three", "--update-baselines"], "--update-baselines needs --environment NAME"),
        (["import", "three", "--accept-regression", "new engine"], "--accept-regression needs --update-baselines"),
        (["import", "three", "--gpus", "0"], "'0' is not a whole number from 1"),
        (["export", "nowhere", "--output", "out"], "not a record file of a session"),
        (["export", "reports", "--to", "guidellm", "--output", "out"], "invalid choice: 'guidellm'"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
