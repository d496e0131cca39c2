"""``dynperf history`` at the command line."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dynperf.baseline.anchor import mark
from pytest_dynperf.command import exit_code
from pytest_dynperf.command.history_text import BLOCKS, sparkline
from pytest_dynperf.command.main import main
from tests.fakes.judged_sessions import SCATTER, a_night, accepted, named, written
from tests.fakes.session_reports import a_measurement, a_result, an_environment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Sixteen nights with a step of 20 % after the eighth."""
    root = tmp_path / "baselines"
    accepted(root, named("case"), "20261001T030000Z", 1.0, session_id="anchor")
    (document,) = root.glob("*/*/*/*.json")
    mark(document, [])
    for number in range(16):
        factor = SCATTER[number % 10] * (1.2 if number >= 8 else 1.0)
        result = replace(a_result(case=named("case")), measurement=a_measurement(4, factor), environment=an_environment())
        written(tmp_path / "reports", a_night(root, result, stamp=f"202611{number + 1:02d}T030000Z", session_id=f"n{number}"))
    return tmp_path / "reports"


def test_a_case_over_the_nights(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", str(reports)]) == 0
    said = capsys.readouterr().out
    assert "concurrency_sweep/case in mocker-intel-xeon" in said
    assert "▁" in said
    flat = " ".join(said.split())
    assert "17 sessions, 2026-10-01 to 2026-11-16" in flat
    assert "ITL p50: worse from 2026-11-09 03:00:00 UTC on: 5.84 ms → 7.01 ms, +20.1 %" in flat
    assert "ITL p50: drifted against the anchor: 5.84 ms" in flat
    assert "TTFT p50: no drift shown" in flat


def test_without_the_extra_it_is_said_once(reports: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ruptures", None)
    assert main(["history", str(reports)]) == 0
    said = capsys.readouterr().out
    assert said.count("change points not looked for") == 1
    assert "pytest-dynperf[history]" in said
    assert "worse from" not in said


def test_one_metric_of_one_case_as_json(reports: Path, tmp_path: Path) -> None:
    file = tmp_path / "history.json"
    assert main(["history", str(reports), "--case", "cas*", "--metric", "inter_token_latency/p50", "--json", str(file)]) == 0
    (case,) = json.loads(file.read_text())["cases"]
    (trend,) = case["trends"]
    assert (trend["id"], trend["unit"], len(trend["values"]), case["nights"]) == ("inter_token_latency.v1", "s", 17, 17)
    assert [change["stamp"] for change in trend["changes"]] == ["20261109T030000Z"]
    assert trend["drift"]["drifted"] is True


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--case", "elsewhere"], "--case 'elsewhere' fits no case"),
        (["--metric", "nothing"], "--metric 'nothing' is measured in no case"),
        (["--baselines", "/nowhere/at/all"], "no such directory of baselines"),
    ],
)
def test_what_is_not_there_is_named(options: list[str], said: str, reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", str(reports), *options]) == exit_code.USAGE
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("columns", ["40", "80"])
def test_lines_keep_to_the_terminal(
    columns: str, reports: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    main(["history", str(reports)])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= max(60, int(columns))


def test_a_sparkline_goes_from_the_lowest_to_the_highest() -> None:
    assert sparkline([1.0, 2.0, 3.0, 2.0]) == "▁▅█▅"
    assert sparkline([1.0, 1.001, 0.999]) == "▅▅▄", "noise fills no height"
    assert sparkline([0.0, 0.0]) == "▄▄"
    assert sparkline([]) == ""
    assert len(sparkline([1.0] * 100)) == 60


@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=80))
def test_a_sparkline_has_a_block_for_each_of_the_newest(values: list[float]) -> None:
    drawn = sparkline(values)
    assert len(drawn) == min(60, len(values))
    assert set(drawn) <= set(BLOCKS)
