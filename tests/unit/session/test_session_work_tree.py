"""Whether the tree is what its commit says, in real repositories."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.session.work_tree import uncommitted

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "baselines").mkdir(parents=True)
    for words in (["init", "-q"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)
    return root


def test_only_what_lies_outside_of_baselines_and_reports_counts(repository: Path) -> None:
    for name in ("baselines/one.json", "reports/one.html", "store/one.json", "code.py"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text("x")
    assert uncommitted(repository, repository / "store") == ("code.py",)
    assert uncommitted(repository, repository.parent / "elsewhere") == (), "such a store is nobody's reviewed memory"


def test_outside_of_a_repository_nothing_can_be_dirty(tmp_path: Path) -> None:
    assert uncommitted(tmp_path, tmp_path / "baselines") == ()


def test_a_tree_that_git_cannot_read_is_not_clean(repository: Path) -> None:
    (repository / ".git" / "index").write_text("damaged")
    assert uncommitted(repository, repository / "baselines") == ("unknown files, because git status fails here",)
