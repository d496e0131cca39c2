"""``dynperf reports``: what is listed, what is removed, and what is never removed."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.command import exit_code
from pytest_dynperf.command.main import main
from pytest_dynperf.deployment.session_lock import Trace, boot_id, hold_session
from pytest_dynperf.session.unfinished import UNFINISHED

if TYPE_CHECKING:
    from pathlib import Path


def session(reports: Path, days: float, session_id: str, *, baselines: str = "", outcome: str = "unchanged") -> str:
    """A run directory that began so many days ago; its name."""
    stamp = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y%m%dT%H%M%SZ")
    directory = reports / f"{stamp}-{session_id}"
    (directory / "records" / "s").mkdir(parents=True)
    (directory / "records" / "s" / "run-1.jsonl.gz").write_bytes(b"x" * 500_000)
    text = f'{{"schema": 2, "complete": true, "outcome": "{outcome}", "baseline_directory": "{baselines}", "cases": [{{"huge": 1}}]}}'
    (directory / "session.json").write_text(text)
    return directory.name


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five sessions, one to five days old, beside what is no session."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DYNPERF_LEASE_DIRECTORY", str(tmp_path / "leases"))
    root = tmp_path / "reports"
    for number in range(1, 6):
        session(root, number, f"aaaa0{number}")
    (root / "README.md").touch()
    (root / "20260101T000000Z-notasession").mkdir()
    (root / "latest").symlink_to(next(root.glob("*-aaaa01")).name)
    return root


def left(reports: Path) -> list[str]:
    return sorted(path.name.partition("-")[2] for path in reports.glob("2*-aaaa*"))


def test_the_newest_stay_and_the_rest_is_said_and_gone(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reports", "prune", "--sessions", "2", "--dry-run"]) == 0
    planned = capsys.readouterr().out
    assert left(reports) == ["aaaa01", "aaaa02", "aaaa03", "aaaa04", "aaaa05"]
    assert "would remove 3 sessions, 1.5 MB; kept 2" in planned
    assert main(["reports", "prune", "--sessions", "2"]) == 0
    done = capsys.readouterr().out
    assert left(reports) == ["aaaa01", "aaaa02"]
    assert re.search(r"removed reports/\d+T\d+Z-aaaa05: 5 d old, 0\.5 MB, unchanged\n", done)
    assert done.endswith("removed 3 sessions, 1.5 MB; kept 2\n")
    assert (reports / "README.md").exists()
    assert (reports / "20260101T000000Z-notasession").exists()
    assert (reports / "latest").resolve().name.endswith("aaaa01")


def test_what_either_rule_keeps_is_kept(reports: Path) -> None:
    main(["reports", "prune", "--sessions", "1", "--days", "3.5"])
    assert left(reports) == ["aaaa01", "aaaa02", "aaaa03"]


def test_a_session_that_runs_and_one_that_a_baseline_names_are_kept(
    reports: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running = hold_session(Trace(session_id="aaaa05", boot=boot_id(), temporary=tmp_path / "t", run_directory=reports), tmp_path / "leases")
    named = next(reports.glob("*-aaaa04")).name
    used = session(reports, 9, "bbbb09", baselines=str(tmp_path / "elsewhere"))
    for store, name in ((tmp_path / "baselines", named), (tmp_path / "elsewhere", used)):
        (store / "mocker-1" / "s" / "c").mkdir(parents=True)
        (store / "mocker-1" / "s" / "c" / f"{name}.json").touch()
    assert main(["reports", "prune", "--sessions", "1"]) == 0
    assert left(reports) == ["aaaa01", "aaaa04", "aaaa05"]
    assert (reports / used).exists()
    assert "kept 4, 3 sessions of them because a baseline names it or it runs" in capsys.readouterr().out
    running.release()
    main(["reports", "prune", "--sessions", "1"])
    assert left(reports) == ["aaaa01", "aaaa04"]


def test_the_ini_file_says_what_to_keep_and_options_come_first(reports: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reports", "prune"]) == exit_code.USAGE
    assert "nobody says what to keep" in capsys.readouterr().err
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\ndynperf_keep_sessions = 4\n")
    assert main(["reports", "prune"]) == 0
    assert left(reports) == ["aaaa01", "aaaa02", "aaaa03", "aaaa04"]
    (tmp_path / "pytest.ini").write_text("[pytest]\ndynperf_keep_days = 2.5\n")
    assert main(["reports", "prune"]) == 0
    assert left(reports) == ["aaaa01", "aaaa02"]
    (tmp_path / "pytest.ini").write_text("[pytest]\ndynperf_keep_days = soon\n")
    assert main(["reports", "prune"]) == exit_code.USAGE
    assert "pytest.ini: dynperf_keep_days: 'soon' is not a number of days" in capsys.readouterr().err
    assert main(["reports", "prune", "--sessions", "1"]) == 0
    assert left(reports) == ["aaaa01"]


@pytest.mark.parametrize("arguments", [["--sessions", "0"], ["--sessions", "x"], ["--days", "-1"], ["--days", "inf"]])
def test_a_number_without_meaning_is_refused(reports: Path, arguments: list[str]) -> None:
    assert main(["reports", "prune", *arguments]) == exit_code.USAGE
    assert len(left(reports)) == 5


def test_the_list(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (next(reports.glob("*-aaaa02")) / "session.json").write_text("half a fi")
    assert main(["reports", "list", "--sessions", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("-")[1][:6] for line in lines[:5]] == ["aaaa01", "aaaa02", "aaaa03", "aaaa04", "aaaa05"]
    assert "incomplete" in lines[1]
    assert lines[1].endswith("among the 2 newest")
    assert lines[2].endswith("would be pruned")
    assert lines[5] == "5 sessions, 2.5 MB, in reports"
    assert main(["reports", "list", "--reports", "nowhere"]) == exit_code.USAGE
    assert "there is no such directory of reports" in capsys.readouterr().err


def test_what_a_removal_left_half_done_goes_and_latest_never_points_nowhere(reports: Path) -> None:
    half = reports / ".removing-20260101T000000Z-cccc01"
    half.mkdir()
    (half / "session.json").touch()
    (reports / "latest").unlink()
    (reports / "latest").symlink_to(next(reports.glob("*-aaaa05")).name)
    main(["reports", "prune", "--sessions", "1"])
    assert not half.exists()
    assert not (reports / "latest").is_symlink()


def test_one_that_has_not_ended_in_order_and_was_written_to_today_may_still_run(reports: Path) -> None:
    for name in ("aaaa04", "aaaa05"):
        file = next(reports.glob(f"*-{name}")) / "session.json"
        file.write_text(f'{{"schema": 2, "complete": false, "interrupted": "{UNFINISHED}", "cases": []}}')
    old = next(reports.glob("*-aaaa05"))
    for path in old.rglob("*"):
        os.utime(path, (0, 0))
    assert main(["reports", "prune", "--sessions", "1"]) == 0
    assert left(reports) == ["aaaa01", "aaaa04"], "its lease directory may be another one"
