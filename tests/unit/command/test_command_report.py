"""``dynperf report``: pages made again from files, and one over several sessions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.command import exit_code
from pytest_dynperf.command.main import main
from pytest_dynperf.observation.record_file_writing import write_records
from pytest_dynperf.report.json_file import encode_session, to_text
from pytest_dynperf.run_directory import RunDirectory
from pytest_dynperf.session.pages import write_pages
from tests.fakes.full_report import full_report
from tests.fakes.judged_sessions import a_night, accepted, every_way, named, written
from tests.fakes.observations import record
from tests.fakes.session_reports import a_report, a_result

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.report.session_report import SessionReport

PAGES = ("report.html", "report.md", "openmetrics.txt")


def ended(home: Path, report: SessionReport) -> Path:
    """The run directory as a session leaves it: its result, and pages made from what is in memory."""
    run = RunDirectory(home)
    home.mkdir(parents=True)
    for result in report.results:
        for path in result.records:
            write_records(home / path, [record(index) for index in range(30)])
    run.session_json.write_text(to_text(encode_session(report)))
    write_pages(report, run)
    return home


def pages(home: Path) -> dict[str, bytes]:
    return {name: (home / name).read_bytes() for name in PAGES}


@pytest.mark.parametrize("kind", ["full", "dry run", "judged"])
def test_what_is_made_again_has_the_same_bytes(tmp_path: Path, kind: str) -> None:
    baselines = tmp_path / "baselines"
    full = replace(full_report(), results=full_report().results[-1:])
    report = full if kind == "full" else a_night(baselines, *every_way(baselines))
    report = replace(report, dry_run=kind == "dry run", accepted=("baselines/x.json",) if kind == "dry run" else ())
    home = ended(tmp_path / "reports" / "20261121T030501Z-3f2a9c", report)
    first = pages(home)
    for name in PAGES:
        (home / name).unlink()
    before = (home / "session.json").read_bytes()
    assert main(["report", str(home)]) == 0
    assert pages(home) == first
    assert (home / "session.json").read_bytes() == before
    assert (b"baselines/x.json" in first["report.html"]) is False


def test_it_can_be_made_elsewhere_with_its_links(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = ended(tmp_path / "reports" / "20261121T030501Z-3f2a9c", a_report(a_result()))
    assert main(["report", str(home), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"report: {tmp_path / 'out' / 'report.html'}\n"
    records = json.loads((tmp_path / "out" / "session.json").read_text())["cases"][0]["records"]
    assert (tmp_path / "out" / records[0]).is_file()
    assert main(["report", str(home), "--out", str(tmp_path / "out")]) == exit_code.USAGE
    assert "it holds another session" in capsys.readouterr().err


@pytest.fixture
def nights(tmp_path: Path) -> Path:
    """Five nights of two cases; the last one is slower, and measured with another version."""
    for day in range(1, 6):
        worse = 1.3 if day == 5 else 1.0 + day / 1000
        results = [a_result(4, factor=worse, case=named("slower")), a_result(1, case=named("<b>calm</b> & \x1b[2J"))]
        report = replace(a_report(*results), stamp=f"202611{day:02d}T030501Z", session_id=f"aaaa0{day}", baseline_directory="nowhere")
        if day == 5:
            report = replace(report, versions={**report.versions, "ai-dynamo": "1.6.1"})
        written(tmp_path / "reports", report)
    return tmp_path / "reports"


def test_several_sessions_have_one_page_with_trends_and_values_side_by_side(nights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(nights)]) == 0
    page = nights / "sessions.html"
    assert capsys.readouterr().out == f"report: {page}\n"
    text = page.read_text()
    assert "5 sessions, 2026-11-01 to 2026-11-05" in text
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert "<script" not in text
    assert "<b>calm" not in text
    assert "&lt;b&gt;calm" in text
    assert text.count("<circle") >= 5 * 2 * 3
    assert "1.4.2</td>" in text
    assert "1.6.1</td>" in text
    assert "+29.5 %" in text
    assert '<svg class="trend" role="img"' in text
    assert "aaaa05" in text


def test_it_links_to_pages_that_are_there_and_takes_a_pattern(nights: Path, tmp_path: Path) -> None:
    (nights / "20261105T030501Z-aaaa05" / "report.html").touch()
    assert main(["report", str(nights), "--case", "slow*", "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "sessions.html").read_text()
    assert 'href="../reports/20261105T030501Z-aaaa05/report.html"' in text
    assert text.count("report.html") == 1
    assert "calm" not in text


def test_each_of_several_can_have_its_own_pages(nights: Path) -> None:
    assert main(["report", str(nights), "--each"]) == 0
    assert len(list(nights.glob("*/report.html"))) == 5
    assert not (nights / "sessions.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--case", "x*"], "fits no case"),
        (["--each", "--out", "there"], "--each writes into the sessions' own directories"),
        (["--each", "--case", "slower"], "--case belongs to the page over several sessions"),
    ],
)
def test_what_has_no_meaning_is_refused(nights: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert main(["report", str(nights), *arguments]) == exit_code.USAGE
    assert said in capsys.readouterr().err


def test_accepted_sessions_whose_directories_are_gone_are_in_the_drawing(nights: Path, tmp_path: Path) -> None:
    for day in range(1, 4):
        accepted(tmp_path / "baselines", named("slower"), f"202610{day:02d}T030000Z", 0.98)
    for file in nights.glob("*/session.json"):
        file.write_text(file.read_text().replace('"baseline_directory": "nowhere"', f'"baseline_directory": "{tmp_path / "baselines"}"'))
    assert main(["report", str(nights)]) == 0
    assert "8 sessions" in (nights / "sessions.html").read_text()
