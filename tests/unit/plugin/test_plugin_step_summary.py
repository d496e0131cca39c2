"""The step summary and the annotations: only where they are wanted, within GitHub's limits, and a file that cannot be written is said."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dynperf.plugin.outlets import annotation_lines, append_step_summary
from pytest_dynperf.report.markdown import STEP_SUMMARY_BYTES
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.session_reports import a_case, a_regressed_sweep, a_report, a_result

if TYPE_CHECKING:
    from pathlib import Path

REPORT = a_regressed_sweep()
MIB = 1 << 20


def settings(root: Path) -> Any:
    return SimpleNamespace(rootdir=root, strict=False, fail_on_suspect=False)


def test_it_goes_to_the_file_that_is_asked_for_else_to_github_s(tmp_path: Path) -> None:
    github = {"GITHUB_STEP_SUMMARY": str(tmp_path / "github.md")}
    assert append_step_summary(REPORT, tmp_path / "deep" / "own.md", github=True, environment=github) is None
    assert (tmp_path / "deep" / "own.md").read_text().startswith("## ✗ 1 of 4 cases regressed")
    assert not (tmp_path / "github.md").exists()
    assert append_step_summary(REPORT, None, github=True, environment=github) is None
    assert append_step_summary(REPORT, None, github=True, environment=github) is None
    assert (tmp_path / "github.md").read_text().count("## ✗ 1 of 4 cases regressed") == 2, "appended, not replaced"


@pytest.mark.parametrize(
    ("github", "environment"), [(False, {"GITHUB_STEP_SUMMARY": "s.md"}), (True, {}), (True, {"GITHUB_STEP_SUMMARY": ""})]
)
def test_elsewhere_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, github: bool, environment: dict[str, str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert append_step_summary(REPORT, None, github=github, environment=environment) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("before", [0, 500_000, STEP_SUMMARY_BYTES - 2000, STEP_SUMMARY_BYTES + 1])
def test_with_what_other_steps_wrote_it_stays_below_what_github_drops(tmp_path: Path, before: int) -> None:
    results = [a_result(c, Outcome.REGRESSED, factor=1.1, case=replace(a_case(c), case_id=f"c{c}")) for c in range(1, 801)]
    path = tmp_path / "s.md"
    path.write_bytes(b"x" * before)
    assert append_step_summary(a_report(*results), path, github=True, environment={}) is None
    assert before < path.stat().st_size < MIB - 100_000
    assert b"800 of 800 cases regressed" in path.read_bytes()[before:]


def test_a_file_that_cannot_be_written_is_named_with_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = append_step_summary(REPORT, tmp_path / "file" / "s.md", github=True, environment={})
    assert said is not None
    assert said.startswith(f"cannot write the step summary to {tmp_path / 'file' / 's.md'}: ")
    assert "--dynperf-step-summary" in said


def test_annotations_are_for_github_actions_alone_with_paths_of_the_repository(tmp_path: Path) -> None:
    here = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(tmp_path)}
    (line,) = annotation_lines(REPORT, settings(tmp_path / "perf"), github=True, environment=here)
    assert line.startswith("::error file=perf/suites/concurrency_sweep/test_concurrency_sweep.py,title=regressed")
    elsewhere = {**here, "GITHUB_WORKSPACE": "/somewhere/else"}
    assert "file=suites/concurrency_sweep/" in annotation_lines(REPORT, settings(tmp_path), github=True, environment=elsewhere)[0]
    assert annotation_lines(REPORT, settings(tmp_path), github=False, environment=here) == []
    assert annotation_lines(REPORT, settings(tmp_path), github=True, environment={}) == []


def test_what_the_options_make_fail_is_an_error(tmp_path: Path) -> None:
    report = a_report(a_result(1, Outcome.NO_BASELINE))
    here = {"GITHUB_ACTIONS": "true"}
    loose, strict = settings(tmp_path), settings(tmp_path)
    strict.strict = True
    assert annotation_lines(report, loose, github=True, environment=here)[0].startswith("::warning ")
    assert annotation_lines(report, strict, github=True, environment=here)[0].startswith("::error ")
