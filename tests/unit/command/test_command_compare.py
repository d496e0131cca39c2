"""``dynperf compare`` at the command line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.command import exit_code
from pytest_dynperf.command.main import main
from tests.fakes.judged_sessions import SCATTER, a_night, named, written
from tests.fakes.session_reports import a_measurement, a_result, an_environment

if TYPE_CHECKING:
    from pathlib import Path


def session(directory: Path, factor: float, number: int = 0, *, name: str = "case", version: str = "1.4.2", host: str = "Xeon") -> Path:
    environment = replace(an_environment(), key={"cpu.model": host}, provenance={**an_environment().provenance, "dynamo.version": version})
    result = replace(a_result(case=named(name)), measurement=a_measurement(4, factor), environment=environment)
    return written(directory, a_night(directory, result, stamp=f"202611{number + 1:02d}T030000Z", session_id=f"bbbb{number:02d}"))


def compared(*words: object) -> int:
    return main(["compare", *map(str, words)])


def test_two_sessions_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = session(tmp_path, 1.0), session(tmp_path, 1.2, 1, version="1.5.0")
    assert compared(a, b) == 0
    said = capsys.readouterr().out
    assert "A: 1 session: bbbb00 of 2026-11-01 03:00:00 UTC" in said
    assert "Two sessions alone say nothing of how sessions scatter" in said
    assert "+20.0 %" in said
    assert "worse" in said
    assert "differs: dynamo.version 1.4.2 → 1.5.0" in said


def test_a_regression_fails_where_that_was_asked_for(tmp_path: Path) -> None:
    a, b, alike = session(tmp_path, 1.0), session(tmp_path, 1.2, 1), session(tmp_path, 1.0, 2)
    assert compared(a, b, "--fail-on-regression") == exit_code.INVALID
    assert compared(a, alike, "--fail-on-regression") == 0
    assert compared(b, a, "--fail-on-regression") == 0, "better is no regression"


def test_nothing_compared_does_not_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = session(tmp_path, 1.0), session(tmp_path, 1.0, 1, host="EPYC")
    assert compared(a, b, "--fail-on-regression") == exit_code.INVALID
    assert "not compared: the two sides are incomparable: cpu.model Xeon → EPYC" in capsys.readouterr().out
    assert compared(a, session(tmp_path, 1.0, 2, name="other"), "--fail-on-regression") == exit_code.INVALID
    assert "nothing was compared" in capsys.readouterr().out


def test_a_case_whose_gates_had_nothing_to_be_compared_with_does_not_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A is an older session without the gated metrics: other cells are compared, and they decide nothing."""
    result = a_result(case=named("case"))
    gated = {gate.cell for gate in result.case.expectation.gates if gate.decisive}
    measured = a_measurement(4, 1.0)
    runs = tuple(replace(run, values={cell: value for cell, value in run.values.items() if cell not in gated}) for run in measured.runs)
    old = replace(result, measurement=replace(measured, runs=runs), environment=replace(an_environment(), key={"cpu.model": "Xeon"}))
    a = written(tmp_path, a_night(tmp_path, old, stamp="20261101T030000Z", session_id="aaaa00"))
    b = session(tmp_path, 1.2, 1)
    assert compared(a, b, "--fail-on-regression") == exit_code.INVALID
    assert "no baseline document holds" in capsys.readouterr().out


def test_a_directory_is_a_ring(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, factor in enumerate(SCATTER):
        session(tmp_path, factor, number)
    b = session(tmp_path, 1.06, 20)
    assert compared(tmp_path, b, "--fail-on-regression") == exit_code.INVALID
    said = capsys.readouterr().out
    assert "A: 10 sessions" in said, "B itself is no baseline"
    assert "Two sessions alone" not in said
    assert compared(tmp_path, tmp_path) == exit_code.USAGE
    assert "holds 11 sessions, and B is one" in capsys.readouterr().err


def test_a_session_that_was_judged_again_elsewhere_is_still_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The copy that ``dynperf judge --out`` writes is the same session: B among its own baselines would hide what changed."""
    a, b = session(tmp_path / "nights", 1.0), session(tmp_path / "nights", 1.2, 1)
    for directory in (a, b):
        shutil.copytree(directory, tmp_path / "nights" / "judged-again" / directory.name)
    assert compared(tmp_path / "nights", b, "--fail-on-regression") == exit_code.INVALID
    assert "A: 1 session: bbbb00" in capsys.readouterr().out


def test_a_session_is_not_compared_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = session(tmp_path, 1.0)
    assert compared(a, a) == exit_code.USAGE
    assert "holds no other session than B" in capsys.readouterr().err


@pytest.mark.parametrize("columns", ["40", "70", "200"])
def test_lines_keep_to_the_terminal(
    columns: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert compared(session(tmp_path, 1.0), session(tmp_path, 1.2, 1), "-v") == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert any("per user p50" in line for line in lines)


def test_the_comparison_as_json(tmp_path: Path) -> None:
    file = tmp_path / "compared.json"
    assert compared(session(tmp_path, 1.0), session(tmp_path, 1.2, 1), "--json", file) == 0
    (case,) = json.loads(file.read_text())["cases"]
    cells = {(cell["id"], cell["statistic"]): cell for cell in case["cells"]}
    assert cells["inter_token_latency.v1", "p50"]["outcome"] == "regressed"
    assert cells["inter_token_latency.v1", "p50"]["sessions"] == 1
    assert {entry["id"] for entry in case["definitions"]} == {name for name, _ in cells}
