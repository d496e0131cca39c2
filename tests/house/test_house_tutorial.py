"""The tutorial, command by command, as somebody would who follows it: against the server of the example, in a project of their own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.ports import free_ports
from tests.house.markdown import ROOT, read

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = re.compile(r"(?:^<!-- ([^>]+) -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LAX = " ".join(
    f"--dynperf-set=expect.{bound}"
    for bound in ("max_send_lag_s=60", "max_receive_lag_s=60", "min_in_flight_share=0.01", "max_uncertain_share=0.99")
)
"""Timings must not decide a test: whatever this machine does to the generator is allowed here."""


class Follower:
    """Somebody with two terminals."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.port = free_ports(1)[0]
        self.server: subprocess.Popen[bytes] | None = None
        self.said: list[str] = []

    def localised(self, text: str) -> str:
        return text.replace("localhost:8000", f"localhost:{self.port}").replace("--port 8000", f"--port {self.port}")

    def write(self, name: str, text: str) -> None:
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # So wide that no mood of the machine is a regression, and the change of the page is one.
        path.write_text(self.localised(text).replace("tolerance = 0.05", "tolerance = 0.5"))

    def serve(self, command: str) -> None:
        self.close()
        _python, script, *arguments = shlex.split(self.localised(command))
        self.server = subprocess.Popen([sys.executable, str(ROOT / script), *arguments], cwd=self.project)
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://localhost:{self.port}/v1/models", timeout=5).close()
            except OSError:
                assert time.monotonic() < deadline, "the server does not answer"
                assert self.server.poll() is None, "the server has ended"
            else:
                return

    def run(self, command: str, expected: int) -> str:
        lax = LAX if command.startswith("pytest") else ""
        load = " --max-send-lag=60 --max-receive-lag=60 --max-uncertain-share=0.99 --min-in-flight-share=0.01"
        done = subprocess.run(
            ["bash", "-c", self.localised(command) + (load if command.startswith("dynperf load") else "")],
            cwd=self.project,
            env=os.environ
            | {
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTEST_ADDOPTS": lax,
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                "PYTEST_PLUGINS": "pytest_dynperf.plugin",
                "DYNPERF_LEASE_DIRECTORY": str(self.project.parent / "leases"),
                "TMPDIR": str(self.project.parent),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == expected, f"{command}\n{done.stdout}{done.stderr}"
        self.said.append(done.stdout)
        return done.stdout

    def close(self) -> None:
        server, self.server = self.server, None
        if server is not None:
            server.kill()
            server.wait()


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[Follower]:
    project = tmp_path / "project"
    project.mkdir()
    found = Follower(project)
    yield found
    found.close()


def unknown_marks(page: str) -> list[str]:
    """Marks above blocks that nobody understands, and commands without one that are none."""
    known = re.compile(r"file: \S+|in another terminal|exit code: \d|needs: .+|run by: \S+")
    return [mark for mark, _, _ in BLOCK.findall(page) if mark and not known.fullmatch(mark)]


def test_every_mark_is_understood() -> None:
    page = read("tutorial.md")
    assert unknown_marks(page) == []
    assert unknown_marks(page.replace("<!-- in another terminal -->", "<!-- elsewhere -->", 1)) == ["elsewhere"]
    for mark, _, _ in BLOCK.findall(page):
        if mark.startswith("run by: "):
            assert (ROOT / mark.removeprefix("run by: ")).is_file()


@pytest.mark.system
def test_every_command_of_the_tutorial_does_what_it_says(follower: Follower) -> None:
    said: dict[str, list[str]] = {}
    for mark, language, block in BLOCK.findall(read("tutorial.md")):
        if mark.startswith("file: "):
            follower.write(mark.removeprefix("file: "), block)
        elif mark == "in another terminal":
            follower.serve(block.strip())
        elif language == "sh" and not mark.startswith(("needs: ", "run by: ")):
            expected = int(mark.removeprefix("exit code: ")) if mark.startswith("exit code: ") else 0
            for command in block.strip().splitlines():
                said.setdefault(command, []).append(follower.run(command, expected))
    assert "about" in said["pytest suites --dynperf-plan"][0]
    assert "baseline: " in said["pytest suites --update-baselines"][0]
    assert "unchanged" in said["pytest suites -v"][0]
    red, after = said["pytest suites"]
    assert "REGRESSED: first_words/agg-isl64-osl16-c4" in red
    assert "REGRESSED" in said["dynperf show"][0]
    assert "1 unchanged" in after
    assert len(list((follower.project / "baselines").rglob("*.json"))) == 2
