"""``dynperf show``: the end of a session once more."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.command import exit_code
from pytest_dynperf.command.main import main
from tests.fakes.judged_sessions import NIGHT, a_night, every_way, written

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of reports with one night, of every outcome."""
    written(tmp_path / "reports", a_night(tmp_path / "baselines", *every_way(tmp_path / "baselines")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path / "reports"


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["show", *arguments]) == 0
    return capsys.readouterr().out


def test_the_newest_session_with_what_failed_and_the_summary(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    older = reports / "20261120T030501Z-aaaaaa"
    older.mkdir()
    (older / "session.json").write_text("{}")
    text = shown(capsys)
    assert text.startswith(f"reports/{NIGHT}-")
    assert text.index("REGRESSED: concurrency_sweep/") < text.index("2 regressed")
    assert text.splitlines()[-1].startswith(f"report: reports/{NIGHT}-")
    assert (
        shown(capsys, "reports/" + next(path.name for path in reports.iterdir() if path.name.startswith(NIGHT))) == text.split("\n", 2)[2]
    )


def test_the_summary_alone_cases_by_name_and_unchanged_rows(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = shown(capsys, "--summary")
    assert "REGRESSED:" not in summary
    assert "(unchanged)" not in summary
    assert "(unchanged)" in shown(capsys, "--summary", "-v")
    text = shown(capsys, "--case", "unch*")
    assert "UNCHANGED: concurrency_sweep/unchanged" in text
    assert "2 regressed" not in text
    assert main(["show", "--case", "unchangd"]) == exit_code.USAGE
    assert "unchanged" in capsys.readouterr().err.partition("There are")[0]


@pytest.mark.parametrize("width", [100, 60, 40])
def test_it_keeps_to_the_width(reports: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    copied = re.compile(r"^ *(REGRESSED:|INVALID:|repeat|accept|log|requests|report|baseline|\d+ proposals? for|reports/)")
    long = [line for line in shown(capsys, "-v").splitlines() if len(line) > width and not copied.match(line)]
    assert long == []


def test_a_pipe_has_no_colours_and_a_terminal_has(
    reports: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b" not in shown(capsys)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[31mREGRESSED: " in shown(capsys)
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(name, value)
            assert "\x1b" not in shown(capsys)


def test_a_session_that_was_killed_is_shown_as_what_it_is(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = next(reports.glob("*/session.json"))
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, "interrupted": "it has not ended in order", "missing": ["s/c"]}))
    assert "Session incomplete (it has not ended in order, 1 case not reported)." in shown(capsys)


def test_where_there_is_nothing_it_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["show"]) == exit_code.USAGE
    assert "reports: there is no session in it" in capsys.readouterr().err
    (tmp_path / "gone").mkdir()
    assert main(["show", "gone"]) == exit_code.USAGE
    assert "Give a run directory" in capsys.readouterr().err


def test_of_several_sessions_one_must_be_named(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (reports / "again").mkdir()
    (reports / "again" / "session.json").write_bytes(next(reports.glob("2*/session.json")).read_bytes())
    assert main(["show", str(reports)]) == exit_code.USAGE
    assert "holds 2 sessions: name one" in capsys.readouterr().err
