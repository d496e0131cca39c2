"""The ini file that pytest would read, found without pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.command.ini_file import ini_values
from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\ndynperf_keep_sessions = 3\naddopts = -q\n"),
        (".pytest.ini", "[pytest]\ndynperf_keep_sessions = 3\n"),
        ("tox.ini", "[tox]\nx = 1\n[pytest]\ndynperf_keep_sessions = 3\n"),
        ("setup.cfg", "[tool:pytest]\ndynperf_keep_sessions = 3\n"),
        ("pyproject.toml", "[tool.pytest.ini_options]\ndynperf_keep_sessions = 3\nmarkers = ['a']\n"),
        ("pyproject.toml", "[tool.pytest]\ndynperf_keep_sessions = '3'\n"),
        ("pytest.toml", "[pytest]\ndynperf_keep_sessions = '3'\n"),
    ],
)
def test_every_file_that_pytest_reads(tmp_path: Path, name: str, text: str) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / name).write_text(text)
    assert ini_values(below) == (tmp_path / name, {"dynperf_keep_sessions": "3"})


def test_a_file_without_a_section_for_pytest_is_passed_over(tmp_path: Path) -> None:
    below = tmp_path / "a"
    below.mkdir()
    (below / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (below / "tox.ini").write_text("[tox]\nx = 1\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\ndynperf_strict = true\n")
    assert ini_values(below) == (tmp_path / "pytest.ini", {"dynperf_strict": "true"})


def test_the_nearest_counts_and_pytest_ini_even_where_it_is_empty(tmp_path: Path) -> None:
    below = tmp_path / "a"
    below.mkdir()
    (below / "pytest.ini").write_text("")
    (below / "pyproject.toml").write_text("[tool.pytest.ini_options]\ndynperf_keep_days = 1\n")
    assert ini_values(below) == (below / "pytest.ini", {})


@pytest.mark.parametrize(("name", "text"), [("pytest.ini", "no section\n"), ("pyproject.toml", "[tool\n")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=f"cannot read .*{name}"):
        ini_values(tmp_path)
