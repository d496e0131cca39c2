"""AIPerf as a process: that it is stopped whatever happens, and that what it says last is shown. Scripts stand in for it here;
the real one runs in tests/unit/session/test_session_aiperf.py where there is one.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_dynperf.errors import UsageError, WorkloadError
from pytest_dynperf.load.aiperf import probe, run_aiperf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HELP = "--concurrency --model --output-artifact-dir"
CHILD = "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Path]:
    def make(body: str) -> Path:
        path = tmp_path / "aiperf"
        path.write_text(f"#!{sys.executable}\nimport sys, os, time\nfrom pathlib import Path\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make


def run(
    executable: Path, tmp_path: Path, *, deadline_s: float = 30.0, progress: Callable[[int, float], None] = lambda _n, _s: None
) -> Path:
    out = tmp_path / "out"
    return run_aiperf(
        executable,
        ["profile", str(out)],
        directory=out,
        log=out / "aiperf.log",
        environment={"PATH": os.environ["PATH"], "MARK": "seen"},
        deadline_s=deadline_s,
        progress=progress,
    )


def gone(file: Path) -> bool:
    """Whether the process whose number ``file`` holds ends, though it would sleep for ten minutes; somebody else may have to reap it."""
    pid = int(file.read_text())
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        if not psutil.pid_exists(pid):
            return True
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        time.sleep(0.01)
    return False


def once_there(file: Path) -> Callable[[int, float], None]:
    """A progress that comes back when ``file`` is there, however slow the machine: the deadline has passed by then."""

    def progress(_written: int, _elapsed_s: float) -> None:
        while not file.exists():
            time.sleep(0.01)

    return progress


def written(file: Path, value: str) -> str:
    """Code that writes a file at once, as whoever waits for it must see it."""
    part = f"{file}.part"
    return f"Path({part!r}).write_text(str({value})); os.rename({part!r}, {str(file)!r})"


def test_the_summary_that_it_wrote(script: Callable[[str], Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    body = f"assert os.environ['MARK'] == 'seen' and sys.argv[1:] == ['profile', {str(out)!r}]\n"
    assert (
        run(script(body + f"Path({str(out)!r}, 'profile_export_aiperf.json').write_text('{{}}')"), tmp_path)
        == out / "profile_export_aiperf.json"
    )


def test_progress_counts_the_requests_written(script: Callable[[str], Path], tmp_path: Path) -> None:
    out, seen = tmp_path / "out", []
    wait = f"while not Path({str(out)!r}, 'enough').exists(): time.sleep(0.01)\n"

    def progress(written: int, _elapsed_s: float) -> None:
        seen.append(written)
        if written == 3:
            (out / "enough").touch()

    body = f"Path({str(out)!r}, 'profile_export.jsonl').write_text('a\\nb\\nc\\n')\n{wait}"
    run(script(body + f"Path({str(out)!r}, 'profile_export_aiperf.json').write_text('{{}}')"), tmp_path, progress=progress)
    assert seen[-1] == 3


def test_a_failure_shows_its_last_lines(script: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"(?s)ended with exit status 3.*aiperf\.log ends:.*all 32 requests failed") as caught:
        run(script("print('\\x1b[31mnoise'); sys.exit(print('all 32 requests failed', file=sys.stderr) or 3)"), tmp_path)
    assert "\x1b" not in str(caught.value)


def test_no_summary_is_a_failure(script: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"ended without writing .*profile_export_aiperf\.json"):
        run(script("pass"), tmp_path)


def test_the_deadline_ends_the_whole_group(script: Callable[[str], Path], tmp_path: Path) -> None:
    child = tmp_path / "child"
    body = CHILD + written(child, "child.pid") + "; time.sleep(600)"
    with pytest.raises(WorkloadError, match=r"did not end within 0\.01 s and was stopped"):
        run(script(body), tmp_path, deadline_s=0.01, progress=once_there(child))
    assert gone(child)


def test_an_interrupt_ends_the_whole_group(script: Callable[[str], Path], tmp_path: Path) -> None:
    child = tmp_path / "child"

    def interrupt(_written: int, _elapsed_s: float) -> None:
        if child.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(script(CHILD + written(child, "child.pid") + "; time.sleep(600)"), tmp_path, progress=interrupt)
    assert gone(child)


def test_who_ignores_sigterm_is_killed(script: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_dynperf.load.outside_process.STOP_S", 0.3)
    own = tmp_path / "own"
    body = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {written(own, 'os.getpid()')}; time.sleep(600)"
    with pytest.raises(WorkloadError, match="was stopped"):
        run(script(body), tmp_path, deadline_s=0.01, progress=once_there(own))
    assert gone(own)


def test_children_that_outlive_a_good_run_are_ended_too(script: Callable[[str], Path], tmp_path: Path) -> None:
    summary, child = tmp_path / "out" / "profile_export_aiperf.json", tmp_path / "child"
    run(script(f"{CHILD}{written(child, 'child.pid')}; {written(summary, chr(39) + '{}' + chr(39))}"), tmp_path)
    assert gone(child)


def test_what_cannot_be_started_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot start .*nowhere: No such file"):
        run(tmp_path / "nowhere", tmp_path)
    with pytest.raises(UsageError, match=r"cannot run .*nowhere: No such file"):
        probe(tmp_path / "nowhere")


def test_version_and_options(script: Callable[[str], Path]) -> None:
    version, flags = probe(script(f"print('0.13.0' if sys.argv[1] == '--version' else {HELP!r})"))
    assert version == "0.13.0"
    assert flags == set(HELP.split())


@pytest.mark.parametrize(
    ("body", "said"),
    [("print('hello')", "names no --concurrency"), ("sys.exit('no module named aiperf')", "exit status 1: no module named aiperf")],
)
def test_what_is_not_aiperf_is_refused(script: Callable[[str], Path], body: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        probe(script(body))
