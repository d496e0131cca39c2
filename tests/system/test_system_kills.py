"""Real sessions, ended at seeded moments: nothing is left. The campaign of 200 is ``python -m benchmarks.kills``; these are twelve of it,
and leaks that it must find.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.kills.session import PLANTED

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 900


def campaign(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of the campaign, in a process of its own: it adopts every orphan below it."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kills", *arguments],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return done.returncode, done.stdout


def test_six_sessions_of_processes_leave_nothing(tmp_path: Path) -> None:
    code, output = campaign(tmp_path, "--count", "6", "--seed", "12")
    assert code == 0, output
    assert "6 sessions ended, 0 left something" in output


@pytest.mark.usefixtures("nothing_left", "test_images")
def test_six_sessions_of_containers_leave_nothing(tmp_path: Path) -> None:
    code, output = campaign(tmp_path, "--count", "6", "--seed", "12", "--launchers", "container")
    assert code == 0, output
    assert "6 sessions ended, 0 left something" in output


@pytest.mark.parametrize("leak", sorted(PLANTED))
def test_a_planted_leak_is_found(tmp_path: Path, leak: str) -> None:
    code, output = campaign(tmp_path, "--count", "1", "--seed", "3", "--plant", leak)
    assert code == 1, output
    said = {"child": "sleep 600", "lease": "lock gpu-GPU-0.lock is held", "file": "dynperf-forgotten"}[leak]
    assert said in output, output
