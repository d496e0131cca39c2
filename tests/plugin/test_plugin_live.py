"""The live line on a terminal, seen from the outside: pytest runs on a pseudo-terminal of its own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

ASKS = """
from pytest_dynperf.plugin.live import on_terminal

def test_while_output_is_captured(request):
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("on a terminal:", on_terminal(request.config))
    assert on_terminal(request.config) is {expected}
"""


def on_pty(directory: Path, *arguments: str) -> tuple[int, str]:
    """Exit status and what a person would have seen."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    with subprocess.Popen(words, cwd=directory, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = bytearray()
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux says so when the other end is closed
                break
            if not piece:
                break
            seen += piece
        status = process.wait(timeout=60)
    os.close(ours)
    return status, seen.decode(errors="replace")


@pytest.mark.parametrize("capture", ["fd", "sys", "no"])
def test_a_terminal_is_one_while_a_test_s_output_is_captured(tmp_path: Path, capture: str) -> None:
    (tmp_path / "test_it.py").write_text(ASKS.format(expected=True))
    status, seen = on_pty(tmp_path, f"--capture={capture}", "test_it.py")
    assert status == 0, seen
    assert "on a terminal: True" in seen


def test_a_pipe_is_none(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(ASKS.format(expected=False))
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_it.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
