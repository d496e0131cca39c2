from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_dynperf.deployment.inspection import commit_facts, host_facts, package_versions, program_output, python_of


def git(directory: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(directory), *identity, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_host_facts_are_all_there() -> None:
    facts = host_facts()

    assert set(facts) == {"cpu.model", "cpu.count", "kernel", "hostname", "python"}
    assert all(facts.values())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity (Linux)")
def test_count_is_of_the_cpus_that_may_be_used() -> None:
    program = """
import os
from pytest_dynperf.deployment.inspection import host_facts
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
print(host_facts()["cpu.count"])
"""

    assert program_output((sys.executable, "-c", program)) == "1"


def test_versions_of_what_is_installed() -> None:
    assert package_versions(["pytest", "no-such-distribution"]) == {"pytest": pytest.__version__}


def test_the_interpreter_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    own = f"{platform.python_implementation()} {platform.python_version()}"
    assert python_of(None) == host_facts()["python"] == own
    assert python_of(Path(sys.executable)) == own
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho PyPy 3.10.14\n")
    other.chmod(0o755)
    assert python_of(other) == "PyPy 3.10.14"
    assert python_of(tmp_path / "not-there") == "unknown"


def test_commit_of_a_clean_and_a_dirty_repository(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("needs git, found none")
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("a")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "a")
    commit = git(tmp_path, "rev-parse", "HEAD")

    for name in ("baselines", "reports", "suites"):
        (tmp_path / name).mkdir()
    (tmp_path / "baselines" / "of a session accepted before").write_text("{}")
    (tmp_path / "reports" / "page.html").write_text("x")
    assert commit_facts(tmp_path) == {"git.commit": commit, "git.dirty": "no"}, "what a session writes does not change what is measured"
    assert commit_facts(tmp_path / "suites") == {"git.commit": commit, "git.dirty": "no"}
    (tmp_path / "b").write_text("b")
    assert commit_facts(tmp_path) == {"git.commit": commit, "git.dirty": "yes"}
    assert commit_facts(tmp_path / "suites") == {"git.commit": commit, "git.dirty": "yes"}, "of the whole tree"


def test_no_repository_no_commit_and_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit_facts(tmp_path) == {}
    if shutil.which("git") is not None:
        git(tmp_path, "init", "-q")
    assert commit_facts(tmp_path) == {}, "a repository without a commit"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_facts(tmp_path) == {}


@pytest.mark.parametrize("argv", [("/nowhere/program",), (sys.executable, "-c", "raise SystemExit(1)")])
def test_a_program_that_fails_says_nothing(argv: tuple[str, ...]) -> None:
    assert program_output(argv) is None
