"""Collecting runs whole pytest sessions, one process after the other, and stops at the first red one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.command import exit_code
from pytest_dynperf.command.main import main

if TYPE_CHECKING:
    from pathlib import Path

COUNTS = """
import sys
from pathlib import Path

def test_counts():
    log = Path(__file__).with_name("log")
    sessions = len(log.read_text().splitlines()) if log.exists() else 0
    log.open("a").write("session " + " ".join(sys.argv[1:]) + "\\n")
    assert sessions + 1 != {red_at}
"""


def suite(root: Path, *, red_at: int = 0) -> Path:
    path = root / "test_counts.py"
    path.write_text(COUNTS.format(red_at=red_at))
    (root / "pytest.ini").write_text("[pytest]\n")
    return path


def test_so_many_sessions_with_what_stands_behind_the_dashes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = suite(tmp_path)
    assert main(["baselines", "collect", str(path), "--sessions", "3", "--", "-q", "-p", "no:cacheprovider"]) == 0
    assert (tmp_path / "log").read_text().splitlines() == [f"session {path} --update-baselines -q -p no:cacheprovider"] * 3
    out = capfd.readouterr().out
    assert f"dynperf: session 1 of 3: pytest {path} --update-baselines -q -p no:cacheprovider" in out
    assert "dynperf: session 3 of 3 done" in out
    assert out.index("session 1 of 3:") < out.index("1 passed") < out.index("session 1 of 3 done")


def test_the_first_red_session_is_the_last_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = suite(tmp_path, red_at=2)
    assert main(["baselines", "collect", str(path), "--sessions", "3", "--", "-p", "no:cacheprovider"]) == 1
    assert len((tmp_path / "log").read_text().splitlines()) == 2
    assert "stopped at session 2 of 3: pytest ended with exit code 1: a case regressed, is invalid" in capfd.readouterr().out


def test_what_collects_no_test_is_red(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = suite(tmp_path)
    assert main(["baselines", "collect", str(path), "--", "-k", "nothing", "-p", "no:cacheprovider"]) == 1
    assert "exit code 5: no test was collected" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            ["SUITE", "--gpu=h100"],
            "--gpu=h100: what is meant for pytest stands after --, so type: dynperf baselines collect SUITE -- --gpu=h100",
        ),
        (["SUITE", "--sessions", "3", "-k", "c1 or c2"], "dynperf baselines collect SUITE --sessions 3 -- -k 'c1 or c2'"),
        (["SUITE", "--gpu=h100", "--sessions=3", "--", "-q"], "dynperf baselines collect SUITE --sessions=3 -- --gpu=h100 -q"),
        (["SUITE", "--session=3"], "--session=3 is no option of collect (did you mean '--sessions'?)"),
    ],
)
def test_what_is_meant_for_pytest_without_the_dashes_is_told_where_to_stand(
    asked: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = suite(tmp_path)
    assert main(["baselines", "collect", *(text.replace("SUITE", str(path)) for text in asked)]) == exit_code.USAGE
    told = capsys.readouterr().err
    assert said.replace("SUITE", str(path)) in told
    assert told.startswith("usage: dynperf baselines collect")
    assert not (tmp_path / "log").exists()
