"""How a session ends."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dynperf.report.json_file import decode_session
from pytest_dynperf.run_directory import RunDirectory
from pytest_dynperf.session.closing import close
from pytest_dynperf.session.plan import Settings
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.session_reports import a_report, a_result

if TYPE_CHECKING:
    from pathlib import Path


def settings_in(path: Path) -> Settings:
    return Settings(
        session_id="3f2a9c",
        stamp="20261121T030501Z",
        seed=7,
        command="pytest",
        rootdir=path,
        baselines=path / "baselines",
        run_directory=path / "run",
        cache_directory=path / "cache",
    )


def test_what_is_said_over_all_cells_is_said_once_and_written(tmp_path: Path) -> None:
    """Three cases that all became 12 % slower are a shift; it changes no outcome."""
    slow = [a_result(concurrency, Outcome.REGRESSED, factor=1.12) for concurrency in (1, 4, 16)]
    shown = [replace(result, verdict=replace(result.verdict, cells=result.verdict.cells[:2])) for result in slow]
    settings = settings_in(tmp_path)
    RunDirectory(settings.run_directory).create()
    report, trouble = close(replace(a_report(*shown), run_directory=str(settings.run_directory)), settings)
    assert trouble == ()
    assert report.annotations is not None
    assert report.annotations.judged == 6
    assert report.annotations.shift is not None
    assert [result.verdict.outcome for result in report.results] == [Outcome.REGRESSED] * 3
    assert "The whole session is" in (settings.run_directory / "report.html").read_text("utf-8")
    written = json.loads((settings.run_directory / "session.json").read_text("utf-8"))
    assert decode_session(written).annotations == report.annotations
